"""What a QInstruments BioShake says, in words. Pure; source: facts/devices.md 4.6.

The numbers of getShakeState and getElmState, and the commands that read state and set a run time, are not on that page;
they are those of the maker's integration manual as public programs quote it (janelia-python/bioshake_device_python, the
README of a BioShake 3000-T elm class). Check them against the manual of your model.
"""

import re
from collections.abc import Mapping

from drivers.shaker_handler import Rotor
from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

_TURNING = frozenset({0, 5})
_STOPPING = frozenset({1, 2, 6, 7})
_OTHER: Mapping[int, str] = {
    4: "it is in manual mode; send it home (shakeGoHome)",
    90: "it sleeps (ECO mode); wake it (leaveEcoMode)",
    99: "it is starting up; wait",
}
_HOME = 3
_ELM: Mapping[int, bool | None] = {1: True, 3: False}


class Unsupported(NeedsOperator):
    """This model does not have the command."""


def acknowledged(reply: str, question: str) -> None:
    """Read the answer to a command.

    Raises:
        NeedsOperator: the device refused.
        Garbled: it said something else.
    """
    _refuse(reply, question)
    if reply.lower() != "ok":
        raise Garbled(f"the shaker answered {reply[:40]!a} to {question!r}, not ok")


def number(reply: str, question: str) -> float:
    """Read the answer to a question for a number, -99999 to 99999.

    Raises:
        NeedsOperator: the device refused.
        Garbled: it is no number.
    """
    _refuse(reply, question)
    if not re.fullmatch(r"[+-]?[0-9]{1,5}(\.[0-9]{1,4})?", reply):
        raise Garbled(f"the shaker answered {reply[:40]!a} to {question!r}, which is no number")
    return float(reply)


def whole(reply: str, question: str) -> int:
    """Read the answer to a question for a whole number; 600.0 is one.

    Raises:
        NeedsOperator: the device refused.
        Garbled: it is none.
    """
    value = number(reply, question)
    if value != int(value):
        raise Garbled(f"the shaker answered {reply[:40]!a} to {question!r}, which is no whole number")
    return int(value)


def rotor(state: int, elm: int | None, *, is_restarted: bool) -> Rotor:
    """Say what the numbers of getShakeState and getElmState mean; elm None: the model has no clamp.

    Raises:
        Garbled: there is no such state.
    """
    if state not in _TURNING | _STOPPING | {_HOME} | _OTHER.keys():
        raise Garbled(f"the shaker says it is in state {state}, which does not exist")
    error = _OTHER.get(state, "")
    if elm is not None and elm not in _ELM:
        error = error or f"its clamp (ELM) is in state {elm}, neither closed (1) nor open (3)"
    is_stopping = state in _STOPPING
    is_clamped = None if elm is None else _ELM.get(elm)
    return Rotor(state in _TURNING or is_stopping, is_stopping, error, is_clamped, None, is_restarted)


def _refuse(reply: str, question: str) -> None:
    if reply.startswith("u ->"):
        raise Unsupported(f"this shaker does not have {question!r}: {reply[:60]!a}")
    if re.match(r"e(\b|[^a-z])", reply) or reply == "e":
        raise NeedsOperator(f"the shaker refused {question!r}: {reply[:60]!a}")
