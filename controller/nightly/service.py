"""The service: the keeper with a real clock, real processes, signals and systemd."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from zoneinfo import ZoneInfo

from controller.clock import WallClock
from controller.lab import Lab, open_lab
from controller.lock import service_lock
from controller.nightly.alarm import Alarm
from controller.nightly.book import book_file, read_book, write_book
from controller.nightly.clockguard import SMALL_JUMP_S, ClockGuard, clock_file, read_word, write_word
from controller.nightly.keeper import Keeper
from controller.nightly.patience import Patience
from controller.nightly.process import NightProcess
from controller.nightly.starts import Starts
from controller.nightly.systemd import Notifier
from controller.nightly.told import Happening, HappeningLog, Tell
from controller.nightly.windows import parse_start
from nextplate.errors import DiskFull

_TICK_S = 0.5


def serve(folder: Path, hear: Sequence[Tell], *, start_now: bool = False) -> None:
    """Run unattended nights until SIGTERM or Ctrl-C; then end the running night with care, and return.

    Args:
        folder: the lab.
        hear: who is told of what happens, beside the service's log; notifications among them.
        start_now: open a night at once.

    Raises:
        LabBusy: a service runs on this lab already.
        SettingsError: lab.toml has a mistake.
    """
    lab = open_lab(folder)
    with service_lock(lab.folder, "nextplate nightly"):
        log = HappeningLog(lab.folder / "logs" / "nightly")
        try:
            _serve(lab, [log, *hear], start_now)
        finally:
            log.close()


def starts_of(lab: Lab) -> Starts:
    """Return when a lab's nights start."""
    section = lab.settings.nightly
    return Starts(ZoneInfo(section.time_zone), tuple(map(parse_start, section.start)))


def _serve(lab: Lab, hear: Sequence[Tell], start_now: bool) -> None:
    clock, notifier = WallClock(), Notifier(os.environ)

    def tell(told: Happening) -> None:
        for one in hear:
            one(told)

    keeper = _keeper(lab, clock, tell)
    starts, misfire_s = keeper.starts, lab.settings.nightly.misfire_s
    with Alarm(starts, misfire_s) as alarm, _stopping(keeper):
        _say_start(lab, starts, clock, tell)
        notifier.say("READY=1", f"STATUS={keeper.word}")
        keeper.resume(clock.now(), time.monotonic())
        if start_now:
            keeper.start_now(clock.now(), time.monotonic())
        try:
            _turn(keeper, alarm, clock, notifier)
        finally:
            # A bug of ours must not leave a night behind that nobody watches.
            if keeper.night is not None:
                keeper.night.kill()
    tell(Happening("service-stopped", clock.now(), "the service ended"))


def _turn(keeper: Keeper, alarm: Alarm, clock: WallClock, notifier: Notifier) -> None:
    said = ""
    pause_s = min(_TICK_S, (notifier.watchdog_s or 60.0) / 3)
    while True:
        now, mono_s = clock.now(), time.monotonic()
        if abs(keeper.guard.step_s(now, mono_s)) > SMALL_JUMP_S:
            alarm.clock_was_set()
        keeper.tick(now, mono_s)
        if keeper.is_done:
            return
        word = f"STATUS={keeper.word}"
        notifier.say("WATCHDOG=1", *([word] if word != said else []))
        said = word
        alarm.wait(pause_s)


def _keeper(lab: Lab, clock: WallClock, tell: Tell) -> Keeper:
    section, book, clock_path = lab.settings.nightly, book_file(lab.folder), clock_file(lab.folder)
    max_jump = timedelta(hours=section.max_clock_jump_h)

    def ask_clock(question: str | None) -> None:
        write_word(clock_path, replace(read_word(clock_path), question=question))

    quietly = partial(_kept, tell=tell, clock=clock)
    quietly(partial(ask_clock, None))  # of a service before; whether it still holds is found out anew
    return Keeper(
        patience=Patience(section.hang_s, section.stop_s, section.backoff_s, section.max_restarts),
        starts=starts_of(lab),
        misfire=timedelta(seconds=section.misfire_s),
        max_jump=max_jump,
        guard=ClockGuard(clock_path, max_jump, clock.now(), time.monotonic()),
        begin_night=partial(NightProcess, lab.folder),
        save=lambda kept: quietly(partial(write_book, book, kept)),
        ask_clock=lambda question: quietly(partial(ask_clock, question)),
        tell=tell,
        book=read_book(book),
    )


def _kept(write: Callable[[], None], tell: Tell, clock: WallClock) -> None:
    """Write one of the service's notes; on a full disk the service goes on without, and says so."""
    try:
        write()
    except (DiskFull, OSError) as error:
        tell(Happening("not-kept", clock.now(), f"the service's own notes could not be written: {error}"))


def _say_start(lab: Lab, starts: Starts, clock: WallClock, tell: Tell) -> None:
    following = starts.following(clock.now())
    when = f"{following.astimezone(starts.zone):%Y-%m-%d %H:%M %Z}" if following else "never"
    said = f"nights of {lab.folder.name}; the next starts at {when}"
    tell(Happening("service-started", clock.now(), said, {"pid": os.getpid()}))


@contextmanager
def _stopping(keeper: Keeper) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the service cleanly."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        keeper.stop(time.monotonic())

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
