"""A four-plate night on the simulated lab with lossy devices, killed with SIGKILL at every moment that counts.

Each night is a real process that kills itself, or is killed, with signal 9. What the devices did stands in the world's
file, which is the lab's and not the process's. Processes are forked from one that has everything imported and computes
nothing itself: threads do not survive a fork.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from bench.table import Figure, markdown
from tests.support.four_plates import FIELD_PX, Calm, calm_night, copied, mortal, optics, play, small_fields, wrongs
from tests.support.killing import Fuse

OUT = Path("bench-out") / "killed"
N_RANDOM, KILLS_A_NIGHT = 500, 5
_COMMAND = "python -m bench.run killed"
_KILLED = -signal.SIGKILL


class DeadlyFuse(Fuse):
    """Ends this process with signal 9 at the chosen moment."""

    def burn(self) -> None:
        """Count, and die."""
        self.n_moments += 1
        if self.n_moments == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def figures() -> Sequence[Figure]:
    """Kill and count."""
    return measured()


def measured(step: int = 1, n_random: int = N_RANDOM) -> Sequence[Figure]:
    """Kill at every ``step``-th moment, and ``n_random`` times at random ones."""
    root = OUT.resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    _prepare()
    calm = _calm(root)
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        every = list(pool.map(partial(killed_at, root, calm, "commit"), range(1, calm.n_moments + 1, step)))
        changes = list(pool.map(partial(killed_at, root, calm, "change"), range(1, calm.n_changes + 1, 5 * step)))
        nights = list(pool.map(partial(killed_at_random, root, calm), range(n_random // KILLS_A_NIGHT)))
    told = f"{calm.n_events} events; before and after each commit and each hand-over to a device"
    changing = f"of {calm.n_changes}: before, in and after a change of the world, the device's own memory among it"
    return [
        Figure(f"SIGKILL at each of {len(every)} moments of a four-plate night", _verdict(every), told, _COMMAND),
        Figure(f"SIGKILL at {len(changes)} moments of the devices' work", _verdict(changes), changing, _COMMAND),
        Figure(
            f"SIGKILL at {sum(n for n, _ in nights)} random moments of {len(nights)} such nights",
            _verdict([wrong for _, wrong in nights]),
            "the night ends, every transfer, move and image once, chain intact",
            _COMMAND,
        ),
    ]


def killed_at(root: Path, calm: Calm, kind: str, moment: int) -> list[str]:
    """Play a night in a process that dies at a moment, go on in another; say what is wrong in the end."""
    lab = copied(calm, root / f"{kind}-{moment}")
    if (code := _in_process(partial(_die, lab, kind, moment))) != _KILLED:
        return [f"{kind} {moment}: the process ended with {code}"]
    return _ended(lab, calm, f"{kind} {moment}")


def killed_at_random(root: Path, calm: Calm, seed: int) -> tuple[int, list[str]]:
    """Kill a night again and again at moments of chance; return how often, and what is wrong in the end."""
    rng, lab, n_kills = random.Random(seed), copied(calm, root / f"random-{seed}"), 0
    for _ in range(KILLS_A_NIGHT):
        n_kills += _in_process(partial(_go_on, lab), kill_after_s=rng.uniform(0.0, 2.5)) == _KILLED
    return n_kills, _ended(lab, calm, f"night {seed}, killed {n_kills} times")


def _ended(lab: Path, calm: Calm, name: str) -> list[str]:
    told = lab.with_suffix(".json")
    code = _in_process(partial(_go_on_and_tell, lab, calm, told))
    wrong = json.loads(told.read_text()) if told.exists() else [f"the resumed process ended with {code}"]
    if not wrong:
        told.unlink()
        shutil.rmtree(lab)
    return [f"{name}: {one}" for one in wrong]


def _die(lab: Path, kind: str, moment: int) -> None:
    fuse, other = DeadlyFuse(), DeadlyFuse()
    fuse.at = moment
    with mortal(fuse, other) if kind == "commit" else mortal(other, fuse):
        play(lab)


def _go_on(lab: Path) -> None:
    with small_fields():
        play(lab)


def _go_on_and_tell(lab: Path, calm: Calm, told: Path) -> None:
    with small_fields():
        ending = play(lab)
    wrong = ["a person is needed"] if ending.needs_person else []
    wrong += ["the state is another"] if ending.state.digest() != calm.digest else []
    told.write_text(json.dumps(wrong + wrongs(lab, calm)))


def _prepare() -> None:
    """Load here what every process needs; polars starts its threads when it first works, which is not here."""
    for name in ("controller.store.store", "controller.snapshots", "controller.cli.journal", "sim.lab", "polars"):
        import_module(name)
    optics(5, FIELD_PX, 135.0)


def _calm(root: Path) -> Calm:
    """Play the calm night in a process of its own: this one must never have started a thread."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(calm_night, root).result()


def _in_process(work: Callable[[], None], kill_after_s: float | None = None) -> int:
    """Do something in a process of its own, killed after a while; return its exit code, -9 where it was killed."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)  # a zombie, if it has ended: its number is still its own
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _verdict(nights: Sequence[list[str]]) -> str:
    wrong = [one for night in nights for one in night]
    shown = "; ".join(islice(wrong, 3))
    return f"{sum(map(bool, nights))} nights wrong" + (f": {shown}" if shown else "")


if __name__ == "__main__":
    print(markdown(measured(int(sys.argv[1]), int(sys.argv[2]))))
