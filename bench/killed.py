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
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bench.table import Figure, markdown
from tests.support.four_plates import (
    FIELD_PX,
    Calm,
    calm_night,
    copied,
    mortal,
    optics,
    play,
    result_of,
    small_fields,
    wrongs,
)
from tests.support.killing import Fuse

OUT = Path("bench-out") / "killed"
STRIDES = range(1, 7)
"""How many moments a process lives on after those of its start, by night."""
N_SINGLE, N_RANDOM, KILLS_A_NIGHT = 60, 500, 5
_COMMAND = "python -m bench.run killed"
_KILLED = -signal.SIGKILL
_MOMENTS_OF_START = 3
"""Before and after the commit that says that a process took over, and before the next thing it does."""


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


def measured(strides: Sequence[int] = STRIDES, n_single: int = N_SINGLE, n_random: int = N_RANDOM) -> list[Figure]:
    """Kill nights again and again after so many moments each, others once, and others at random moments."""
    root = OUT.resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    _prepare()
    calm = _calm(root)
    once = [round(moment) for moment in np.linspace(1, calm.n_moments, n_single)]
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        chains = list(pool.map(partial(killed_on_and_on, root, calm), strides))
        single = list(pool.map(partial(killed_once, root, calm), once))
        chance = list(pool.map(partial(killed_at_random, root, calm), range(n_random // KILLS_A_NIGHT)))
    told = f"{calm.n_events} events, {calm.n_moments // 2} commits and hand-overs in an undisturbed night"
    each = ", ".join(str(n) for n, _ in chains)
    return [
        _figure(
            f"SIGKILL so many commits and hand-overs after a process took over: {list(strides)}; one night each",
            chains,
            f"kills by night: {each}; {told}",
        ),
        _figure("one SIGKILL, before or after a commit or a hand-over", single, told),
        _figure(
            "SIGKILL at random moments", chance, "the night ends; every transfer, move and image once; chain intact"
        ),
    ]


def _figure(name: str, nights: Sequence[tuple[int, list[str]]], told: str) -> Figure:
    wrong = [one for _, night in nights for one in night]
    shown = f": {'; '.join(wrong[:3])}" if wrong else ""
    measured = (
        f"{sum(n for n, _ in nights)} kills, {sum(bool(w) for _, w in nights)} of {len(nights)} nights wrong{shown}"
    )
    return Figure(name, measured, told, _COMMAND)


def killed_on_and_on(root: Path, calm: Calm, stride: int) -> tuple[int, list[str]]:
    """Let every process die so many moments after it took over, until none is left to die at."""
    lab, n_kills = copied(calm, root / f"stride-{stride}"), 0
    while (code := _in_process(partial(_die, lab, _MOMENTS_OF_START + stride))) == _KILLED:
        n_kills += 1
    return n_kills, [f"stride {stride}: a process ended with {code}"] if code else _ended(lab, calm, f"stride {stride}")


def killed_once(root: Path, calm: Calm, moment: int) -> tuple[int, list[str]]:
    """Play a night in a process that dies at a moment, go on in another."""
    lab = copied(calm, root / f"at-{moment}")
    if (code := _in_process(partial(_die, lab, moment))) != _KILLED:
        return 0, [f"moment {moment}: the process ended with {code}"]
    return 1, _ended(lab, calm, f"moment {moment}")


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


def _die(lab: Path, moment: int) -> None:
    fuse = DeadlyFuse()
    fuse.at = moment
    with small_fields(), mortal(fuse):
        play(lab)


def _go_on(lab: Path) -> None:
    with small_fields():
        play(lab)


def _go_on_and_tell(lab: Path, calm: Calm, told: Path) -> None:
    with small_fields():
        ending = play(lab)
    wrong = ["a person is needed"] if ending.needs_person else []
    wrong += ["an action ended otherwise"] if result_of(ending.state) != calm.result else []
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


if __name__ == "__main__":
    print(markdown(measured(range(1, int(sys.argv[1]) + 1), *map(int, sys.argv[2:4]))))
