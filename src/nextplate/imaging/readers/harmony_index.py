"""The index of an Opera Phenix or Operetta measurement: Index.idx.xml (Harmony V5, V6) or Index.xml (V7).

Elements are known by local name, as the namespace changes with the version. V7 moved what is the same for all images
of a channel into Maps: a value is looked for in the image first, then in the entry of its channel over all maps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nextplate.errors import DataError
from nextplate.imaging.readers.safe_xml import CutShort, Element, attributes, child_texts, children, stream_xml
from nextplate.plate import well_name

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HarmonyImage:
    """One image as the index describes it."""

    values: Values
    """Text of its elements by local name, as written."""
    channel: Values
    """The maps' entry of its channel; for what the image itself does not say."""

    def get(self, key: str) -> str | None:
        """Return a value as written; None when neither image nor maps say it."""
        return self.values.get(key, self.channel.get(key))

    def whole(self, key: str, index: Path, default: int | None = None) -> int:
        """Return a whole number.

        Raises:
            DataError: absent without a default, or not a whole number.
        """
        text = self.get(key)
        if text is None and default is not None:
            return default
        if text is None or not text.isdecimal():
            raise DataError(f"{index}: image {self.name}: {key} is {text!r}, a whole number is needed")
        return int(text)

    def metres_as_um(self, key: str, index: Path) -> float | None:
        """Return a length in micrometres; None when it is not said.

        Raises:
            DataError: not a number.
        """
        text = self.get(key)
        if text is None or text == "":
            return None
        try:
            return float(text) * 1e6
        except ValueError as error:
            raise DataError(f"{index}: image {self.name}: {key} is {text!r}, a number is needed") from error

    @property
    def name(self) -> str:
        """The id, for messages."""
        return self.values.get("id", "without id")

    def well(self, index: Path) -> str:
        """Return the well.

        Raises:
            DataError: no Row or Col.
        """
        row, column = self.whole("Row", index), self.whole("Col", index)
        if not 1 <= row <= 32 or not 1 <= column <= 48:
            raise DataError(f"{index}: image {self.name}: row {row}, column {column} is on no plate")
        return well_name(row - 1, column - 1)


@dataclass(frozen=True, slots=True)
class HarmonyIndex:
    """A whole index."""

    path: Path
    plate: str
    wells: tuple[str, ...]
    """Wells that were to be imaged, in the order of the index."""
    images: tuple[HarmonyImage, ...]
    is_ended: bool
    """False when the file is cut short, as while it is being written or copied."""


@dataclass(slots=True)
class _Gathered:
    plates: list[Values] = field(default_factory=list)
    wells: list[tuple[str, str]] = field(default_factory=list)
    channels: dict[str, dict[str, str]] = field(default_factory=dict)
    images: list[dict[str, str]] = field(default_factory=list)

    def take_plate(self, element: Element) -> None:
        self.plates.append(child_texts(element))

    def take_well(self, element: Element) -> None:
        values = child_texts(element)
        # Plates/Plate/Well has an id attribute only; Wells/Well has Row and Col.
        if "Row" in values and "Col" in values:
            self.wells.append((values["Row"], values["Col"]))

    def take_entry(self, element: Element) -> None:
        channel = attributes(element).get("ChannelID", "")
        self.channels.setdefault(channel, {}).update(child_texts(element))

    def take_image(self, element: Element) -> None:
        if children(element, "URL"):
            self.images.append(child_texts(element))


def read_index(path: Path) -> HarmonyIndex:
    """Read an index; memory grows with the number of images, not with the profiles in the maps.

    Raises:
        DataError: no Harmony index, more than one plate in it, or XML that cannot be trusted.
    """
    got = _Gathered()
    handlers = {"Plate": got.take_plate, "Well": got.take_well, "Entry": got.take_entry, "Image": got.take_image}
    try:
        stream_xml(path, handlers)
        is_ended = True
    except CutShort:
        is_ended = False
    if len(got.plates) > 1:
        raise DataError(f"{path}: holds {len(got.plates)} plates; export every plate into its own folder")
    if not got.plates:
        raise DataError(f"{path}: names no plate; is this a Harmony index, and whole?")
    plate = got.plates[0].get("Name") or got.plates[0].get("PlateID") or path.parent.name
    images = tuple(HarmonyImage(v, got.channels.get(v.get("ChannelID", ""), {})) for v in got.images)
    return HarmonyIndex(path, plate, tuple(_wells(got.wells, path)), images, is_ended)


def _wells(found: list[tuple[str, str]], path: Path) -> list[str]:
    for row, column in found:
        if not row.isdecimal() or not column.isdecimal() or not int(row) or not int(column):
            raise DataError(f"{path}: a well has row {row!r} and column {column!r}; numbers from 1 are needed")
    return [well_name(int(row) - 1, int(column) - 1) for row, column in found]
