"""What a night on the simulated lab does when the disk is full, the database is gone, or the clock is set.

The nights are those of bench.killed: four plates, lossy devices, compared with an undisturbed night by the devices' own
logs. The moments are drawn by chance among the commits and hand-overs.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from bench.table import Figure
from controller import campaign
from controller.app import Hardware, connect
from controller.clock import SteadyClock
from controller.lab import Lab, open_lab
from controller.store import open_store
from nextplate.errors import DiskFull, StoreAway
from tests.support import postgres
from tests.support.four_plates import (
    Calm,
    calm_night,
    copied,
    mortal,
    play,
    small_fields,
    unannounced,
    wrongs,
)
from tests.support.outages import Ballast, Moment, Outage, Server, interrupted, small_disk
from tests.support.small_lab import environment

OUT = Path("bench-out") / "outages"
N_FULL, N_GONE, N_SET = 30, 10, 6
AWAY_S = 60.0
_COMMAND = "python -m bench.run outages"
STEPS = {"an hour back": -timedelta(hours=1), "an hour forth": timedelta(hours=1),
         "a year back": -timedelta(days=365), "a year forth": timedelta(days=365)}  # fmt: skip


def figures() -> Sequence[Figure]:
    """Measure."""
    root = OUT.resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    calm = calm_night(root)
    return [*disk_full(root, calm), *clock_set(root, calm), *server_gone(root, calm)]


def disk_full(root: Path, calm: Calm) -> list[Figure]:
    """Let the disk under SQLite be full at moments of chance, made free again after each end."""
    with small_disk(root / "disk") as disk:
        nights = [_night_on_full_disk(root / f"full-{seed}", calm, disk, seed) for seed in range(N_FULL)]
        service = _served(root / "full-served", calm, f"sqlite:///{disk}/served.db", Ballast(disk), 3.0)
    n = sum(n for n, _ in nights)
    return [
        _figure(f"SQLite on a full disk at {n} moments of four-plate nights", [w for _, w in nights],
                "nothing handed over without its intent; nothing twice once there is room"),
        _figure("the same, the unattended service", [service], "waits, tells, goes on by itself"),
    ]  # fmt: skip


def server_gone(root: Path, calm: Calm) -> list[Figure]:
    """Stop PostgreSQL at moments of chance; start it again after each end."""
    try:
        with postgres.running() as server:
            with small_fields():
                same = play(copied(calm, root / "same", server.new_database())).head.hash
            nights = [_night_without_server(root / f"gone-{seed}", calm, server, seed) for seed in range(N_GONE)]
            service = _served(root / "gone-served", calm, server.new_database(), Server(server), AWAY_S)
    except FileNotFoundError as error:
        return [Figure("PostgreSQL stopped and started", "skipped", str(error), _COMMAND)]
    verdict = f"{same[:16]}, {'the same' if same == calm.head else 'ANOTHER'}"
    return [
        Figure("four-plate night on SQLite and PostgreSQL, journal hash", verdict, calm.head[:16], _COMMAND),
        _figure(f"PostgreSQL stopped at {sum(n for n, _ in nights)} moments of such nights", [w for _, w in nights],
                "ends as the undisturbed night"),
        _figure(f"PostgreSQL stopped for {AWAY_S:.0f} s under the unattended service", [service],
                "waits, tells, goes on by itself"),
    ]  # fmt: skip


def clock_set(root: Path, calm: Calm) -> list[Figure]:
    """Set the clock at moments of chance; the devices keep their own time."""
    found = []
    for name, step in STEPS.items():
        nights = [_night_with_clock_set(root / f"set-{n}-{step.days}", calm, step, n) for n in range(N_SET)]
        found.append(
            _figure(f"clock set {name} in {N_SET} nights", nights, "ends as undisturbed; event times in order")
        )
    return found


def _figure(name: str, nights: Sequence[Sequence[str]], asked: str) -> Figure:
    wrong = [one for night in nights for one in night]
    shown = f": {'; '.join(wrong[:3])}" if wrong else ""
    return Figure(name, f"{sum(map(bool, nights))} of {len(nights)} nights wrong{shown}", asked, _COMMAND)


def _night_on_full_disk(lab: Path, calm: Calm, disk: Path, seed: int) -> tuple[int, list[str]]:
    copied(calm, lab, f"sqlite:///{disk}/{lab.name}.db")
    with small_fields():
        n, wrong = interrupted(lab, calm, seed, Ballast(disk), DiskFull)
    for file in disk.glob(f"{lab.name}.db*"):
        file.unlink()
    return n, wrong


def _night_without_server(lab: Path, calm: Calm, server: postgres.Cluster, seed: int) -> tuple[int, list[str]]:
    copied(calm, lab, server.new_database())
    with small_fields():
        return interrupted(lab, calm, seed, Server(server), StoreAway)


def _served(lab: Path, calm: Calm, url: str, outage: Outage, away_s: float) -> list[str]:
    """Let the unattended service run a night in processes of its own; take something away in its midst."""
    copied(calm, lab, url)
    command = [sys.executable, "-m", "controller.cli", "nightly", "--now", "--json", "--lab", str(lab)]
    service = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
    try:
        until(lambda: _n_events(lab) > calm.n_events // 2)
        outage.begin()
        until(lambda: "wanting" in _told(lab))
        time.sleep(away_s)
        outage.end()
        wrong = unannounced(lab)
        until(lambda: "night-over" in _told(lab))
    finally:
        outage.end()
        service.terminate()
        service.wait(120)
    told = _told(lab)
    wrong += [] if told.count("wanting") == 1 and "settled" in told else [f"told {told}"]
    return [f"{lab.name}: {one}" for one in wrong + wrongs(lab, calm)]


def until(is_so: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it never came.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("it never came")
        time.sleep(0.2)


def _n_events(lab: Path) -> int:
    with closing(open_store(open_lab(lab).database)) as store:
        return store.head().seq


def _told(lab: Path) -> list[str]:
    log = lab / "logs" / "nightly" / "nightly.log"
    return [json.loads(line)["kind"] for line in log.read_text().splitlines()] if log.exists() else []


def _night_with_clock_set(lab: Path, calm: Calm, step: timedelta, seed: int) -> list[str]:
    """Play a night by a steady clock over one that is set in its midst."""
    copied(calm, lab)
    sim_clock = SetClock()
    moment = Moment(random.Random(seed).randrange(20, calm.n_moments), lambda: sim_clock.set_by(step))
    with small_fields(), mortal(moment), pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign, "connect", sim_clock.connect)
        ending = play(lab)
    wrong = ["a person is needed"] if ending.needs_person else []
    times = _event_times(lab)
    wrong += [f"{a} after {b}" for b, a in pairwise(times) if a < b]
    return [f"{lab.name}: {one}" for one in wrong + wrongs(lab, calm)]


def _event_times(lab: Path) -> list[datetime]:
    with open_store(open_lab(lab).database) as store:
        return [event.time for event in store.events()]


class SetClock(SteadyClock):
    """The night's clock over a simulated lab whose wall clock somebody sets; devices go by the lab's own time."""

    is_virtual = True

    def __init__(self) -> None:
        self._by = timedelta(0)

    def set_by(self, step: timedelta) -> None:
        """Set the wall's clock."""
        self._by += step

    def connect(self, lab: Lab) -> Hardware:
        """Connect a lab, its wall clock set."""
        hardware = connect(lab)
        began = hardware.clock.now()
        SteadyClock.__init__(
            self,
            wall=lambda: hardware.clock.now() + self._by,
            count_s=lambda: (hardware.clock.now() - began).total_seconds(),
            sleep_s=lambda seconds: hardware.clock.wait_until(hardware.clock.now() + timedelta(seconds=seconds)),
        )
        return replace(hardware, clock=self)
