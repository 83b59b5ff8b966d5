"""A process that dies at a chosen moment: from then on nothing it does reaches a wire or a disk."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from drivers import key_files
from drivers.wire import Line


class Killed(BaseException):
    """The process is no more."""


class Fuse:
    """Counts moments; at the chosen one, and ever after, the process is dead."""

    def __init__(self) -> None:
        self.n_moments, self.at = 0, -1

    def burn(self) -> None:
        self.n_moments += 1
        if 0 < self.at <= self.n_moments:
            raise Killed


def burning(fuse: Fuse, do: Callable[..., Any]) -> Callable[..., Any]:
    """Burn a fuse before and after something is done."""

    def done(*args: Any, **more: Any) -> Any:
        fuse.burn()
        result = do(*args, **more)
        fuse.burn()
        return result

    return done


def burning_files(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Iterator[Fuse]:
    """Yield a fuse that burns before and after every file that the modules write; the process is alive again after."""
    fuse = Fuse()

    def write(path: Path, content: bytes) -> None:
        key_files.write_whole(path, content)

    for module in modules:
        monkeypatch.setattr(module, "write_whole", burning(fuse, write))
    yield fuse
    fuse.at = -1


class FusedLine:
    """A port of a process that may die: before and after every write, and after every read."""

    def __init__(self, line: Line, fuse: Fuse) -> None:
        self.__dict__.update(_line=line, _fuse=fuse)

    def __getattr__(self, name: str) -> object:
        return getattr(self._line, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._line, name, value)

    def write(self, data: bytes) -> int | None:
        self._fuse.burn()
        n: int | None = self._line.write(data)
        self._fuse.burn()
        return n

    def read(self, size: int = 1) -> bytes:
        data: bytes = self._line.read(size)
        if data:
            self._fuse.burn()
        return data

    def close(self) -> None:
        self._line.close()
