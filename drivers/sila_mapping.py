"""Which SiLA 2 command stands for which command of a port: the file that option ``mapping`` names.

::

    [StorePlate]                      # a command of drivers.ports
    feature = "PlateHotel"            # identifiers as in the server's feature definition
    command = "Store"
    parameters = { Barcode = "{barcode}", Gate = 1 }
    result = { slot = "Site" }        # what the port promises to tell, from the command's responses

    [places]                          # MovePlates: the server's word for a place of the lab
    "deck/A1" = "Position3"

    [state]                           # read by `device test`, and told when a command failed
    "plate on the gate" = "PlateHotel.PlateOnGate"

A parameter that is just ``"{field}"`` has the field's own type (``"{speed_rpm}"`` is a number); in a longer text the
field is spelled out. Anything else is sent as it stands. A command that MovePlates stands for is asked once a plate.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivers.ports import (
    DispensePlate,
    FetchPlate,
    Move,
    MovePlates,
    ReadBarcode,
    ShakePlate,
    StorePlate,
    WashPlate,
)  # fmt: skip
from nextplate.errors import NeedsOperator, SettingsError

TAKES: Mapping[str, tuple[type, ...]] = {
    "incubator": (StorePlate, FetchPlate),
    "plate-mover": (MovePlates,),
    "washer": (WashPlate,),
    "dispenser": (DispensePlate,),
    "shaker": (ShakePlate,),
    "barcode-reader": (ReadBarcode,),
}
"""The commands of each kind of device that the bridge can be."""
_PROMISED: Mapping[type, frozenset[str]] = {StorePlate: frozenset({"slot"}), ReadBarcode: frozenset({"barcode"})}
"""What only the server can tell."""
_OFFERED: Mapping[type, frozenset[str]] = {ShakePlate: frozenset({"shaken_s"})}
_FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Call:
    """One command of the server with its parameters."""

    feature: str
    command: str
    parameters: Mapping[str, _Value]
    responses: tuple[str, ...] = ()
    """Those that the port needs."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    feature: str = Field(pattern=f"^{_NAME.pattern}$")
    command: str = Field(pattern=f"^{_NAME.pattern}$")
    parameters: dict[str, bool | int | float | str] = {}
    result: dict[str, str] = {}


class _Book(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    commands: dict[str, _Entry]
    places: dict[str, bool | int | float | str] = {}
    state: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class SilaMapping:
    """A mapping file, read and checked for one kind of device."""

    path: Path
    _entries: Mapping[str, _Entry]
    _places: Mapping[str, _Value]
    state: Mapping[str, tuple[str, str]]
    """Feature and property to read, by what they are for people."""

    def calls(self, command: Any) -> tuple[Call, ...]:
        """Return the calls that a command of the port stands for, in order.

        Raises:
            NeedsOperator: a place has no word of the server.
        """
        entry = self._entries[type(command).__name__]
        items = command.moves if isinstance(command, MovePlates) else (command,)
        return tuple(self._call(entry, item) for item in items)

    def told(self, command: Any, responses: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the port promises to tell, from one call's responses."""
        return {name: responses[field] for name, field in self._entries[type(command).__name__].result.items()}

    def _call(self, entry: _Entry, item: Any) -> Call:
        values = {f.name: getattr(item, f.name) for f in fields(item)}
        if isinstance(item, Move):
            values |= {name: self._place(values[name]) for name in ("source", "target")}
        sent = {name: _filled(value, values) for name, value in entry.parameters.items()}
        return Call(entry.feature, entry.command, sent, tuple(entry.result.values()))

    def _place(self, place: str) -> _Value:
        if not self._places:
            return place
        if place not in self._places:
            raise NeedsOperator(f"{self.path}: [places] has no {place!r}; add the server's word for it")
        return self._places[place]


def read_mapping(path: Path, kind: str) -> SilaMapping:
    """Read a mapping file for a kind of device.

    Raises:
        SettingsError: the file cannot be read or says something wrong; names the file, every problem and the fix.
    """
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"SiLA mapping {path} cannot be read: {error}") from error
    commands = {name: value for name, value in body.items() if name not in ("places", "state")}
    try:
        book = _Book.model_validate(_split(body, commands))
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise SettingsError(f"SiLA mapping {path}: {said}") from error
    problems = _problems(book, TAKES[kind])
    if problems:
        raise SettingsError(f"SiLA mapping {path}: {'; '.join(problems)}")
    return SilaMapping(path, book.commands, book.places, {n: _property(v) for n, v in book.state.items()})


def _split(body: Mapping[str, Any], commands: Mapping[str, Any]) -> dict[str, Any]:
    return {"commands": dict(commands), **{name: body[name] for name in ("places", "state") if name in body}}


def _problems(book: _Book, takes: tuple[type, ...]) -> list[str]:
    kinds = {kind.__name__: kind for kind in takes}
    problems = [f"[{name}] is missing" for name in kinds if name not in book.commands]
    for name, entry in book.commands.items():
        if name not in kinds:
            problems.append(f"[{name}] is no command of this device (it takes {', '.join(kinds)})")
        else:
            problems += _entry_problems(name, entry, kinds[name])
    wrong = [value for value in book.state.values() if not re.fullmatch(r"[A-Za-z]\w*\.[A-Za-z]\w*", value)]
    return problems + [f"state {value!r} should be 'Feature.Property'" for value in wrong]


def _entry_problems(name: str, entry: _Entry, kind: type) -> list[str]:
    known = {f.name for f in fields(Move if kind is MovePlates else kind)}
    used = [field for v in entry.parameters.values() if isinstance(v, str) for field in _FIELD.findall(v)]
    problems = [f"[{name}] has no field {{{u}}} (it has {', '.join(sorted(known))})" for u in used if u not in known]
    promised = _PROMISED.get(kind, frozenset())
    allowed = promised | _OFFERED.get(kind, frozenset())
    problems += [f"[{name}] result.{r} is missing: the response that tells it" for r in promised - set(entry.result)]
    problems += [f"[{name}] result.{r} is not told by this command" for r in entry.result if r not in allowed]
    return problems


def _filled(value: _Value, values: Mapping[str, Any]) -> _Value:
    if not isinstance(value, str):
        return value
    if whole := _FIELD.fullmatch(value):
        found: _Value = values[whole[1]]
        return found
    return _FIELD.sub(lambda match: str(values[match[1]]), value)


def _property(text: str) -> tuple[str, str]:
    feature, _, name = text.partition(".")
    return feature, name
