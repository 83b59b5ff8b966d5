"""Long journals, and the loop when there is nothing to do. CPU seconds stand beside the wall's: machines are shared."""

import shutil
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

from bench.long_journal import long_events, write_long
from bench.table import Figure
from controller.app import write_vendor_files
from controller.campaign import Watcher, run_campaign
from controller.evidence.autopsy import examine
from controller.evidence.exporting import export_journal
from controller.folding import collector_paused, fold_journal
from controller.lab import Lab, init_lab, locked_store
from controller.registration import register_library, register_stock, register_tips
from controller.state import LabState, fold
from controller.store import Event, NewEvent, open_store

N = 1_000_000
N_BEFORE = 100_000
"""Events of earlier campaigns in the second idle lab: some 2,500 plates."""
N_IDLE = 60
N_MORE = 2000
_COMMAND = "python -m bench.run journals"
_OUT = Path("bench-out/journals")
_T = TypeVar("_T")
_PLATE = (
    '[plate]\nwells = 96\nlabware = "corning_96_wellplate_360ul_flat"\nn_negative = 8\nn_positive = 6\nn_confirm = 4\n'
)
_REAL = "".join(
    f'[[device]]\nname = "{kind}"\nkind = "{kind}"\ndriver = "folder"\noptions = {{ exchange = "exchange" }}\n{robot}'
    for kind, robot in {"liquid-handler": 'robot = "flex"\n', "plate-mover": "", "incubator": "", "imager": ""}.items()
)


def figures() -> list[Figure]:
    """Measure."""
    shutil.rmtree(_OUT, ignore_errors=True)
    night = _night()
    return [*_long(night), *_idle("an idle loop's scan, a new lab", _OUT / "idle", ()), _idle_after(night)[0]]


def _night() -> Sequence[Event]:
    """Run a real night of one plate; its events are what the long journal is made of."""
    lab = _lab(_OUT / "night", "")
    with locked_store(lab, "bench") as store:
        run_campaign(lab, store, Watcher(lambda _event: None))
        return tuple(store.events())


def _lab(folder: Path, more: str, before: Sequence[NewEvent] = ()) -> Lab:
    lab = init_lab(folder, f'[campaign]\nname = "{"second" if before else "first"}"\nrounds = 1\n{_PLATE}{more}')
    if before:
        write_long(folder / "nextplate.db", iter(before))
    vendor = folder.parent / f"vendor-{folder.name}"
    write_vendor_files(vendor, lab.settings, 400)
    with locked_store(lab, "bench") as store:
        register_library(lab, store, vendor / "library.csv")
        register_stock(lab, store, vendor / "stock.csv")
        register_tips(lab, store, 8)
    return lab


def _long(night: Sequence[Event]) -> list[Figure]:
    path = _OUT / "long.db"
    write_long(path, long_events(night, N))
    with open_store(path) as store, collector_paused():
        state, fold_time = _timed(lambda: fold_journal(store))
        more_ms = _one_more_ms(state, list(store.events(N - N_MORE)))
        head, verify_time = _timed(store.verify)
        found, examine_time = _timed(lambda: examine(store.rows()))
        done, export_time = _timed(lambda: export_journal(store.rows(), _OUT / "long.jsonl"))
    right = head.seq == N == done.n_events and found.is_intact and len(state.intents) > N / 4
    size = f"{path.stat().st_size / 1e6:.0f} MB"
    path.unlink()
    return [
        Figure("a journal of a million events: read and folded, no snapshot", fold_time, "< 10 s", _COMMAND),
        Figure("one more event after a million", f"{more_ms:.2f} ms", "-", _COMMAND),
        Figure("the same: chain checked, by the loop", verify_time, f"{size}; intact: {right}", _COMMAND),
        Figure("the same: `journal verify`", examine_time, "-", _COMMAND),
        Figure("the same: `journal export`, checked on the way", export_time, "-", _COMMAND),
    ]


def _one_more_ms(state: LabState, events: Sequence[Event]) -> float:
    """Fold events again, one at a time, onto a state that knows them."""
    began = time.perf_counter()
    for event in events:
        state = fold([event], state)
    return 1000 * (time.perf_counter() - began) / len(events)


def _timed(work: Callable[[], _T]) -> tuple[_T, str]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, f"{time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} s of CPU"


def _idle_after(night: Sequence[Event]) -> list[Figure]:
    before = [*long_events(night, N_BEFORE), NewEvent("campaign.finished", night[-1].time, "first", {})]
    return _idle(f"the same after {N_BEFORE:,} events of earlier campaigns", _OUT / "idle-old", before)


def _idle(name: str, folder: Path, before: Sequence[NewEvent]) -> list[Figure]:
    """Let the loop wait for a robot that never answers, and take the CPU of each scan."""
    lab = _lab(folder, _REAL, before)
    counter = _Scans()
    with locked_store(lab, "bench") as store:
        run_campaign(lab, store, Watcher(counter.heard), counter)
    scans_ms = [1000 * (b - a) for a, b in zip(counter.cpu_s, counter.cpu_s[1:], strict=False)]
    return [Figure(name, f"{median(scans_ms):.1f} ms, at most {max(scans_ms):.1f} ms of CPU", "< 20 ms", _COMMAND)]


class _Scans:
    """An overseer that takes the time of scans between which nothing happened."""

    def __init__(self) -> None:
        self.cpu_s: list[float] = []

    def heard(self, _event: Event) -> None:
        self.cpu_s.clear()

    def scanned(self) -> bool:
        self.cpu_s.append(time.process_time())
        return len(self.cpu_s) > N_IDLE

    def opens(self, _now: datetime) -> None:
        return None

    def closed(self, _now: datetime) -> tuple[()]:
        return ()
