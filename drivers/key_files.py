"""Files named after keys: safe names for any key, and files that a reader finds whole or not at all."""

import hashlib
import os
from pathlib import Path

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_MAX_NAME = 180


def file_name(key: str) -> str:
    """Spell a key as a file name: injective, also where case is ignored, and readable for ordinary keys.

    Lower case letters, digits, ``.``, ``_`` and ``-`` stand for themselves, all else for its UTF-8 bytes as %XX.
    """
    plain = "".join(_spelled(char, is_first=i == 0) for i, char in enumerate(key))
    if 0 < len(plain) <= _MAX_NAME:
        return plain
    return "%-" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _spelled(char: str, *, is_first: bool) -> str:
    if char in _PLAIN and not (is_first and char == "."):
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it, so that a reader finds it whole or not at all."""
    scratch = path.with_name(f".{path.name}.tmp")
    with scratch.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
