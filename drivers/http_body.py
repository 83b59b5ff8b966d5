"""Bodies of HTTP requests and answers: JSON that is believed only when it is strict, and multipart forms."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from drivers.wire import Garbled

MAX_DEPTH = 64
"""Of lists and objects in each other; what devices say is flat."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries."""

    content: bytes = field(repr=False)
    kind: str
    """Content-Type."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form, or a file."""

    name: str
    content: bytes = field(repr=False)
    file_name: str = ""
    """Empty: a field."""
    kind: str = "application/octet-stream"
    """Content-Type of a file."""


def json_body(value: Any) -> Body:
    """Write JSON values, ASCII.

    Raises:
        ValueError, TypeError: a NaN, or what is no JSON value.
    """
    return Body(json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii"), "application/json")


def form_body(parts: Sequence[Part]) -> Body:
    """Write a form (multipart/form-data, RFC 7578); the same bytes for the same parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.name.encode() + b"\0" + part.content + b"\0")
    boundary = f"nextplate-{digest.hexdigest()[:40]}"
    while any(boundary.encode() in part.content for part in parts):
        boundary = f"nextplate-{hashlib.sha256(boundary.encode()).hexdigest()[:40]}"
    pieces = [_head(part, boundary) + part.content + b"\r\n" for part in parts]
    return Body(b"".join(pieces) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def _head(part: Part, boundary: str) -> bytes:
    lines = [f"--{boundary}", f'Content-Disposition: form-data; name="{_quoted(part.name)}"']
    if part.file_name:
        lines[1] += f'; filename="{_quoted(part.file_name)}"'
        lines.append(f"Content-Type: {part.kind}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def as_json(body: bytes, asked: str) -> Any:
    """Read JSON: UTF-8, no name twice in an object, no NaN or infinite number, nothing deeper than MAX_DEPTH.

    Args:
        body: the bytes.
        asked: begins the message.

    Raises:
        Garbled: it is none of that; says why and shows the beginning.
    """
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
        )
        _measure(value)
        if _HALF.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a character is none
    except (ValueError, RecursionError) as error:
        raise Garbled(f"{asked}: the answer is not the JSON it should be: {error!s:.120} ({body[:60]!a})") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.30} is too large")
    return number


def _measure(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for item in level if isinstance(item, dict | list) for inner in _inside(item)]
        if not level:
            return
    raise ValueError(f"it is deeper than {MAX_DEPTH}")


def _inside(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item
