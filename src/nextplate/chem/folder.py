"""The feature folder of a library on disk: written in one move, verified when opened."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import rdkit

from nextplate.chem.describe import COUNTS, DESCRIPTOR_NAMES, FINGERPRINT, N_BITS, N_COUNT_BITS, Described
from nextplate.compound import Features
from nextplate.errors import DataError, DiskFull

FORMAT = "nextplate-features-2"
_FILES = ("compounds.parquet", "fingerprints.npy", "counts.npy", "descriptors.npy")


class FeatureRow(Protocol):
    """What a library row must say."""

    @property
    def compound_id(self) -> str:
        """The vendor's id."""
        ...

    @property
    def smiles(self) -> str:
        """The standardised structure."""
        ...

    @property
    def raw_smiles(self) -> str:
        """The structure as sent."""
        ...

    @property
    def change(self) -> str:
        """What standardisation changed."""
        ...


def library_digest(pairs: Iterable[tuple[str, str]]) -> str:
    """Give the sha256 over (compound id, standardised structure) in file order; it names a library."""
    sha = hashlib.sha256()
    for compound_id, smiles in pairs:
        sha.update(f"{compound_id}\0{smiles}\n".encode())
    return sha.hexdigest()


def save_features(rows: Sequence[FeatureRow], described: Described, folder: Path) -> Features:
    """Write a feature folder in one move and open it.

    Raises:
        DataError: the folder holds another library.
        DiskFull: no room; nothing is left behind.
    """
    digest = library_digest((row.compound_id, row.smiles) for row in rows)
    if folder.exists() and (existing := _sound(folder)) is not None:
        if existing.digest != digest:
            raise DataError(f"{folder}: holds another library ({existing.digest[:12]}); choose another folder")
        return existing
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(temporary, rows, described, digest)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
        _sync(folder.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{folder}: the disk is full; free some space and add the library again") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return load_features(folder)


def _sound(folder: Path) -> Features | None:
    """Open a folder that is already there; None when it is damaged and may be written anew."""
    if not (folder / "card.json").exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: is in the way: it is not a feature folder; move it or choose another")
    try:
        return load_features(folder)
    except DataError:
        return None


def _write(folder: Path, rows: Sequence[FeatureRow], described: Described, digest: str) -> None:
    folder.chmod(0o755)
    table = pl.DataFrame(
        {
            "compound_id": [row.compound_id for row in rows],
            "smiles": [row.smiles for row in rows],
            "raw_smiles": [row.raw_smiles for row in rows],
            "scaffold": list(described.scaffolds),
            "change": [row.change for row in rows],
            "alerts": list(described.alerts),
        },
        schema=dict.fromkeys(("compound_id", "smiles", "raw_smiles", "scaffold", "change", "alerts"), pl.String),
    )
    table.write_parquet(folder / "compounds.parquet")
    np.save(folder / "fingerprints.npy", described.fingerprints, allow_pickle=False)
    np.save(folder / "counts.npy", described.counts, allow_pickle=False)
    np.save(folder / "descriptors.npy", described.descriptors, allow_pickle=False)
    card = {
        "format": FORMAT,
        "digest": digest,
        "n": len(rows),
        "descriptors": list(DESCRIPTOR_NAMES),
        "fingerprint": FINGERPRINT,
        "n_bits": N_BITS,
        "counts": COUNTS,
        "n_count_bits": N_COUNT_BITS,
        "rdkit": rdkit.__version__,
        "sha256": {name: _sha256(folder / name) for name in _FILES},
    }
    (folder / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name in (*_FILES, "card.json"):
        _sync(folder / name)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_features(folder: Path) -> Features:
    """Open a feature folder; the arrays are memory-mapped, read-only.

    Raises:
        DataError: a file is missing, cut short, altered, or from another version; the message says which.
    """
    card = _card(folder)
    for name in _FILES:
        _verify(folder / name, card["sha256"].get(name))
    table = pl.read_parquet(folder / "compounds.parquet", columns=["compound_id", "smiles"])
    ids, smiles = tuple(table["compound_id"].to_list()), tuple(table["smiles"].to_list())
    fingerprints = _array(folder / "fingerprints.npy", (card["n"], card["n_bits"] // 8), np.dtype(np.uint8))
    counts = _array(folder / "counts.npy", (card["n"], card["n_count_bits"] // 8), np.dtype(np.uint8))
    descriptors = _array(folder / "descriptors.npy", (card["n"], len(card["descriptors"])), np.dtype(np.float32))
    if library_digest(zip(ids, smiles, strict=True)) != card["digest"]:
        raise DataError(f"{folder}: compounds.parquet does not belong to card.json; add the library again")
    return Features(folder, card["digest"], ids, smiles, fingerprints, descriptors, tuple(card["descriptors"]), counts)


def _card(folder: Path) -> Mapping[str, Any]:
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); add the library again") from error
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}); add the library again") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path}: is not of the format {FORMAT}; add the library again")
    missing = {"digest", "n", "n_bits", "n_count_bits", "descriptors", "sha256"} - card.keys()
    if missing:
        raise DataError(f"{path}: lacks {', '.join(sorted(missing))}; add the library again")
    return card


def _verify(path: Path, sha256: str | None) -> None:
    if not path.exists():
        raise DataError(f"{path}: is missing; add the library again")
    if _sha256(path) != sha256:
        size = path.stat().st_size
        raise DataError(f"{path}: was cut short or altered since it was written ({size} bytes); add the library again")


def _array(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        raise DataError(f"{path}: holds {array.dtype}{array.shape}, card.json promises {dtype}{shape}")
    return array
