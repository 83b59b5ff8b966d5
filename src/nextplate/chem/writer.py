"""Write a feature folder chunk by chunk: what is in memory is a chunk, whatever the size of the library.

The folder grows as a hidden sibling (``.KEY.part``) with a checkpoint every few thousand compounds; the last act is
one rename. Killed in between, the next writer of the same key goes on from the last checkpoint. A lock that dies
with its process keeps two writers apart.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import rdkit

from nextplate.chem.describe import COUNTS, DESCRIPTOR_NAMES, FINGERPRINT, N_BITS, Described, Encoded
from nextplate.chem.environments import N_COUNT_BITS
from nextplate.errors import DataError, DiskFull, NextplateError

FORMAT = "nextplate-features-2"
FILES = ("compounds.parquet", "fingerprints.npy", "counts.npy", "descriptors.npy")
COLUMNS = ("compound_id", "smiles", "raw_smiles", "scaffold", "change", "alerts")
_ARRAYS = {
    "fingerprints": (np.dtype("|u1"), N_BITS // 8),
    "counts": (np.dtype("|u1"), N_COUNT_BITS // 8),
    "descriptors": (np.dtype("<f4"), len(DESCRIPTOR_NAMES)),
}
_PART_ROWS = 20_000
_GROUP_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class TextRow:
    """What the folder says of a compound in words."""

    compound_id: str
    smiles: str
    """Standardised."""
    raw_smiles: str
    change: str
    """What standardisation changed; '' when nothing."""


@dataclass(slots=True)
class FeatureWriter:
    """A feature folder being written; use ``writing``."""

    partial: Path
    key: str
    n: int = 0
    """Compounds at the last checkpoint, or appended since."""
    n_read: int = 0
    """Rows of the source dealt with at the last checkpoint, or since; where to go on."""
    notes: list[Any] = field(default_factory=list)
    """Of the caller, kept with the checkpoint; anything JSON can hold."""
    _n_parts: int = 0
    _files: dict[str, IO[bytes]] = field(default_factory=dict)
    _texts: dict[str, list[str | None]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    _sha: Any = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        """The library digest of what was appended so far."""
        return str(self._sha.hexdigest())

    def append(self, rows: Sequence[TextRow], encoded: Encoded, n_read: int) -> None:
        """Add compounds; encoded row i belongs to rows[i]. Without scaffolds and alerts theirs are null."""
        for name, file in self._files.items():
            dtype, _ = _ARRAYS[name]
            file.write(np.ascontiguousarray(getattr(encoded, name), dtype=dtype).tobytes())
        nothing = [None] * len(rows)
        columns: dict[str, Sequence[str | None]] = {
            "compound_id": [row.compound_id for row in rows],
            "smiles": [row.smiles for row in rows],
            "raw_smiles": [row.raw_smiles for row in rows],
            "scaffold": encoded.scaffolds if isinstance(encoded, Described) else nothing,
            "change": [row.change for row in rows],
            "alerts": encoded.alerts if isinstance(encoded, Described) else nothing,
        }
        for name, values in columns.items():
            self._texts[name].extend(values)
        _update(self._sha, columns["compound_id"], columns["smiles"])
        self.n, self.n_read = self.n + len(rows), self.n_read + n_read
        if len(self._texts["smiles"]) >= _PART_ROWS:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Make everything appended so far survive a crash."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        if self._texts["smiles"]:
            table = pl.DataFrame(self._texts, schema=dict.fromkeys(COLUMNS, pl.String))
            table.write_parquet(self.partial / _part(self._n_parts))
            self._n_parts += 1
            self._texts = {name: [] for name in COLUMNS}
        state = {"n": self.n, "n_read": self.n_read, "n_parts": self._n_parts, "notes": self.notes}
        _write_json(self.partial / "progress.json", {"key": self.key, "versions": _versions(), **state})

    def finish(self, folder: Path) -> None:
        """Complete the files and move them into place, over a damaged folder if there is one."""
        self.checkpoint()
        for name, file in self._files.items():
            _write_header(file, name, self.n)
            file.close()
        parts = [self.partial / _part(i) for i in range(self._n_parts)]
        target = self.partial / "compounds.parquet"
        pl.scan_parquet(parts).sink_parquet(target, maintain_order=True, row_group_size=_GROUP_ROWS)
        for path in (*parts, self.partial / "progress.json"):
            path.unlink()
        _write_json(self.partial / "card.json", self._card())
        for name in (*FILES, "card.json"):
            _sync(self.partial / name)
        (self.partial / "lock").unlink()
        _sync(self.partial)
        if folder.exists():
            shutil.rmtree(folder)
        self.partial.replace(folder)
        _sync(folder.parent)

    def column(self, name: str) -> pl.Series:
        """Give a text column as far as the last checkpoint."""
        parts = [self.partial / _part(i) for i in range(self._n_parts)]
        return pl.scan_parquet(parts).select(name).collect()[name]

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._close()
        shutil.rmtree(self.partial)

    def _card(self) -> Mapping[str, Any]:
        return {
            "format": FORMAT,
            "digest": self.digest,
            "n": self.n,
            "descriptors": list(DESCRIPTOR_NAMES),
            "n_bits": N_BITS,
            "n_count_bits": N_COUNT_BITS,
            **_versions(),
            "sha256": {name: sha256_of(self.partial / name) for name in FILES},
        }

    def _start(self) -> None:
        """Take up the last checkpoint, or start anew when there is none that can be used."""
        state = self._usable_state()
        for path in self.partial.iterdir():
            kept = ["lock", *(_part(i) for i in range(state["n_parts"])), *(f"{name}.npy" for name in _ARRAYS)]
            if path.name not in kept or (state["n"] == 0 and path.name != "lock"):
                path.unlink()
        self.n, self.n_read, self._n_parts = state["n"], state["n_read"], state["n_parts"]
        self.notes = state["notes"]
        for i in range(self._n_parts):
            table = pl.read_parquet(self.partial / _part(i), columns=["compound_id", "smiles"])
            _update(self._sha, table["compound_id"].to_list(), table["smiles"].to_list())
        for name, (dtype, width) in _ARRAYS.items():
            file = (self.partial / f"{name}.npy").open("r+b" if self.n else "w+b")
            header = _write_header(file, name, self.n)
            file.truncate(header + self.n * width * dtype.itemsize)
            file.seek(0, os.SEEK_END)
            self._files[name] = file

    def _usable_state(self) -> dict[str, Any]:
        nothing: dict[str, Any] = {"n": 0, "n_read": 0, "n_parts": 0, "notes": []}
        try:
            state = json.loads((self.partial / "progress.json").read_text(encoding="utf-8"))
            is_ours = state["key"] == self.key and state["versions"] == _versions()
            parts = [self.partial / _part(i) for i in range(state["n_parts"])]
            n_rows = sum(pl.scan_parquet(p).select(pl.len()).collect().item() for p in parts)
            sizes = [(self.partial / f"{name}.npy").stat().st_size for name in _ARRAYS]
            needed = [state["n"] * width * dtype.itemsize for dtype, width in _ARRAYS.values()]
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
            return nothing
        is_whole = n_rows == state["n"] and all(size > least for size, least in zip(sizes, needed, strict=True))
        return {name: state[name] for name in nothing} if is_ours and is_whole else nothing

    def _close(self) -> None:
        for file in self._files.values():
            file.close()


@contextmanager
def writing(parent: Path, key: str) -> Iterator[FeatureWriter]:
    """Open a writer of the feature folder known by a key, at its last checkpoint if it was killed before.

    Left by an error of ours or a full disk, nothing stays behind; left by anything else (Ctrl-C, a bug), the last
    checkpoint does.

    Args:
        parent: folder in which the feature folder will be.
        key: names the source and how it is read; a file name.

    Raises:
        DataError: another process is writing the same.
        DiskFull: no room.
    """
    partial = parent / f".{key}.part"
    with _named_when_full(parent), _locked(partial):
        writer = FeatureWriter(partial, key)
        try:
            writer._start()
            yield writer
        except (NextplateError, OSError):
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            writer._close()


@contextmanager
def _named_when_full(parent: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{parent}: the disk is full; free some space and add the library again") from error
        raise


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{partial}: another process is writing this library's features; wait for it") from error
        yield


def _update(sha: Any, compound_ids: Sequence[str | None], smiles: Sequence[str | None]) -> None:
    sha.update("".join(f"{i}\0{s}\n" for i, s in zip(compound_ids, smiles, strict=True)).encode())


def _versions() -> dict[str, str]:
    return {"fingerprint": FINGERPRINT, "counts": COUNTS, "rdkit": rdkit.__version__}


def _part(i: int) -> str:
    return f"part-{i:06d}.parquet"


def _write_header(file: IO[bytes], name: str, n: int) -> int:
    """Write the .npy header for n rows and say how long it is: numpy pads it so that n may grow in place."""
    dtype, width = _ARRAYS[name]
    file.seek(0)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (n, width)}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
    return file.tell()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    _sync(temporary)
    temporary.replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
