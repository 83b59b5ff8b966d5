"""Yokogawa CellVoyager plates (CV7000, CV8000, CQ1).

``MeasurementData.mlf`` lists every image, with X and Y in micrometres from the well's centre, Y upwards; rows of
type ERR say what went wrong. ``MeasurementDetail.mrf`` holds pixel sizes and the end of the measurement, the
``.mes`` file it names holds channel names and the wells asked for. The mrf may list channels that were never
imaged: the mlf is believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nextplate.errors import DataError
from nextplate.imaging.listing import PROJECTION, Listing, Plane
from nextplate.imaging.readers.files import Shelf, find_file, has_unfinished, one_plate, scan
from nextplate.imaging.readers.safe_xml import CutShort, Element, attributes, read_xml, stream_xml, walk
from nextplate.plate import well_name
from nextplate.readout import Missing

_DATA, _DETAIL = "MeasurementData.mlf", "MeasurementDetail.mrf"
_PROJECTIONS = frozenset({"MIP", "SUM", "AVG", "MINIP"})


@dataclass(frozen=True, slots=True)
class _Detail:
    title: str | None
    pixel_um: Mapping[str, float]
    settings_name: str
    is_ended: bool
    is_there: bool


@dataclass(frozen=True, slots=True)
class _Record:
    values: Mapping[str, str]
    text: str


@dataclass(slots=True)
class _Records:
    images: list[_Record] = field(default_factory=list)
    errors: list[_Record] = field(default_factory=list)

    def take(self, element: Element) -> None:
        record = _Record(attributes(element), " ".join((element.text or "").split()))
        (self.errors if record.values.get("Type") == "ERR" else self.images).append(record)


@dataclass(frozen=True, slots=True)
class Yokogawa:
    """The CellVoyager reader."""

    name: str = "yokogawa"
    looks_for: str = "MeasurementData.mlf"

    def detect(self, folder: Path) -> bool:
        """Say whether MeasurementData.mlf is there, or in the only subfolder that has one."""
        return _root(folder) is not None

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List what the mlf lists.

        Raises:
            DataError: an XML file is broken, or a record lacks what places it on the plate.
        """
        root = _root(folder)
        if root is None:
            raise DataError(f"{folder} holds no {_DATA}")
        data = root / _DATA if (root / _DATA).exists() else find_file(root, folder, _DATA)
        assert data is not None
        records, is_ended = _records(data)
        detail = _detail(find_file(root, folder, _DETAIL))
        names, wells = _settings(root, folder, detail)
        channels = _channel_names(records, names)
        planes, refused = _planes(records, data, Shelf(folder, root), channels, detail.pixel_um)
        lost, notes = _errors(records, data, channels)
        is_writing = not is_ended or not detail.is_ended or has_unfinished(scan(root, folder))
        return Listing(
            reader=self.name,
            plate=one_plate((detail.title or root.name,), plate, folder),
            channels=tuple(channels.values()),
            planes=planes,
            refused=(*refused, *lost),
            wells=wells or None,
            is_complete=not is_writing,
            is_writing=is_writing,
            is_ended=None if is_ended and not detail.is_there else is_ended and detail.is_ended,
            notes=notes,
        )


def _root(folder: Path) -> Path | None:
    if find_file(folder, folder, _DATA):
        return folder
    inner = [e.path for e in scan(folder, folder) if e.is_folder and not e.is_outside]
    having = [path for path in inner if find_file(path, folder, _DATA)]
    return having[0] if len(having) == 1 else None


def _records(path: Path) -> tuple[_Records, bool]:
    found = _Records()
    try:
        stream_xml(path, {"MeasurementRecord": found.take})
    except CutShort:
        return found, False
    return found, True


def _detail(path: Path | None) -> _Detail:
    if path is None:
        return _Detail(None, {}, "", is_ended=True, is_there=False)
    try:
        root = read_xml(path)
    except CutShort:
        return _Detail(None, {}, "", is_ended=False, is_there=True)
    said = attributes(root)
    channels = [attributes(e) for e in walk(root, "MeasurementChannel")]
    sizes = {c.get("Ch", ""): _number(c, "HorizontalPixelDimension", path) for c in channels}
    return _Detail(
        title=said.get("Title") or None,
        pixel_um={ch: size for ch, size in sizes.items() if size is not None and size > 0},
        settings_name=said.get("MeasurementSettingFileName", ""),
        is_ended=bool(said.get("EndTime")),
        is_there=True,
    )


