"""Channels ready to use: their URLs with the secrets in them, which are never shown."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from controller.settings import ChannelSection
from controller.settings.telling import VARIABLE
from nextplate.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to reach people."""

    name: str
    url: str = field(repr=False)
    is_short: bool
    deadline_s: float


def open_channel(name: str, section: ChannelSection, lab: Path, environment: Mapping[str, str]) -> Channel:
    """Put a channel's secrets into its URL.

    Raises:
        SettingsError: a variable is not set, or the file is absent, empty or open to others; no secret is in the text.
    """
    where = f"{lab / 'lab.toml'}: notifications.channels.{name}"
    text = section.url if section.url is not None else _read(lab / (section.file or ""), where)
    return Channel(name, _filled(text, where, environment), section.short, section.deadline_s)


def _filled(text: str, where: str, environment: Mapping[str, str]) -> str:
    missing = [name for name in VARIABLE.findall(text) if not environment.get(name)]
    if missing:
        raise SettingsError(f"{where}: the environment variable {missing[0]} is not set")
    if whole := VARIABLE.fullmatch(text):
        return environment[whole[1]]
    # A part of a URL: an @ or / in a password must not end it.
    return VARIABLE.sub(lambda found: quote(environment[found[1]], safe=""), text)


def _read(path: Path, where: str) -> str:
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(f"{where}: {path}: {why}; put the channel's URL into the first line of this file") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"{where}: others can read {path}; type: chmod 600 {path}")
    if not lines:
        raise SettingsError(f"{where}: {path} is empty; put the channel's URL into its first line")
    return lines[0]
