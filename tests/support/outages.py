"""What a lab may lack for a while: room on the disk, the database's server."""

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nextplate.errors import NextplateError
from tests.support.four_plates import Calm, mortal, play, result_of, unannounced, wrongs
from tests.support.killing import Fuse
from tests.support.postgres import Cluster

DISK_MB = 6


class Moment(Fuse):
    """Does something at the chosen moment, and goes on."""

    def __init__(self, at: int, do: Callable[[], None]) -> None:
        super().__init__()
        self.at, self.do = at, do

    def burn(self) -> None:
        """Count, and do it when it is time."""
        self.n_moments += 1
        if self.n_moments == self.at:
            self.do()


class Outage:
    """Something that is missing for a while."""

    def begin(self) -> None:
        """Take it away."""

    def end(self) -> None:
        """Give it back."""


class Ballast(Outage):
    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def begin(self) -> None:
        with self._file.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1024))

    def end(self) -> None:
        self._file.unlink(missing_ok=True)


class Server(Outage):
    def __init__(self, server: Cluster) -> None:
        self._server, self._is_away = server, False

    def begin(self) -> None:
        self._server.stop()
        self._is_away = True

    def end(self) -> None:
        if self._is_away:
            self._server.start()
            self._is_away = False


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Give a file system of a few MiB; only root can."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def interrupted(
    lab: Path, calm: Calm, seed: int, outage: Outage, expected: type[NextplateError]
) -> tuple[int, list[str]]:
    """Play a night through three outages; return how often it ended by one, and what is wrong in the end."""
    rng, n, wrong = random.Random(seed), 0, list[str]()
    for _ in range(3):
        with mortal(Moment(rng.randrange(4, calm.n_moments // 2), outage.begin)):
            try:
                play(lab)
            except expected:
                n += 1
        outage.end()
        wrong += unannounced(lab)
    ending = play(lab)
    wrong += ["a person is needed"] if ending.needs_person else []
    wrong += wrongs(lab, calm) + ([] if result_of(ending.state) == calm.result else ["an action ended otherwise"])
    return n, [f"{lab.name}: {one}" for one in wrong]