def _settings(root: Path, folder: Path, detail: _Detail) -> tuple[dict[str, str], frozenset[str]]:
    """Return channel names by number and the wells asked for; nothing when the .mes file is not there."""
    path, reason = Shelf(folder, root).find(detail.settings_name)
    if not detail.settings_name or reason:
        return {}, frozenset()
    tree = read_xml(path)
    named = [attributes(e) for e in walk(tree, "Channel")]
    names = {c["Ch"]: c.get("Fluorophore") or c.get("Target") or "" for c in named if "Ch" in c}
    wells = {_well(attributes(e), path) for e in walk(tree, "TargetWell") if (e.text or "").strip().lower() == "true"}
    return {ch: name for ch, name in names.items() if name}, frozenset(wells)


def _channel_names(records: _Records, names: Mapping[str, str]) -> dict[str, str]:
    found = sorted({r.values.get("Ch", "") for r in records.images}, key=lambda ch: (len(ch), ch))
    taken: dict[str, str] = {}
    for ch in found:
        name = names.get(ch) or f"C{ch:0>2}"
        taken[ch] = f"{name} (C{ch:0>2})" if name in taken.values() else name
    return taken


def _planes(
    records: _Records, data: Path, shelf: Shelf, channels: Mapping[str, str], pixel_um: Mapping[str, float]
) -> tuple[tuple[Plane, ...], list[Missing]]:
    planes: list[Plane] = []
    refused: list[Missing] = []
    for record in records.images:
        v = record.values
        path, reason = shelf.find(record.text)
        is_projection = v.get("Action", "").upper() in _PROJECTIONS
        plane = Plane(
            well=_well(v, data),
            field=_whole(v, "FieldIndex", data),
            channel=channels[v.get("Ch", "")],
            path=path,
            z=PROJECTION if is_projection else _whole(v, "ZIndex", data),
            t=_whole(v, "TimePoint", data),
            x_um=_number(v, "X", data),
            y_um=_number(v, "Y", data),
            z_um=_number(v, "Z", data),
            pixel_size_um=pixel_um.get(v.get("Ch", "")),
        )
        if reason:
            refused.append(Missing(plane.well, plane.field, plane.channel, reason))
        else:
            planes.append(plane)
    return tuple(planes), refused


def _errors(records: _Records, data: Path, channels: Mapping[str, str]) -> tuple[list[Missing], tuple[str, ...]]:
    """Return what the microscope says went wrong: by well, and remarks that name no well."""
    lost: list[Missing] = []
    notes: list[str] = []
    for record in records.errors:
        v = record.values
        reason = f"microscope-error: {record.text or 'an ERR record without a text'}"
        if not v.get("Row") or not v.get("Column"):
            notes.append(reason)
            continue
        field_number = _whole(v, "FieldIndex", data) if v.get("FieldIndex") else None
        lost.append(Missing(_well(v, data), field_number, channels.get(v.get("Ch", "")), reason))
    return lost, tuple(notes)


def _well(values: Mapping[str, str], path: Path) -> str:
    row, column = _whole(values, "Row", path), _whole(values, "Column", path)
    if not 1 <= row <= 32 or not 1 <= column <= 48:
        raise DataError(f"{path}: row {row}, column {column} is on no plate")
    return well_name(row - 1, column - 1)


def _whole(values: Mapping[str, str], key: str, path: Path) -> int:
    text = values.get(key, "")
    if not text.isdecimal():
        raise DataError(f"{path}: a record has {key} {text!r}, a whole number is needed: {dict(values)}")
    return int(text)


def _number(values: Mapping[str, str], key: str, path: Path) -> float | None:
    text = values.get(key)
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{path}: a record has {key} {text!r}, a number is needed") from error
