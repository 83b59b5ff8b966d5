"""The thread that tells people, beside the loop: it reads the journal itself and is only woken by the loop."""

import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from controller.lab import Lab
from controller.notify.channels import open_channel
from controller.notify.courier import Courier, ProcessCourier
from controller.notify.post import Books, Post, Word
from controller.notify.rules import rules_of
from controller.notify.words import House
from controller.settings import MessageKind
from nextplate.errors import NextplateError
from protocols.sentences import plain

CLOSE_S = 25.0
"""How long the end of a run waits for its last messages."""
_BUSY_S = 0.1
_IDLE_S = 1.0
_TROUBLE_S = 5.0
_LATER = "the next run, or nextplate notify send, tries again"
LOCK = ".notify.lock"
"""In the lab folder."""


@dataclass(slots=True)
class LabNow:
    """The lab's time for somebody beside its loop: never before the last event, whatever the wall's clock was set to.

    A simulated lab's time goes on from its last event like the wall's.
    """

    is_virtual: bool
    wall: Callable[[], datetime]
    monotonic: Callable[[], float]
    _last: datetime | None = None
    _heard: float = 0.0

    def at(self, last: datetime | None) -> datetime:
        """Return the time, `last` being the time of the last event."""
        if last != self._last:
            self._last, self._heard = last, self.monotonic()
        if last is None:
            return self.wall()
        since = last + timedelta(seconds=self.monotonic() - self._heard)
        return since if self.is_virtual else max(since, self.wall())


@dataclass(slots=True)
class Notifier:
    """Looks after a post room until it is closed. Whatever happens to it, the lab goes on."""

    post: Post
    lock: Path
    """Held by the one notifier of a lab: others on the same lab leave the work to it."""
    now: LabNow
    tell: Callable[[str], None]
    close_s: float = CLOSE_S
    _wake: threading.Event = field(default_factory=threading.Event)
    _closing: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _told: str = ""

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    def hear(self, _event: object = None) -> None:
        """Look at the journal now; returns at once."""
        self._wake.set()

    def say(self, kind: MessageKind, when: datetime, text: str) -> None:
        """Tell people what is in no journal, such as a service that gave up; returns at once."""
        self.post.words.append(Word(kind, when, text))
        self._wake.set()

    def close(self) -> None:
        """Send what is still due, for a short while; what is left goes out with the next process."""
        self._closing.set()
        self._wake.set()
        if self._thread:
            self._thread.join(self.close_s + 2 * _TROUBLE_S)

    def _run(self) -> None:
        try:
            while not self._try_alone():
                if self._closing.is_set():
                    return
                self._rest(_TROUBLE_S)
        except Exception as error:  # a fault of ours must not end a night, and must not be silent either
            self._say(f"notifications have stopped, the night goes on: {type(error).__name__}: {error}")

    def _try_alone(self) -> bool:
        """Work while holding the lock; False where another notifier looks after this lab."""
        with alone(self.lock) as is_alone:
            if is_alone:
                self._work()
        return is_alone

    def _work(self) -> None:
        until: float | None = None
        try:
            while True:
                is_well = self._turn()
                if self._closing.is_set():
                    until = self.now.monotonic() + self.close_s if until is None else until
                    is_done = is_well and self.post.is_resting(self.now.monotonic())
                    if is_done or self.now.monotonic() >= until:
                        return
                self._rest(_BUSY_S if self.post.is_sending else _IDLE_S if is_well else _TROUBLE_S)
        finally:
            self.post.stop()
            if self.post.depth:
                self.tell(f"{self.post.depth} messages to people are not sent yet (nextplate status); {_LATER}")

    def _turn(self) -> bool:
        # What there is to tell goes out also while the database is gone.
        is_read = self._try(self.post.read)
        return self._try(self._look) and is_read

    def _look(self) -> None:
        now = self.now.at(self.post.desk.time)
        if self._closing.is_set():
            now += self.post.rules.settle  # nothing settles by itself any more
        self.post.turn(now, self.now.wall(), self.now.monotonic())

    def _try(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except NextplateError as error:
            self._say(f"notifications: {error}")
            return False
        return True

    def _rest(self, seconds: float) -> None:
        if self._closing.is_set():
            time.sleep(min(seconds, _BUSY_S))
        else:
            self._wake.wait(seconds)
        self._wake.clear()

    def _say(self, text: str) -> None:
        """Tell a trouble once."""
        if text != self._told:
            self._told = text
            self.tell(text)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Hold a lock that dies with the process; False where somebody else holds it."""
    with path.open("a+") as file:
        yield _try_lock(file)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wall_now() -> datetime:
    """Return the wall's time, UTC."""
    return datetime.now(UTC)


def tell_stderr(text: str) -> None:
    """Print a trouble where operators look for it."""
    print(f"nextplate: {plain(text)}", file=sys.stderr, flush=True)


def make_post(lab: Lab, store: Books, courier: Courier | None = None) -> Post:
    """Set up the post room of a lab."""
    section = lab.settings.notifications
    channels = {
        name: partial(open_channel, name, channel, lab.folder, os.environ) for name, channel in section.channels.items()
    }
    house = House(lab.settings.lab.name, lab.folder)
    give_up = timedelta(hours=section.give_up_h)
    return Post(store, courier or ProcessCourier(lab.folder), channels, rules_of(section), house, give_up)


def make_notifier(lab: Lab, store: Books, tell: Callable[[str], None] = tell_stderr) -> Notifier:
    """Set up the notifier of a lab."""
    now = LabNow(lab.settings.is_simulated, wall_now, time.monotonic)
    return Notifier(make_post(lab, store), lab.folder / LOCK, now, tell)


class Speaker(Protocol):
    """Somebody who tells people."""

    def hear(self, _event: object = None) -> None:
        """Look at the journal now; returns at once."""

    def say(self, kind: MessageKind, when: datetime, text: str) -> None:
        """Tell people what is in no journal; returns at once."""


@dataclass(frozen=True, slots=True)
class Mute:
    """Tells nobody anything: the lab has no channels."""

    def hear(self, _event: object = None) -> None:
        """Do nothing."""

    def say(self, kind: MessageKind, when: datetime, text: str) -> None:
        """Do nothing."""


@contextmanager
def notifying(lab: Lab, store: Books, tell: Callable[[str], None] = tell_stderr) -> Iterator[Speaker]:
    """Tell people while the block runs. Without channels: nobody is told.

    Several processes may do so for one lab, such as a keeper and the night it watches: one does the work, and another
    takes over when it is gone.
    """
    if not lab.settings.notifications.channels:
        yield Mute()
        return
    notifier = make_notifier(lab, store, tell)
    notifier.start()
    try:
        yield notifier
    finally:
        notifier.close()
