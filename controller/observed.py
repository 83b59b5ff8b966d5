"""Those who listen beside the loop: the log, the metrics, the notifications. None of them can fail a night."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
    """Listen while the block runs; yields what is to be called with every event as it is written."""
    meter, chains = Meter(lab.settings.is_simulated), Chains()
    log = _log(lab, chains)

    def learn(event: Event) -> None:
        chains.hear(event)
        log.learn(event)
        meter.hear(event)

    learner = Follower(store, learn, 0)
    ears = [Ear("the event log and the metrics", learner.hear, tell)]
    with ExitStack() as stack:
        _begin(ears[0], learner, tell)
        ears.append(Ear(f"logs/{NAME}", _following(store, log, tell), tell))
        _serve(lab, store, meter, stack, tell)
        ears.append(Ear("notifications", stack.enter_context(notifying(lab, store, tell)).hear, tell))

        def hear(event: Event) -> None:
            for ear in ears:
                ear.hear(event)

        yield hear


def _begin(ear: Ear, learner: Follower, tell: Tell) -> None:
    """Learn what the journal holds."""
    try:
        learner.catch_up()
    except (NextplateError, LookupError, TypeError, ValueError) as error:
        tell(f"{ear.name}: {error}; the night goes on")


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
