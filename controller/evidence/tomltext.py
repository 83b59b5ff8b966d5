"""Write TOML: only what lab.toml needs, as Python reads TOML and does not write it."""

import json
import math
import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(body: Mapping[str, Any]) -> str:
    """Write tables and arrays of tables of TOML's values; None is left out."""
    lines: list[str] = []
    for name, value in body.items():
        if isinstance(value, Mapping):
            lines += [f"[{_key(name)}]", *_pairs(value), ""]
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for item in value:
                lines += [f"[[{_key(name)}]]", *_pairs(item), ""]
        else:
            lines[:0] = [f"{_key(name)} = {_value(value)}"]
    return "\n".join(lines)


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(_pairs(value))
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _string(value) if isinstance(value, str) else json.dumps(value)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped, and pairs of surrogates, which it forbids.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
