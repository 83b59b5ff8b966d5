"""Beliefs on disk: a folder of files and a JSON card that vouches for each. No pickle is read or written.

``card.json`` names the kind, what was learned from (digests, labels, seed), the metrics, the code that wrote it,
and the sha256 of every other file; and it carries the sha256 of itself without that one entry.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from nextplate import __version__
from nextplate.errors import DiskFull, ModelError, ModelFileError
from nextplate.models.belief import Learned

FORMAT = 2
"""Number of the format; a folder of a higher one was written by a later nextplate."""
CARD = "card.json"
_FORMAT_NAME = re.compile(r"nextplate-belief-(\d+)")
_NEEDED = frozenset(("kind", "learned", "facts", "metrics", "sha256", "card_sha256"))
_AGAIN = "fit the belief again, or use one that is whole"


def save_folder(
    folder: Path,
    kind: str,
    learned: Learned,
    fill: Callable[[Path], None],
    *,
    facts: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Write a belief to a new folder, whole or not at all.

    Args:
        folder: must not exist yet; equal beliefs give byte-identical folders.
        kind: name of the kind.
        learned: what it was fitted on.
        fill: writes the belief's files into the folder it is given, which is not yet the final one.
        facts: further JSON values the kind needs to read the belief again.
        metrics: e.g. out-of-fold errors; a value that is not finite is written as null.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    if folder.exists():
        raise ModelError(f"{folder}: exists already; a belief is never overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        fill(temporary)
        _write_card(temporary, kind, learned, facts or {}, metrics or {})
        _sync_tree(temporary)
        temporary.replace(folder)
        _sync(folder.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{folder}: the disk is full; free some space and run the step again") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_card(
    folder: Path, kind: str, learned: Learned, facts: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    body = {
        "format": f"nextplate-belief-{FORMAT}",
        "kind": kind,
        "nextplate": code_version(),
        "learned": {**asdict(learned), "descriptor_names": list(learned.descriptor_names)},
        "facts": dict(facts),
        "metrics": {k: float(v) if np.isfinite(v) else None for k, v in metrics.items()},
        "sha256": {name: file_digest(folder / name) for name in _files(folder)},
    }
    card = {**body, "card_sha256": _card_digest(body)}
    (folder / CARD).write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _card_digest(card: Mapping[str, Any]) -> str:
    body = {name: value for name, value in card.items() if name != "card_sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _files(folder: Path) -> list[str]:
    """List every file below a folder but its own card and what hides behind a dot (a file browser's droppings)."""
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return sorted(name for p in paths if (name := p.relative_to(folder).as_posix()) != CARD)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@cache
def code_version() -> str:
    """Return the version of nextplate and the first digits of the sha256 over its source."""
    sha = hashlib.sha256()
    root = Path(str(resources.files("nextplate")))
    for path in sorted(root.rglob("*.py")):
        sha.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{__version__}+{sha.hexdigest()[:12]}"


def read_card(folder: Path, kind: str | None = None) -> Mapping[str, Any]:
    """Read a belief's card and check it and every file it vouches for.

    Args:
        folder: of a belief.
        kind: that it must be of; None: any.

    Raises:
        ModelFileError: a file is missing, cut short, altered or too many, or of another kind, program or later
            format; the message names it.
    """
    path = folder / CARD
    card = _card_of(path)
    if kind is not None and card["kind"] != kind:
        raise ModelFileError(f"{path}: is a belief of kind {card['kind']!r}, not {kind!r}; name the kind it is of")
    for name, sha256 in card["sha256"].items():
        _check_file(folder, name, sha256)
    if strange := sorted({*_files(folder)} - {*card["sha256"]}):
        raise ModelFileError(f"{folder / strange[0]}: is not of this belief (card.json does not know it); move it away")
    return card


def _card_of(path: Path) -> Mapping[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    except ValueError as error:
        raise ModelFileError(f"{path}: is damaged ({error}); {_AGAIN}") from error
    written = _FORMAT_NAME.fullmatch(str(card.get("format"))) if isinstance(card, dict) else None
    if written is None:
        raise ModelFileError(f"{path}: is not the card of a nextplate belief; name the folder of one")
    if int(written[1]) > FORMAT:
        raise ModelFileError(
            f"{path}: is of format {written[0]}, this nextplate reads up to nextplate-belief-{FORMAT}; "
            "use the nextplate that wrote it, or a later one"
        )
    if int(written[1]) < FORMAT:
        raise ModelFileError(f"{path}: is of the format {written[0]} of before; fit the belief again")
    if missing := _NEEDED - card.keys():
        raise ModelFileError(f"{path}: lacks {', '.join(sorted(missing))}; {_AGAIN}")
    if card["card_sha256"] != _card_digest(card):
        raise ModelFileError(f"{path}: was altered since the belief was saved; {_AGAIN}")
    whole: Mapping[str, Any] = card
    return whole


def _check_file(folder: Path, name: str, sha256: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelFileError(f"{folder / CARD}: names {name!r}, which is outside of the folder; {_AGAIN}")
    try:
        found = file_digest(path)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    if found != sha256:
        size = path.stat().st_size
        raise ModelFileError(f"{path}: was cut short or altered since the belief was saved ({size} bytes); {_AGAIN}")


def learned_of(card: Mapping[str, Any]) -> Learned:
    """Return what a card says its belief was fitted on.

    Raises:
        ModelFileError: entries are missing or too many.
    """
    body = dict(card["learned"])
    try:
        body["descriptor_names"], body["notes"] = tuple(body["descriptor_names"]), tuple(body["notes"])
        return Learned(**body)
    except (KeyError, TypeError) as error:
        raise ModelFileError(
            f"card.json of a belief of kind {card['kind']!r}: 'learned' is not whole ({error})"
        ) from error


def load_arrays(path: Path) -> dict[str, Any]:
    """Read an npz file without pickles.

    Raises:
        ModelFileError: it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: cannot be read ({error}); {_AGAIN}") from error


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an npz file, the same bytes for the same arrays: numpy dates every entry 1980."""
    np.savez(path, **arrays)
