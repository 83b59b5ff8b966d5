"""Options of the work-list folder driver: format, folders, settings file, patience."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.options import checked
from nextplate.errors import DataError, SettingsError
from protocols.worklists.formats import LISTS, RESULT_OF, RESULTS, ListSettings, read_settings


@dataclass(frozen=True, slots=True)
class WorklistOptions:
    """One robot's exchange."""

    list_format: str
    """One of protocols.worklists.formats.LISTS but pylabrobot."""
    result_format: str
    """One of protocols.worklists.formats.RESULTS."""
    out: Path
    """Where its software looks for work lists."""
    back: Path
    """Where its software leaves results."""
    settings: ListSettings
    settle_s: float
    """A result that cannot be believed, or lacks rows, is taken for half-written until it has not changed this long."""
    patience_s: float
    """After this long without a result a person is asked; counted anew after a restart. 0: for ever."""

    @property
    def suffix(self) -> str:
        """Return how work lists end."""
        return LISTS[self.list_format]


def read_options(options: Mapping[str, Any], lab: Path) -> WorklistOptions:
    """Read the options table of a [[device]]; paths are relative to the lab or absolute.

    Raises:
        SettingsError: an option is missing, unknown or wrong; a folder or the mapping file is not there.
    """
    optional = {"mapping": str, "result": str, "patience_h": float, "settle_s": float}
    known = checked(options, {"format": str, "out": str, "in": str}, optional)
    if known["format"] not in RESULT_OF:
        raise SettingsError(f"option format = {known['format']!r}; allowed are {', '.join(RESULT_OF)}")
    result = known.get("result", RESULT_OF[known["format"]])
    if result not in RESULTS:
        raise SettingsError(f"option result = {result!r}; allowed are {', '.join(RESULTS)}")
    patience_h, settle_s = known.get("patience_h", 0.0), known.get("settle_s", 60.0)
    if not 0 <= patience_h < 10_000 or not 0 <= settle_s < 86_400:
        raise SettingsError(f"patience_h = {patience_h}, settle_s = {settle_s}: hours below 10000, seconds of a day")
    out, back = (_folder(lab / known[name], lab) for name in ("out", "in"))
    if out.resolve() == back.resolve():
        raise SettingsError("options out and in name one folder; a work list would pass for its own result")
    settings = _settings(lab / known["mapping"]) if "mapping" in known else ListSettings()
    return WorklistOptions(known["format"], result, out, back, settings, settle_s, patience_h * 3600)


def _folder(folder: Path, lab: Path) -> Path:
    if folder.absolute().is_relative_to(lab.absolute()):
        folder.mkdir(parents=True, exist_ok=True)
    # never made outside the lab: an empty mount point would be taken for an exchange that nobody uses
    if not folder.is_dir():
        raise SettingsError(f"there is no folder {folder}; mount the share it lies on, or make it: mkdir {folder}")
    return folder


def _settings(path: Path) -> ListSettings:
    try:
        return read_settings(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"option mapping: {path}: {error.strerror}") from error
    except (DataError, ValueError) as error:
        raise SettingsError(f"option mapping: {path}: {error}") from error
