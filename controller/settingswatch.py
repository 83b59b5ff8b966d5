"""lab.toml changed while a night runs: told, and left for the next start."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.lab import Lab, open_lab
from controller.settings import Settings
from nextplate.errors import SettingsError

JSON = Mapping[str, Any]
CHANGED = "settings.changed"


def settings_digest(campaigns: Sequence[Settings]) -> str:
    """Return the sha256 of all settings that shape decisions, as they are written now."""
    bodies = [settings.journal_body() for settings in campaigns]
    return hashlib.sha256(json.dumps(bodies, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class SettingsWatch:
    """Looks whether the files of a running lab's settings are still those it started with."""

    lab: Lab
    _stamp: tuple[tuple[str, int, int], ...] = field(init=False)
    _began: str = field(init=False)
    _last: str = field(init=False)

    def __post_init__(self) -> None:
        self._stamp, self._began = self._stamped(), self._digest()
        self._last = self._began

    def news(self) -> list[tuple[str, None, JSON]]:
        """Return the event of a change that was not told yet: kind, no campaign, payload."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return []
        self._stamp, digest = stamp, self._digest()
        if digest == self._last:
            return []
        self._last = digest
        told: dict[str, Any] = {"digest": digest, "began": self._began, "differs": [], "mistake": ""}
        try:
            now = open_lab(self.lab.folder)
        except SettingsError as error:
            return [(CHANGED, None, {**told, "mistake": str(error).partition("\n")[0]})]
        return [(CHANGED, None, {**told, "differs": sorted(set(_differing(self.lab, now)))})]

    def _files(self) -> list[Path]:
        return [self.lab.folder / "lab.toml", *sorted((self.lab.folder / "campaigns").glob("*.toml"))]

    def _stamped(self) -> tuple[tuple[str, int, int], ...]:
        stats = ((path.name, path.stat()) for path in self._files() if path.exists())
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)

    def _digest(self) -> str:
        text = b"\0".join(path.read_bytes() for path in self._files() if path.exists())
        return hashlib.sha256(text).hexdigest()


def _differing(began: Lab, now: Lab) -> Iterator[str]:
    """Name the keys that are other than they were."""
    before = {s.campaign.name: s for s in began.campaigns}
    for settings in now.campaigns:
        was = before.get(settings.campaign.name)
        if was is None:
            yield f"campaign {settings.campaign.name}"
            continue
        one, other = was.model_dump(mode="json"), settings.model_dump(mode="json")
        for table in (t for t in one if one[t] != other[t]):
            keys = one[table] if isinstance(one[table], dict) and isinstance(other[table], dict) else ()
            yield from (f"{table}.{key}" for key in keys if one[table][key] != other[table].get(key))
            yield from () if keys else (table,)


def changed_text(told: JSON) -> str:
    """Say what was changed, and that the night goes on as it began."""
    if told["digest"] == told["began"]:
        return "lab.toml is again what it was when this night started"
    what = f"it has a mistake: {told['mistake']}" if told["mistake"] else ", ".join(told["differs"]) or "comments only"
    return (
        f"lab.toml was changed ({what}); this night goes on with the settings it started with "
        f"(now {told['digest'][:16]}), the next start reads the new ones"
    )
