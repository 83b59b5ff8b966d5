"""A column of text that stays on disk until it is asked for, and packed in memory from then on.

A million ids and structures as Python strings cost 0.2 GB and half a second on every opening of a library, though
most steps look at a few hundred of them; packed they are a third of that, and those nobody reads cost nothing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import polars as pl

_BLOCK = 1 << 16


class TextColumn(Sequence[str]):
    """One text column of a parquet file, read on first use; equal to any sequence of the same texts."""

    __slots__ = ("_column", "_n", "_name", "_path")

    def __init__(self, path: Path, name: str, n: int) -> None:
        """Name a column of n texts; nothing is read yet."""
        self._path, self._name, self._n = path, name, n
        self._column: pl.Series | None = None

    def series(self) -> pl.Series:
        """Give the column as polars holds it, for whole-column work."""
        if self._column is None:
            self._column = pl.read_parquet(self._path, columns=[self._name])[self._name]
        return self._column

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        """Give the text of a row, or a tuple of texts for a slice."""
        if isinstance(index, slice):
            return tuple(self.series()[index].to_list())
        if not -self._n <= index < self._n:
            raise IndexError(f"row {index} of {self._n}")
        return str(self.series()[int(index)])

    def __iter__(self) -> Iterator[str]:
        """Go through the texts, a block of them as Python strings at a time."""
        column = self.series()
        for start in range(0, self._n, _BLOCK):
            yield from column[start : start + _BLOCK].to_list()

    def __eq__(self, other: object) -> bool:
        """Compare text by text with any sequence but a string."""
        if isinstance(other, TextColumn):
            return self.series().equals(other.series())
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(other) == self._n and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to tuples, whose hash would need every text

    def __repr__(self) -> str:
        return f"<{self._n} texts: {self._name} of {self._path}>"
