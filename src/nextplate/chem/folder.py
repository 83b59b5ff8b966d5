"""The feature folder of a library on disk: verified when first opened, and again when a file has changed since.

A million compounds are 1.9 GB; hashing them takes seconds, and every step of a cycle opens them. So what was found
sound is kept beside the files (``.verified.json``): for the card's sha256, each file's size, inode and times. The
time of change (ctime) is the system's own and cannot be set back, so a file that was cut, altered or replaced is
hashed again. What a disk forgets by itself is found by ``recheck``, which adding the library again does.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.chem.describe import COUNTS, DESCRIPTOR_NAMES, FINGERPRINT, PAIRS
from nextplate.chem.texts import TextColumn
from nextplate.chem.writer import FILES, FORMAT, sha256_of
from nextplate.compound import Features
from nextplate.errors import DataError

ADD_AGAIN = "add the library again"
"""The fix that errors about damaged features end with."""
_VERIFIED = ".verified.json"
_TICK_NS = 50_000_000


def library_digest(pairs: Iterable[tuple[str, str]]) -> str:
    """Give the sha256 over (compound id, standardised structure) in file order; it names a library."""
    sha = hashlib.sha256()
    for compound_id, smiles in pairs:
        sha.update(f"{compound_id}\0{smiles}\n".encode())
    return sha.hexdigest()


def sound_features(folder: Path, digest: str) -> Features | None:
    """Open the folder of this library if it is there; None when it is not, or damaged and may be written anew.

    Raises:
        DataError: the folder holds another library, or something else.
    """
    if not folder.exists():
        return None
    if not (folder / "card.json").exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: is in the way: it is not a feature folder; move it or choose another")
    try:
        features = load_features(folder, recheck=True)
    except DataError:
        return None
    if features.digest != digest:
        raise DataError(
            f"{folder}: holds another library ({features.digest[:12]}); move it away, or choose another folder"
        )
    return features


def load_features(folder: Path, *, recheck: bool = False) -> Features:
    """Open a feature folder; the arrays are memory-mapped, read-only, the texts read when asked for.

    Args:
        folder: as written by ``featurise`` or ``stream_library``.
        recheck: hash every file, even those unchanged since they were last found sound.

    Raises:
        DataError: a file is missing, cut short, altered, or from another version; the message says which.
    """
    card = _card(folder)
    if recheck or not _is_verified(folder):
        _verify_all(folder, card)
    n, names = card["n"], tuple(card["descriptors"])
    texts = [TextColumn(folder / "compounds.parquet", name, n) for name in ("compound_id", "smiles")]
    fingerprints = _array(folder / "fingerprints.npy", (n, card["n_bits"] // 8), np.dtype(np.uint8))
    counts = _array(folder / "counts.npy", (n, card["n_count_bits"] // 8), np.dtype(np.uint8))
    pairs = _array(folder / "pairs.npy", (n, card["n_pair_bits"] // 8), np.dtype(np.uint8))
    descriptors = _array(folder / "descriptors.npy", (n, len(names)), np.dtype(np.float32))
    return Features(folder, card["digest"], texts[0], texts[1], fingerprints, descriptors, names, counts, pairs)


def _card(folder: Path) -> Mapping[str, Any]:
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {ADD_AGAIN}") from error
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}); {ADD_AGAIN}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path}: is not of the format {FORMAT}; {ADD_AGAIN}")
    missing = {"digest", "n", "n_bits", "n_count_bits", "n_pair_bits", "descriptors", "sha256"} - card.keys()
    if missing:
        raise DataError(f"{path}: lacks {', '.join(sorted(missing))}; {ADD_AGAIN}")
    _refuse_other_features(path, card)
    return card


def _refuse_other_features(path: Path, card: Mapping[str, Any]) -> None:
    """Hold a card against this version: what a belief sees must mean what it meant when it was fitted."""
    for name, ours in (("fingerprint", FINGERPRINT), ("counts", COUNTS), ("pairs", PAIRS)):
        if (theirs := card.get(name)) != ours:
            raise DataError(
                f"{path}: another version wrote these features ({name}: {theirs!r}, here {ours!r}); {ADD_AGAIN}"
            )
    if tuple(card["descriptors"]) != DESCRIPTOR_NAMES:
        raise DataError(f"{path}: another version wrote these features (other descriptors); {ADD_AGAIN}")


def _verify_all(folder: Path, card: Mapping[str, Any]) -> None:
    before = _identities(folder)
    for name in FILES:
        _verify(folder / name, card["sha256"].get(name))
    table = pl.scan_parquet(folder / "compounds.parquet").select("compound_id", "smiles").collect()
    if len(table) != card["n"] or library_digest(table.iter_rows()) != card["digest"]:
        raise DataError(f"{folder}: compounds.parquet does not belong to card.json; {ADD_AGAIN}")
    _remember(folder, before)


def _identities(folder: Path) -> dict[str, Any]:
    """Say which files lie there, so that any other is told apart; a file that is missing is None."""
    found: dict[str, Any] = {"card.json": sha256_of(folder / "card.json")}
    for name in FILES:
        try:
            stat = (folder / name).stat()
        except OSError:
            found[name] = None
        else:
            found[name] = [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
    return found


def _is_verified(folder: Path) -> bool:
    record = folder / _VERIFIED
    try:
        known, written_ns = json.loads(record.read_text(encoding="utf-8")), record.stat().st_mtime_ns
    except (OSError, ValueError):
        return False
    now = _identities(folder)
    # A file changed within the clock tick in which it was looked at would have the same times: not to be trusted.
    changed_ns = max((now[name][-1] for name in FILES if now[name]), default=0)
    return bool(known == now) and changed_ns + _TICK_NS < written_ns


def _remember(folder: Path, identities: Mapping[str, Any]) -> None:
    temporary = folder / f"{_VERIFIED}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps(identities), encoding="utf-8")
        temporary.replace(folder / _VERIFIED)
    except OSError:  # a folder that may only be read, or a full disk: verified again next time, that is all
        temporary.unlink(missing_ok=True)


def _verify(path: Path, sha256: str | None) -> None:
    if not path.exists():
        raise DataError(f"{path}: is missing; {ADD_AGAIN}")
    if sha256_of(path) != sha256:
        size = path.stat().st_size
        raise DataError(f"{path}: was cut short or altered since it was written ({size} bytes); {ADD_AGAIN}")


def _array(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        raise DataError(f"{path}: holds {array.dtype}{array.shape}, card.json promises {dtype}{shape}")
    return array
