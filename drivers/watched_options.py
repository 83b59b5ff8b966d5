"""Options of the watched folder, from the table ``options`` of its [[device]] in lab.toml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.options import checked
from nextplate.errors import SettingsError
from nextplate.imaging import READERS, compile_pattern
from nextplate.imaging.watch import Due
from nextplate.plate import FORMATS

_REQUIRED: Mapping[str, type] = {"watch": str}
_OPTIONAL: Mapping[str, type] = {
    "depth": int,
    "reader": str,
    "pattern": str,
    "barcode_pattern": str,
    "wells": int,
    "fields": int,
    "channels": int,
    "settle_s": float,
    "timeout_h": float,
    "copy": bool,
    "several": str,
    "incomplete": str,
    "older": str,
    "orders": str,
}
_WORDS = {"several": ("ask", "newest"), "incomplete": ("wait", "take"), "older": ("ignore", "take")}


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a folder is watched."""

    watch: Path
    """Where the microscope or its export software drops plate folders."""
    depth: int = 1
    """Levels of folders below `watch` in which plate folders lie."""
    reader: str | None = None
    """None: detected."""
    pattern: str | None = None
    """Of file names, where no reader knows them."""
    barcode_pattern: re.Pattern[str] | None = None
    """Of a plate folder's path below `watch`, with a group ``barcode``; None: see `drivers.watched_look`."""
    due: Due = field(default_factory=Due)
    """What a whole plate holds where its format does not say it."""
    settle_s: float = 60.0
    """A plate is taken when it is whole and nothing in it changed for so long."""
    timeout_h: float = 12.0
    """The acquisition has failed when no whole plate came for so long after it was asked for."""
    is_copied: bool = False
    """True: the plate is copied whole into the lab; False: it is linked."""
    takes_newest: bool = False
    """Of several whole folders for one plate; False: a person is asked."""
    takes_incomplete: bool = False
    """A plate that lacks something and rests is taken as it is, after ten times `settle_s`; False: it is not."""
    takes_older: bool = False
    """A folder that was there before the plate was asked for may be its readout; False: it never is."""
    orders: Path | None = None
    """Folder for order files that tell the microscope's software what to image; None: people start it, or its own
    scheduler does."""

    @property
    def patience_s(self) -> float:
        """How long a plate must rest where something is in doubt."""
        return 10 * self.settle_s


def read_options(options: Mapping[str, Any], lab: Path) -> WatchOptions:
    """Check the options; folders are relative to the lab or absolute.

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the folder to watch is not there.
    """
    said = checked(options, _REQUIRED, _OPTIONAL)
    for name, allowed in _WORDS.items():
        if name in said and said[name] not in allowed:
            raise SettingsError(f"option {name} = {said[name]!r} should be {' or '.join(allowed)}")
    for name in ("settle_s", "timeout_h"):
        if name in said and not 0 < said[name] < float("inf"):
            raise SettingsError(f"option {name} = {said[name]!r} should be a number above 0")
    return WatchOptions(
        watch=_folder(lab, said["watch"]),
        depth=_whole(said, "depth", 1, range(1, 5)) or 1,
        reader=_reader(said.get("reader")),
        pattern=_pattern(said.get("pattern")),
        barcode_pattern=_barcode_pattern(said.get("barcode_pattern")),
        due=due_of(said),
        settle_s=float(said.get("settle_s", 60.0)),
        timeout_h=float(said.get("timeout_h", 12.0)),
        is_copied=said.get("copy", False),
        takes_newest=said.get("several") == "newest",
        takes_incomplete=said.get("incomplete") == "take",
        takes_older=said.get("older") == "take",
        orders=lab / said["orders"] if "orders" in said else None,
    )


def due_of(said: Mapping[str, Any]) -> Due:
    """Return what a whole plate holds, from the options wells, fields and channels.

    Raises:
        SettingsError: one is no such number.
    """
    n_fields, n_channels = _whole(said, "fields", None, range(1, 10_000)), _whole(said, "channels", None, range(1, 100))
    return Due(_wells(said), n_fields, n_channels)


def _folder(lab: Path, name: str) -> Path:
    folder = lab / name
    if not folder.is_dir():
        # never made: an empty mount point would be watched in vain
        raise SettingsError(f"there is no folder {folder} to watch; mount its share, or make it: mkdir {folder}")
    return folder


def _whole(said: Mapping[str, Any], name: str, default: int | None, allowed: range) -> int | None:
    value: int | None = said.get(name, default)
    if value is not None and value not in allowed:
        raise SettingsError(f"option {name} = {value} should be {allowed.start} to {allowed.stop - 1}")
    return value


def _wells(said: Mapping[str, Any]) -> frozenset[str] | None:
    if "wells" not in said:
        return None
    if said["wells"] not in FORMATS:
        raise SettingsError(f"option wells = {said['wells']} should be {', '.join(map(str, FORMATS))}")
    return frozenset(FORMATS[said["wells"]].wells())


def _reader(name: str | None) -> str | None:
    known = [reader.name for reader in READERS]
    if name is not None and name not in known:
        raise SettingsError(f"option reader = {name!r} should be one of {', '.join(known)}")
    return name


def _pattern(text: str | None) -> str | None:
    if text is not None:
        compile_pattern(text)
    return text


def _barcode_pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise SettingsError(f"option barcode_pattern = {text!r} is no regular expression: {error}") from error
    if "barcode" not in pattern.groupindex:
        raise SettingsError(f"option barcode_pattern = {text!r} has no group (?P<barcode>...)")
    return pattern
