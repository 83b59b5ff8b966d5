"""What decide may ask for, and how a device command is written into the journal and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from drivers.ports import (
    AcquirePlate,
    Command,
    DispensePlate,
    FetchPlate,
    Move,
    MovePlates,
    ProvenFile,
    ReadBarcode,
    RunLoad,
    ShakePlate,
    StorePlate,
    WashPlate,
)
from nextplate.errors import PlanError

JSON = Mapping[str, Any]
PROFILES = "@profiles:"
"""Begins the input that is a file of image profiles; the file's path follows."""
OFFSETS = "@offsets:"
"""Begins the input that is a file of labware offsets; the file's path follows."""
STEP_VERBS: Mapping[str, str] = MappingProxyType(
    {"washer": "wash", "dispenser": "dispense", "shaker": "shake", "barcode-reader": "read"}
)
"""What the devices of the bench do in a step of the assay."""


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a computing step; may be repeated freely."""

    key: str
    task: str
    round: int
    step: str
    inputs: Mapping[str, str]
    """Name -> path relative to the lab folder, or @library, @stock, @tips, @profiles:PATH:
    resolved when the intent is written."""
    params: JSON

    def body(self) -> dict[str, Any]:
        """Return the JSON form that the journal keeps."""
        return {"step": self.step, "inputs": dict(self.inputs), "params": dict(self.params)}


@dataclass(frozen=True, slots=True)
class Operate:
    """Give a device a command; never repeated on a guess."""

    key: str
    task: str
    round: int
    device: str
    """Kind of the device."""
    command: JSON
    unit: str = ""
    """The one that stands in for the first of its kind, as in "plate-mover:arm-2"; "": the first."""

    def body(self) -> dict[str, Any]:
        """Return the JSON form that the journal keeps."""
        return {"device": self.device, "command": dict(self.command)} | ({"unit": self.unit} if self.unit else {})


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Hand an announced action over again under its own key, after the device said it never had it."""

    key: str


@dataclass(frozen=True, slots=True)
class Note:
    """Record a decision of the policy, a fault, or the end: an event with no action behind it."""

    kind: str
    payload: JSON


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before this time unless something happens."""

    until: datetime


Action = Compute | Operate | Resubmit | Note | Wait


def moves_command(moves: tuple[Move, ...]) -> dict[str, Any]:
    """Write a MovePlates."""
    return {"verb": "move", "moves": [[m.barcode, m.source, m.target] for m in moves]}


def load_command(protocol: str, rendered: str, digest: str, load: int, rendered_sha256: str) -> dict[str, Any]:
    """Write a RunLoad; both paths are relative to the lab folder."""
    files = {"protocol": protocol, "rendered": rendered, "rendered_sha256": rendered_sha256}
    return {"verb": "run-load", **files, "digest": digest, "load": load}


def with_files(command: JSON, tables: JSON, offsets: Sequence[str]) -> dict[str, Any]:
    """Add to a RunLoad what goes with its file.

    Args:
        command: as `load_command` wrote it.
        tables: path, relative to the lab folder, and sha256 of each CSV parameter, by name.
        offsets: likewise of the labware offsets; empty: there are none.
    """
    more = {"tables": {name: list(pair) for name, pair in tables.items()}, "offsets": list(offsets)}
    return {**command, **{name: value for name, value in more.items() if value}}


def plate_command(verb: str, barcode: str) -> dict[str, Any]:
    """Write a store, fetch or acquire."""
    return {"verb": verb, "barcode": barcode}


def step_command(step: JSON, barcode: str) -> dict[str, Any]:
    """Write what a step of the assay has a device of the bench do to a plate."""
    said = {name: step[name] for name in ("program", "speed_rpm", "duration_s") if step[name] is not None}
    return plate_command(STEP_VERBS[step["device"]], barcode) | said


def read_command(body: JSON, lab: Path) -> Command:
    """Rebuild a device command from its JSON form.

    Raises:
        PlanError: a verb this version does not know.
    """
    match body["verb"]:
        case "move":
            return MovePlates(tuple(Move(*m) for m in body["moves"]))
        case "run-load":
            return _read_load(body, lab)
        case "store":
            return StorePlate(body["barcode"])
        case "fetch":
            return FetchPlate(body["barcode"])
        case "acquire":
            return AcquirePlate(body["barcode"])
        case "wash":
            return WashPlate(body["barcode"], body["program"])
        case "dispense":
            return DispensePlate(body["barcode"], body["program"])
        case "shake":
            return ShakePlate(body["barcode"], body["speed_rpm"], body["duration_s"])
        case "read":
            return ReadBarcode(body["barcode"])
        case verb:
            raise PlanError(f"the journal holds a device command {verb!r} that this version does not know")


def _read_load(body: JSON, lab: Path) -> RunLoad:
    tables = tuple(ProvenFile(name, lab / path, sha256) for name, (path, sha256) in body.get("tables", {}).items())
    offsets = ProvenFile("offsets", lab / body["offsets"][0], body["offsets"][1]) if "offsets" in body else None
    rendered = lab / body["rendered"], body["digest"], body["load"], body["rendered_sha256"]
    return RunLoad(lab / body["protocol"], *rendered, tables, offsets)
