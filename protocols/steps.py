"""The steps of a protocol as frozen data, and their JSON.

Volumes are whole nanolitres, times whole seconds, so sums are exact and equality can be tested. What a step says is
not judged here: ``protocols.check`` does that, with the well named. Only the shape of JSON is.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, get_type_hints

from nextplate.errors import DataError


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move liquid from one well to another with the tip named."""

    KIND: ClassVar[str] = "transfer"
    transfer_id: int
    """Unique within the protocol, counting from 1 in order of execution."""
    source_plate: str
    source_well: str
    destination_plate: str
    destination_well: str
    volume_nl: int
    tip_rack: str
    """Empty where the robot moves liquid without tips."""
    tip_well: str
    """The tip of the transfer before it again: that tip stays on; any other is a fresh one."""
    compound_id: str
    """Of the liquid moved; a control's id for controls."""
    stroke: int = 0
    """Transfers of a load with one number above 0 are one motion of the multi-channel pipette; 0: a motion alone."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Draw from a well and give back, several times, with a tip of its own or the one of the step before."""

    KIND: ClassVar[str] = "mix"
    step_id: int
    """Unique within the protocol, transfers included."""
    plate: str
    well: str
    volume_nl: int
    cycles: int
    tip_rack: str
    tip_well: str


@dataclass(frozen=True, slots=True)
class Dispense:
    """Add a reagent from a bottle or reservoir to wells, by a dispenser that needs no tips."""

    KIND: ClassVar[str] = "dispense"
    step_id: int
    plate: str
    wells: tuple[str, ...]
    """Zero-padded; empty: every well."""
    volume_nl: int
    """Into each well."""
    reservoir: str
    """Barcode of the bottle or reservoir."""
    reservoir_well: str
    reagent: str


@dataclass(frozen=True, slots=True)
class Wash:
    """Empty wells down to a rest and fill them with buffer, several times; the rest stays after the last."""

    KIND: ClassVar[str] = "wash"
    step_id: int
    plate: str
    wells: tuple[str, ...]
    """Zero-padded; empty: every well."""
    cycles: int
    volume_nl: int
    """Of buffer into each well in each cycle."""
    rest_nl: int
    """Left in each well by every emptying, at most."""
    reservoir: str
    reservoir_well: str
    reagent: str


@dataclass(frozen=True, slots=True)
class Incubate:
    """Let a plate stand."""

    KIND: ClassVar[str] = "incubate"
    step_id: int
    plate: str
    wait_s: int
    temperature_c: float | None = None
    """None: wherever the plate stands, at the temperature there."""
    shake_rpm: int = 0


@dataclass(frozen=True, slots=True)
class PlateMove:
    """Carry a plate from one place to another; places as in drivers.ports.Move."""

    KIND: ClassVar[str] = "plate-move"
    step_id: int
    barcode: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Seal:
    """Seal a plate, or take its seal off."""

    KIND: ClassVar[str] = "seal"
    step_id: int
    plate: str
    is_on: bool = True
    """False: the seal is taken off."""


@dataclass(frozen=True, slots=True)
class Read:
    """Have a reader or microscope look at a plate."""

    KIND: ClassVar[str] = "read"
    step_id: int
    plate: str
    readout: str
    """What is read, by the name the reader's own protocol has."""


Step = Transfer | Mix | Dispense | Wash | Incubate | PlateMove | Seal | Read

_KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {kind.KIND: kind for kind in (Transfer, Mix, Dispense, Wash, Incubate, PlateMove, Seal, Read)}
)


def number_of(step: Step) -> int:
    """Return the number of a step, unique within its protocol."""
    return step.transfer_id if isinstance(step, Transfer) else step.step_id


def plate_of(step: Step) -> str:
    """Return the plate a step works on: of a transfer the destination."""
    if isinstance(step, Transfer):
        return step.destination_plate
    return step.barcode if isinstance(step, PlateMove) else step.plate


def step_body(step: Step) -> dict[str, Any]:
    """Return a step as JSON values, its kind under ``step``; a transfer without a stroke does not name one."""
    kind: Any = type(step)
    body = {"step": step.KIND, **{name: getattr(step, name) for name in _hints(kind)}}
    if isinstance(step, Transfer) and step.stroke == 0:
        del body["stroke"]
    return body


def read_step(body: Any, where: str) -> Step:
    """Read a step from JSON values; one without ``step`` is a transfer, as in format 1.

    Raises:
        DataError: not an object, an unknown kind, a field missing, unknown or of the wrong type; says where.
    """
    if not isinstance(body, Mapping):
        raise DataError(f"{where} is {body!r:.60}, not an object")
    name = body.get("step", Transfer.KIND)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise DataError(f"{where}: step {name!r:.60} is not known; known are {', '.join(sorted(_KINDS))}")
    step: Step = read_fields(kind, {k: v for k, v in body.items() if k != "step"}, f"{where} ({name})")
    return step


def read_fields(kind: Any, body: Mapping[str, Any], where: str) -> Any:
    """Make a dataclass of JSON values whose text is text and whose lists are lists of text.

    Numbers stay as they are, NaN included: the checker names the well that they are wrong for.

    Raises:
        DataError: a field missing, unknown, or of the wrong type; says where.
    """
    hints = _hints(kind)
    names = list(hints)
    if unknown := sorted(set(body) - set(names)):
        raise DataError(f"{where}: there is no field {', '.join(unknown)}; the fields are {', '.join(names)}")
    values = {name: _value(body[name], hints[name], f"{where}: {name}") for name in names if name in body}
    try:
        return kind(**values)
    except TypeError as error:
        missing = ", ".join(f.name for f in fields(kind) if f.default is MISSING and f.name not in body)
        raise DataError(f"{where}: a field is missing ({missing})") from error


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def is_text(value: str) -> bool:
    """Tell whether text can be written as UTF-8: JSON can spell half of a surrogate pair, which cannot."""
    return not any("\ud800" <= sign <= "\udfff" for sign in value)


def _value(value: Any, hint: Any, where: str) -> Any:
    if hint is str and not isinstance(value, str):
        raise DataError(f"{where} is {value!r:.60}, not text")
    if isinstance(value, str) and not is_text(value):
        raise DataError(f"{where} is {value!r:.60}, which no file can hold: half of a surrogate pair")
    if hint in (int, float, float | None) and not isinstance(value, int | float | None):
        raise DataError(f"{where} is {value!r:.60}, not a number")
    if hint is int and value is None:
        raise DataError(f"{where} is null, not a number")
    if hint is bool and not isinstance(value, bool):
        raise DataError(f"{where} is {value!r:.60}, not true or false")
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) and is_text(v) for v in value):
            raise DataError(f"{where} is {value!r:.60}, not a list of texts")
        return tuple(value)
    return value
