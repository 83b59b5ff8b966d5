"""Which fields a network sees, and what it shall say of them."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nextplate.chem.delimited import read_delimited
from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name
from nextplate.readout import FieldImage, Missing, Readout

Labels = Mapping[tuple[str | None, str], str]
"""Label text by (plate, well); plate None stands for every plate."""


@dataclass(frozen=True, slots=True)
class Field:
    """One site of a well in all channels of the network."""

    plate: str
    well: str
    field: int
    images: tuple[FieldImage, ...]
    """One per channel, in the network's order."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one or more plates, and what was left out."""

    channels: tuple[str, ...]
    fields: tuple[Field, ...]
    skipped: tuple[tuple[str, Missing], ...] = ()
    """(plate, what and why)."""

    @property
    def plates(self) -> npt.NDArray[np.str_]:
        """Plate of each field, shape (n,)."""
        return np.array([f.plate for f in self.fields], dtype=np.str_)


@dataclass(frozen=True, slots=True)
class Target:
    """What the network learns, one value per field."""

    name: str
    """The column the labels came from."""
    values: npt.NDArray[np.float64]
    """Shape (n,): class index, or response. NaN: no label, the field is not used for training."""
    classes: tuple[str, ...] | None
    """Names by class index, sorted; None: regression."""

    @property
    def known(self) -> npt.NDArray[np.int64]:
        """Rows with a label."""
        return np.flatnonzero(np.isfinite(self.values))


def fields_of(readouts: Iterable[Readout], channels: Sequence[str] | None = None) -> Fields:
    """List the fields that have every channel; one that lacks a channel is skipped with its reason.

    Args:
        readouts: of `nextplate.imaging.open_readout`.
        channels: in the network's order; None: those of the first readout.

    Raises:
        DataError: two readouts of one plate, a readout without one of the channels, or no complete field at all.
    """
    found: list[Field] = []
    skipped: list[tuple[str, Missing]] = []
    names = tuple(channels) if channels is not None else None
    seen: set[str] = set()
    for readout in readouts:
        names = names or readout.channels
        _check(readout, names, seen)
        skipped += [(readout.plate, m) for m in readout.missing]
        found += _complete(readout, names, skipped)
    if not found:
        raise DataError(f"no field has all channels {', '.join(names or ()) or '(none)'}")
    return Fields(names or (), tuple(found), tuple(skipped))


def _check(readout: Readout, channels: Sequence[str], seen: set[str]) -> None:
    if readout.plate in seen:
        raise DataError(f"{readout.folder}: plate {readout.plate} is there twice; give every plate once")
    seen.add(readout.plate)
    absent = [c for c in channels if c not in readout.channels]
    if absent:
        has = ", ".join(readout.channels) or "none"
        raise DataError(f"plate {readout.plate} in {readout.folder} has no channel {absent[0]!r}; it has {has}")


def _complete(readout: Readout, channels: Sequence[str], skipped: list[tuple[str, Missing]]) -> list[Field]:
    by_field: dict[tuple[str, int], dict[str, FieldImage]] = {}
    for image in readout.images:
        by_field.setdefault((image.well, image.field), {})[image.channel] = image
    whole: list[Field] = []
    told = {(m.well, m.field, m.channel) for m in readout.missing}
    for (well, number), images in by_field.items():
        absent = [c for c in channels if c not in images]
        if not absent:
            whole.append(Field(readout.plate, well, number, tuple(images[c] for c in channels)))
        elif not any((well, number, c) in told for c in absent):
            skipped.append((readout.plate, Missing(well, number, absent[0], "no image of this channel")))
    return whole


def read_labels(path: Path, column: str) -> dict[tuple[str | None, str], str]:
    """Read one label per well of a layout: a delimited file with a column well, perhaps plate, and `column`.

    Several columns joined by '+', as in compound+dose, are one label, written 'a@b'. Wells whose cells are empty have
    no label.

    Raises:
        DataError: no such column, a bad well name, or two labels for one well; says the line.
    """
    table = read_delimited(path)
    header = [cell.lower() for cell in table.records[0].cells]
    wanted = [name.strip().lower() for name in column.split("+")]
    for name in ("well", *wanted):
        if name not in header:
            raise DataError(f"{path}: no column {name!r}; it has {', '.join(table.records[0].cells)}")
    labels: dict[tuple[str | None, str], str] = {}
    for record in table.records[1:]:
        if len(record.cells) != len(header):
            raise DataError(f"{path}: line {record.line}: {len(record.cells)} cells, the header has {len(header)}")
        row = dict(zip(header, record.cells, strict=True))
        try:
            key = (row.get("plate") or None, well_name(*parse_well(row["well"])))
        except DataError as error:
            raise DataError(f"{path}: line {record.line}: {error}") from error
        text = "@".join(row[name] for name in wanted)
        if any(not row[name] for name in wanted):
            continue
        if labels.setdefault(key, text) != text:
            raise DataError(f"{path}: line {record.line}: well {key[1]} has two labels, {labels[key]!r} and {text!r}")
    if not labels:
        raise DataError(f"{path}: no well has a label in column {column!r}")
    return labels


def to_target(fields: Fields, labels: Labels, name: str, *, is_response: bool = False) -> Target:
    """Give every field its well's label.

    Raises:
        DataError: fewer than two classes, a response that is not a number, or no field with a label.
    """
    texts = [labels.get((f.plate, f.well)) or labels.get((None, f.well)) for f in fields.fields]
    if not any(texts):
        raise DataError(f"no well of the plates has a label in {name!r}; check plate and well names of the labels")
    if is_response:
        return Target(name, np.array([_number(t, f, name) for t, f in zip(texts, fields.fields, strict=True)]), None)
    classes = tuple(sorted({t for t in texts if t}))
    if len(classes) < 2:
        raise DataError(f"all labels in {name!r} are {classes[0]!r}; a classifier needs at least two classes")
    code = {c: float(i) for i, c in enumerate(classes)}
    return Target(name, np.array([code[t] if t else math.nan for t in texts]), classes)


def _number(text: str | None, field: Field, name: str) -> float:
    if text is None:
        return math.nan
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(f"plate {field.plate}, well {field.well}: {name} is {text!r}, not a number") from error
    if not math.isfinite(value):
        raise DataError(f"plate {field.plate}, well {field.well}: {name} is {text}; a finite number is needed")
    return value


def data_digest(fields: Fields, target: Target | None = None) -> str:
    """Return a digest of what is shown: places, files, their sizes and dates, and the labels."""
    rows = [[f.plate, f.well, f.field, *(_stamp(i) for i in f.images)] for f in fields.fields]
    labels = None if target is None else [target.name, target.classes, [repr(float(v)) for v in target.values]]
    body = json.dumps([fields.channels, rows, labels], separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


def _stamp(image: FieldImage) -> list[str | int]:
    steps = image.stack or ((image.path, image.page),)
    out: list[str | int] = []
    for path, page in steps:
        try:
            status = path.stat()
        except OSError:  # read later, where the reason is kept
            out += [path.name, page, -1, -1]
            continue
        out += [path.name, page, status.st_size, status.st_mtime_ns]
    return out
