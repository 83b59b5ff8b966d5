"""Those who listen beside the loop: the log, the metrics, the notifications. None of them can fail a night."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING

from controller.campaign import Watcher
from controller.chains import Chains
from controller.eventlog import NAME, EventLog
from controller.files import is_full
from controller.follow import Follower
from controller.lab import Lab
from controller.metrics import Exporter, Meter, serving
from controller.narrate import Narrator
from controller.notify.notifier import notifying, tell_stderr
from controller.settings.telling import VARIABLE
from controller.store import Event
from nextplate.errors import NextplateError

if TYPE_CHECKING:
    from controller.store.store import Store

Hear = Callable[[Event], None]
Tell = Callable[[str], None]
_UNTOLD = ["waiting", "sending"]
_CLOSE_S = 10.0


@dataclass(slots=True)
class Ear:
    """A listener that is told of every event; what goes wrong with it is told, once for each trouble."""

    name: str
    take: Hear
    tell: Tell
    _trouble: str = ""

    def hear(self, event: Event) -> None:
        """Pass an event on."""
        try:
            self.take(event)
        except (OSError, NextplateError) as error:
            self._say(f"the disk is full, {self.name} misses what happens now" if is_full(error) else str(error))
        except Exception as error:  # a fault of ours must not end a night, and must not be silent either
            self._say(f"{type(error).__name__}: {error}")

    def _say(self, why: str) -> None:
        if why != self._trouble:
            self._trouble = why
            self.tell(f"{self.name}: {why}; the night goes on")


@contextmanager
def watched(lab: Lab, store: "Store", watcher: Watcher) -> Iterator[Watcher]:
    """Let the log, the metrics and the notifications hear what a watcher of the lab's own campaign hears.

    A rehearsal is watched by nobody else: it must wake no person.
    """
    with observed(lab, store) as hear:

        def both(event: Event) -> None:
            watcher.event(event)
            hear(event)

        yield replace(watcher, event=both)


@contextmanager
def observed(lab: Lab, store: "Store", tell: Tell = tell_stderr) -> Iterator[Hear]:
    """Listen while the block runs; yields what is to be called with every event, which returns at once."""
    meter, chains = Meter(lab.settings.is_simulated), Chains()
    log = _log(lab, chains)

    def learn(event: Event) -> None:
        chains.hear(event)
        log.learn(event)
        meter.hear(event)

    learner = Follower(store, learn, 0)
    ears = (
        Ear("the event log and the metrics", learner.hear, tell),
        Ear(f"logs/{NAME}", _following(store, log, tell), tell),
    )
    with ExitStack() as stack:
        _serve(lab, store, meter, stack, tell)
        listener = stack.enter_context(_listening(lambda: _begin(learner, tell), ears))
        speaker = stack.enter_context(notifying(lab, store, tell))

        def hear(event: Event) -> None:
            listener.put(event)
            speaker.hear(event)

        yield hear


@contextmanager
def _listening(begin: Callable[[], None], ears: Sequence[Ear]) -> Iterator["SimpleQueue[Event | None]"]:
    """Pass events on in a thread: neither a long journal nor a slow disk may hold the loop up."""
    heard: SimpleQueue[Event | None] = SimpleQueue()

    def listen() -> None:
        begin()
        while (event := heard.get()) is not None:
            for ear in ears:
                ear.hear(event)

    thread = threading.Thread(target=listen, name="listener", daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        heard.put(None)
        thread.join(_CLOSE_S)  # what is not written by then, the next process adds


def _begin(learner: Follower, tell: Tell) -> None:
    """Learn what the journal holds."""
    try:
        learner.catch_up()
    except Exception as error:  # a fault of ours must not end a night, and must not be silent either
        tell(f"the event log and the metrics: {type(error).__name__}: {error}; the night goes on")


def _log(lab: Lab, chains: Chains) -> EventLog:
    logs = lab.settings.logs
    return EventLog(
        path=lab.folder / "logs" / NAME,
        max_bytes=round(logs.max_mb * 1e6),
        keep=logs.keep,
        chain_of=chains.of,
        now=lambda: datetime.now(UTC),
        narrator=Narrator(),
    )


def _following(store: "Store", log: EventLog, tell: Tell) -> Hear:
    """Let the log follow the journal from where it ends; what is there is written with the first event."""
    try:
        return Follower(store, log.take, log.last_seq()).hear
    except OSError as error:
        tell(f"logs/{NAME}: {error}; the night goes on without it")
        return _deaf


def _deaf(_event: Event) -> None:
    """Listen to nothing."""


def _serve(lab: Lab, store: "Store", meter: Meter, stack: ExitStack, tell: Tell) -> None:
    section = lab.settings.metrics
    if not section.port:
        return
    found = VARIABLE.fullmatch(section.token) if section.token else None
    name = found[1] if found else None
    token = os.environ.get(name) if name else None
    if name and not token:
        tell(f"metrics: the environment variable {name} is not set, so none are served; the night goes on")
        return
    exporter = Exporter(meter, lambda: _untold(store))
    try:
        stack.enter_context(serving(exporter, section.bind, section.port, token))
    except OSError as error:
        tell(f"metrics: {section.bind}:{section.port}: {error.strerror}; none are served, the night goes on")


def _untold(store: "Store") -> int | None:
    try:
        return len(store.select("notices", {"state": _UNTOLD}))
    except NextplateError:
        return None
