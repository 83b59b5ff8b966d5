"""The feature folder of a library on disk: verified when opened."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.chem.writer import FILES, FORMAT, sha256_of
from nextplate.compound import Features
from nextplate.errors import DataError


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
        features = load_features(folder)
    except DataError:
        return None
    if features.digest != digest:
        raise DataError(f"{folder}: holds another library ({features.digest[:12]}); choose another folder")
    return features


def load_features(folder: Path) -> Features:
    """Open a feature folder; the arrays are memory-mapped, read-only.

    Raises:
        DataError: a file is missing, cut short, altered, or from another version; the message says which.
    """
    card = _card(folder)
    for name in FILES:
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
    if sha256_of(path) != sha256:
        size = path.stat().st_size
        raise DataError(f"{path}: was cut short or altered since it was written ({size} bytes); add the library again")


def _array(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        raise DataError(f"{path}: holds {array.dtype}{array.shape}, card.json promises {dtype}{shape}")
    return array
