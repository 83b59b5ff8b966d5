"""What a Squid microscope behind a labrobots server says, in words. Pure; source: facts/devices.md 4.8 and 4.9.

Every answer has HTTP status 200: ``{"value": .., "log": [..]}``, or ``{"error": "..", "log": [..]}``.
"""

from typing import Any

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator, Transient

BUSY = "exclusive lock taken"


class Busy(Transient):
    """Another client has the microscope; nothing was done."""


def value(body: Any, command: str) -> Any:
    """Return what a command returned.

    Raises:
        Busy: another client has the device.
        NeedsOperator: the command failed; says how.
        Garbled: it is no answer of this protocol.
    """
    if not isinstance(body, dict) or ("value" in body) == ("error" in body):
        raise Garbled(f"the microscope answered {body!a:.80} to {command}, with neither value nor error")
    if "value" in body:
        return body["value"]
    if not isinstance(error := body["error"], str):
        raise Garbled(f"the microscope answered {command} with error {error!a:.80}, which is no text")
    if BUSY in error:
        raise Busy(f"another client has the microscope: {error[:200]}")
    raise NeedsOperator(f"the microscope failed at {command}: {error[:300]!a}")


def truth(body: Any, command: str) -> bool:
    """Read an answer of true or false; raises as `value`."""
    said = value(body, command)
    if not isinstance(said, bool):
        raise Garbled(f"the microscope answered {said!a:.80} to {command}, not true or false")
    return said


def is_idle(body: Any, command: str) -> bool:
    """Read the answer to status: interactive, and a text; raises as `value`."""
    said = value(body, command)
    if not isinstance(said, dict) or not isinstance(said.get("interactive"), bool):
        raise Garbled(f"the microscope answered {said!a:.80} to {command} without saying whether it is interactive")
    return bool(said["interactive"])
