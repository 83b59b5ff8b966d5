"""What the vendor's STX Driver service says, in words. Pure; source: facts/devices.md 4.2."""

import math
import re

from drivers.incubator_handler import Stand
from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

_READY, _STATION, _INITIALISED, _DOOR, _ERROR = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 7


def stand(reply: str) -> Stand:
    """Read the bit mask of STX2GetSysStatus; "plate ready" is taken for a plate on the transfer station.

    Raises:
        Garbled: it is none, or the service has no contact with the incubator (-1).
    """
    if reply == "-1":
        raise Garbled("the STX Driver service has no contact with the incubator")
    if not re.fullmatch(r"[0-9]{1,3}", reply) or int(reply) > 255:
        raise Garbled(f"the STX Driver service answered {reply[:40]!a}, which is no status")
    mask = int(reply)
    return Stand(
        is_ready=mask & (_READY | _INITIALISED) == _READY | _INITIALISED,
        has_station_plate=bool(mask & _STATION),
        has_shovel_plate=None,
        error=f"its status is {mask}, with the error bit; the service's window says which" if mask & _ERROR else "",
        is_door_open=bool(mask & _DOOR),
    )


def succeeded(reply: str, question: str) -> None:
    """Read the answer to an order: 1, or 1;1.

    Raises:
        NeedsOperator: it failed.
        Garbled: it is no answer.
    """
    if reply in ("1", "1;1"):
        return
    if re.fullmatch(r"-?[0-9]{1,6}(;-?[0-9]{1,6})?", reply):
        raise NeedsOperator(f"the STX Driver service refused {question}: {reply}")
    raise Garbled(f"the STX Driver service answered {reply[:40]!a} to {question}")


def climate(reply: str) -> tuple[float, float]:
    """Read temperature (C) and humidity (%); the order of the two gases that follow is not certain.

    Raises:
        Garbled: these are no four numbers.
    """
    texts = reply.split(";")
    if len(texts) != 4 or not all(re.fullmatch(r"-?[0-9]{1,5}(\.[0-9]{1,6})?", text) for text in texts):
        raise Garbled(f"the STX Driver service answered {reply[:60]!a}, which is no climate")
    values = [float(text) for text in texts]
    if not all(map(math.isfinite, values)):
        raise Garbled(f"the STX Driver service told a climate of {reply[:60]!a}")
    return values[0], values[1]
