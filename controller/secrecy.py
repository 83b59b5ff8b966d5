"""What of a lab's settings and logs may leave the lab: passwords, tokens and logins are blanked by their names.

A value is blanked when its option's name smells of a secret, when it is a URL that is one (a messenger's), and where a
URL carries a login or a token. ``${NAME}`` names an environment variable, and stays. Comments may hold anything, which
is why settings go out as they were read and not as their text. In logs, what the settings hold, name (``token_env``,
``token_file``) or refer to is blanked wherever it stands, and so is what a header, a form or JSON calls a secret.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from drivers.wire_log import Chunk, parse_line, spelled
from nextplate.errors import DataError

BLANK = "***"
_SMELL = re.compile(
    r"pass(?!es\b|age)|pwd|\bpw\b|secret|token|key(?!ence|board)|credential|auth(?!ors?$)|bearer|cookie|webhook|\bpin\b|licen[cs]e",
    re.IGNORECASE,
)
_SIGNED = re.compile(rf"{_SMELL.pattern}|^(?:sig|signature)$", re.IGNORECASE)
"""Names of secrets in the query of a URL."""
_PLAIN = frozenset({"http", "https", "socket", "replay", "loop", "file", "tcp", "rfc2217", "spy", "sqlite"})
"""URLs of these schemes say where something is; what else has a scheme may be a login itself."""
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s\"']+", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/\s\"']*@")
_MESSENGER = re.compile(
    r"(?i)https?://(?:hooks\.slack\.com|[\w.-]+\.webhook\.office\.com|(?:\w+\.)?discord(?:app)?\.com/api/webhooks)/"
)
"""Addresses that are their own password, of messengers whose names are known."""
_QUERY = re.compile(r"([?&;]([^=&;\s]+)=)[^&;#\s\"']+")
_NAMED = (
    r"[\w-]*(?:passw|passphrase|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|session[-_]?id"
    r"|csrf)[\w-]*"
)
"""Names of secrets in a text; narrower than of options, for a log is full of keys that are none."""
_BEGIN = r"(?:(?<![\w-])|(?<=\\[nrt]))"
"""Of a name: also behind a line's end that is spelled out."""
_QUOTE = r"(?:\\*[\"'])?"
_HEADER = re.compile(
    rf"(?i)({_BEGIN}(?:(?:proxy-)?authorization|(?:set-)?cookie){_QUOTE}\s*[:=]\s*{_QUOTE})(?!\()[^\r\n\\\"'|]+"
)
_VALUE = r"\\+\"((?:(?!\\+\").)*)\\+\"|\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|([^&\s\"',;\\(|]+)"
"""Of a secret: in quotes within quotes, in quotes, or bare."""
_PAIR = re.compile(rf"(?i)({_BEGIN}{_NAMED}{_QUOTE}\s*[:=]\s*)(?:{_VALUE})")
_VARIABLE = re.compile(r"\$\{\w+\}")
_TOLD = frozenset(("notifications", "notify", "alerts"))
"""Sections whose URLs lead to people; a webhook's address is its password."""
_SHORTEST = 4
"""A secret of fewer characters is not looked for in logs, where it would be found everywhere."""


def settings_to_show(lab: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], frozenset[str]]:
    """Read what of lab.toml may leave the lab, and the secrets that no other file may hold that does.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not TOML, so nobody can tell its secrets from the rest.
    """
    settings = tomllib.loads((lab / "lab.toml").read_text(encoding="utf-8-sig"))
    return blanked(settings), secrets_of(settings) | secrets_named(settings, lab, environ)


def blanked(value: Any, name: str = "") -> Any:
    """Return JSON values without their secrets.

    Args:
        value: of an option, or a whole file of them.
        name: Of the option; "" for a whole file.
    """
    if _SMELL.search(name) and not isinstance(value, bool) and value is not None:
        return value if isinstance(value, str) and _VARIABLE.fullmatch(value) else BLANK
    if isinstance(value, Mapping):
        return {str(key): _told(inner) if key in _TOLD else blanked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, str):
        return without_said(value)
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


