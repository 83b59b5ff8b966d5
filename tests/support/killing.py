"""A process that dies at a chosen moment: from then on nothing it does reaches a wire or a disk."""

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
