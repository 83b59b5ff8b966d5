"""What of a lab's settings may leave the lab: passwords, tokens and logins are blanked by their names, at any depth.

A value is blanked when its option's name smells of a secret, when it is a URL that is one (a messenger's), and where a
URL carries a login or a token. ``${NAME}`` names an environment variable, and stays. Comments may hold anything, which
is why settings go out as they were read and not as their text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BLANK = "***"
_SMELL = re.compile(
    r"pass(?!es\b|age)|pwd|\bpw\b|secret|token|key(?!ence|board)|credential|auth(?!ors?$)|bearer|cookie|webhook|\bpin\b|licen[cs]e",
    re.IGNORECASE,
)
_PLAIN = frozenset({"http", "https", "socket", "replay", "loop", "file", "tcp", "rfc2217", "spy", "sqlite"})
"""URLs of these schemes say where something is; what else has a scheme may be a login itself."""
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s\"']+", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/\s\"']*@")
_QUERY = re.compile(r"([?&;]([^=&;\s]+)=)[^&;#\s\"']+")
_VARIABLE = re.compile(r"\$\{\w+\}")
_TOLD = "notifications"
"""The section whose URLs lead to people; a webhook's address is its password."""
_SHORTEST = 4
"""A secret of fewer characters is not looked for in logs, where it would be found everywhere."""


def blanked(value: Any, name: str = "") -> Any:
    """Return JSON values without their secrets.

    Args:
        value: of an option, or a whole file of them.
        name: Of the option; "" for a whole file.
    """
    if _SMELL.search(name) and not isinstance(value, bool) and value is not None:
        return value if isinstance(value, str) and _VARIABLE.fullmatch(value) else BLANK
    if isinstance(value, Mapping):
        return {str(key): _told(inner) if key == _TOLD else blanked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, str):
        return without_logins(value)
    return [blanked(inner) for inner in value] if isinstance(value, Sequence) else value


def _told(value: Any) -> Any:
    """Blank every URL of a section whose URLs are all logins."""
    if isinstance(value, Mapping):
        return {key: _told(inner) for key, inner in blanked(value).items()}
    if isinstance(value, str):
        return _URL.sub(lambda found: f"{found[1]}://{BLANK}", value)
    return [_told(inner) for inner in value] if isinstance(value, Sequence) else value


def without_logins(text: str) -> str:
    """Blank what is secret in the URLs of a text."""
    return _URL.sub(lambda found: _url(found[0], found[1]), text)


def secrets_of(value: Any) -> frozenset[str]:
    """Return every text that `blanked` would blank as a whole: what must not stand in a log either."""
    return frozenset(found for found in _secrets(value, is_secret=False) if len(found) >= _SHORTEST)


def without(secrets: frozenset[str], content: bytes) -> bytes:
    """Blank secrets wherever they stand in a file, as text or as a log of bytes spells them."""
    for secret in sorted(secrets, key=len, reverse=True):
        data = secret.encode()
        for spelled in (data, data.hex(" ").encode(), data.hex().encode()):
            content = content.replace(spelled, BLANK.encode())
    return content


def _url(url: str, scheme: str) -> str:
    base = scheme.lower().split("+")[0]
    if base not in _PLAIN and not base.startswith(("postgres", "mysql")):
        return f"{scheme}://{BLANK}"
    url = _LOGIN.sub(f"{BLANK}@", url)
    return _QUERY.sub(lambda found: f"{found[1]}{BLANK}" if _SMELL.search(found[2]) else found[0], url)


def _secrets(value: Any, *, is_secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(inner, is_secret=is_secret or bool(_SMELL.search(str(key))))
    elif isinstance(value, str):
        if is_secret and not _VARIABLE.fullmatch(value):
            yield value
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _secrets(inner, is_secret=is_secret)