def without_said(text: str) -> str:
    """Blank what a text calls a secret: in URLs, headers, forms, JSON."""
    text = _HEADER.sub(lambda found: f"{found[1]}{BLANK}", without_logins(text))
    return _PAIR.sub(lambda found: found[0].replace(_value(found), BLANK) if _value(found) else found[0], text)


def _value(found: re.Match[str]) -> str:
    """Return what a `_PAIR` gives its name."""
    return next((group for group in found.groups()[1:] if group), "")


def secrets_of(value: Any) -> frozenset[str]:
    """Return every text that `blanked` would blank: what must not stand in a log either."""
    return frozenset(found for found in _secrets(value, is_secret=False) if len(found) >= _SHORTEST)


def secrets_named(value: Any, folder: Path, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the secrets that settings only name: in variables of the environment, and in files.

    Args:
        value: the settings.
        folder: of the lab, to which files are relative.
        environ: the environment.
    """
    return frozenset(found for found in _named_in(value, folder, environ) if len(found) >= _SHORTEST)


def without(secrets: frozenset[str], content: bytes) -> bytes:
    """Blank secrets wherever they stand in a file, as text or as a log of bytes spells them."""
    for secret in sorted(secrets, key=len, reverse=True):
        data = secret.encode()
        texts = {data, json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode()}
        for text in (*sorted(texts), data.hex(" ").encode(), data.hex().encode()):
            content = content.replace(text, BLANK.encode())
    return content


def cleaned(content: bytes, secrets: frozenset[str]) -> bytes:
    """Return a log, of a wire or any other text, without secrets; a wire's log stays one that can be played back."""
    lines = (_cleaned_line(line, secrets) for line in content.decode("latin-1").split("\n"))
    return without(secrets, "\n".join(lines).encode("latin-1"))


def _cleaned_line(line: str, secrets: frozenset[str]) -> str:
    try:
        chunk = parse_line(line)
    except DataError:
        return without_said(line)
    data = without_said(without(secrets, chunk.data).decode("latin-1")).encode("latin-1")
    return line if data == chunk.data else _spelled(replace(chunk, data=data))


def _spelled(chunk: Chunk) -> str:
    return spelled(chunk).encode().decode("latin-1")


def _url(url: str, scheme: str) -> str:
    base = scheme.lower().split("+")[0]
    if base not in _PLAIN and not base.startswith(("postgres", "mysql")):
        return f"{scheme}://{BLANK}"
    if found := _MESSENGER.match(url):
        return f"{found[0]}{BLANK}"
    url = _LOGIN.sub(f"{BLANK}@", url)
    return _QUERY.sub(lambda found: f"{found[1]}{BLANK}" if _SIGNED.search(found[2]) else found[0], url)


def _secrets(value: Any, *, is_secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(inner, is_secret=is_secret or bool(_SMELL.search(str(key))))
    elif isinstance(value, str):
        if is_secret and not _VARIABLE.fullmatch(value):
            yield value
        yield from _said(value)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _secrets(inner, is_secret=is_secret)


def _said(text: str) -> Iterator[str]:
    """Yield what `without_said` blanks in a text."""
    for url in _URL.finditer(text):
        logins = [login[0][:-1].partition(":")[2] for login in _LOGIN.finditer(url[0])]
        queries = [found[0].partition("=")[2] for found in _QUERY.finditer(url[0]) if _SMELL.search(found[2])]
        for secret in (*logins, *queries):
            yield from {secret, unquote(secret)} - {""}
    for found in _HEADER.finditer(text):
        yield found[0][len(found[1]) :].split(" ", 1)[-1]
    for found in _PAIR.finditer(text):
        yield _value(found)


def _named_in(value: Any, folder: Path, environ: Mapping[str, str], name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _named_in(inner, folder, environ, str(key))
    elif isinstance(value, str):
        yield from (environ.get(found[0][2:-1], "") for found in _VARIABLE.finditer(value))
        if _SMELL.search(name) and name.endswith("_env"):
            yield environ.get(value, "")
        elif _SMELL.search(name) and name.endswith("_file"):
            yield from _read(folder / value)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _named_in(inner, folder, environ, name)


def _read(path: Path) -> Iterator[str]:
    try:
        yield path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return  # what cannot be read was never sent
