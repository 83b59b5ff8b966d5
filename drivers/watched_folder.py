"""The watched folder: an imager whose plates appear in a folder, started by people, orders or its own scheduler.

``AcquirePlate`` means here: a readout of this barcode is awaited. It is taken when its folder is whole
(`nextplate.imaging.watch`) and nothing in it changed for ``settle_s``, and never because of how it is named alone. A
folder that was there before the plate was asked for is an older readout; it does not count unless a person says so.
What a person may say stands in ``logs/watched-folder/words/<key>.txt``: the name of a folder to take, or ``give up``.

A look at the folder runs in a thread of its own, because a share may hang; ``submit`` and ``lookup`` wait a moment for
it, ``poll`` never does. Requests and ends are files in the lab (`drivers.watched_memory`), so a process killed at any
moment takes every plate once. An order for the microscope's software is first written under a hidden name in its
folder, then remembered, then renamed: it is handed over once, whatever happens between.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from drivers.key_files import file_name, write_whole
from drivers.ports import AcquirePlate, Report, Status
from drivers.watched_look import Candidate, Eye, Verdict
from drivers.watched_memory import Awaited, Ended, Forgotten, Memory
from drivers.watched_options import WatchOptions, read_options
from drivers.watched_take import Arriving, SourceChanged, bring_in, plain_name
from nextplate.errors import NeedsOperator, SettingsError, Transient
from nextplate.imaging.shown import shown
from nextplate.imaging.watch import changed_since

GIVE_UP = "give up"
HANGS_S = 900.0
"""A look that does not come back, or a share that cannot be read, for so long is put before a person."""
_WAIT_S = 10.0
_MAX_LOOK_S = 15.0
Run = Callable[[Callable[[], None]], None]
"""Runs a function somewhere, at once or later."""


def make(kind: str, options: Mapping[str, Any], lab: Path) -> "WatchedFolder":
    """Make the driver of an imager (drivers.options.Make); see `drivers.watched_options` for the options.

    Raises:
        SettingsError: an option is missing, unknown or wrong; not an imager; a folder is not there.
    """
    if kind != "imager":
        raise SettingsError(f"driver 'watched-folder' is for an imager, not for a {kind}")
    device = WatchedFolder(read_options(options, lab), lab)
    if device.options.orders is not None and not device.options.orders.is_dir():
        raise SettingsError(f"there is no folder {device.options.orders} for orders; mount its share, or make it")
    return device


def in_thread(function: Callable[[], None]) -> None:
    """Run a function in a thread that does not keep the process alive."""
    threading.Thread(target=function, daemon=True, name="watched-folder").start()


@dataclass(slots=True)
class _Look:
    """One look under way."""

    began: float
    is_over: threading.Event = field(default_factory=threading.Event)
    alive: float = 0.0


class WatchedFolder:
    """The imager (drivers.ports.Imager) behind a watched folder; awaits one plate at a time."""

    def __init__(
        self,
        options: WatchOptions,
        lab: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        run: Run = in_thread,
    ) -> None:
        self.options = options
        self._lab, self._now, self._monotonic, self._run = lab, now, monotonic, run
        self._memory = Memory(lab / "logs" / "watched-folder")
        self._memory.prepare()
        self._eye = Eye(options, monotonic)
        self._look: _Look | None = None
        self._not_before = float("-inf")
        self._told: dict[str, Report] = {}
        """What the last look had to say, by key; RUNNING or UNKNOWN."""
        self._blind_since: float | None = None
        self._bug: Exception | None = None

    def submit(self, command: Any, key: str) -> None:
        """Await the readout of a plate; a key that was received before changes nothing.

        Raises:
            Transient: another readout is awaited, or the watched folder or the lab's memory cannot be reached.
            NeedsOperator: not an AcquirePlate, or one without a barcode.
        """
        if self._memory.has(key):
            return
        if not self._memory.is_there:
            raise Transient(f"there is no folder {self._memory.place}; put it back")
        if not isinstance(command, AcquirePlate):
            raise NeedsOperator(f"the imager does not take a {type(command).__name__}")
        if not command.barcode.strip() or "\0" in command.barcode:
            raise NeedsOperator(f"a readout needs a barcode to be known by, not {command.barcode!a}")
        if busy := self._busy_with():
            word = self._memory.word_path(busy)
            raise Transient(f"the imager is busy: it awaits {busy}; to end that write '{GIVE_UP}' into {word}")
        before = self._in_time(lambda: self._before(command.barcode))
        try:
            self._prepare_order(key, command.barcode)
            self._memory.write_request(Awaited(key, command.barcode, self._now(), before))
        except OSError as error:
            raise Transient(f"the request {key} cannot be written: {error}") from error
        self._begin_look(key, is_urgent=True)

    def poll(self, key: str) -> Report:
        """Tell how the readout stands; looks again in the background when it is time."""
        try:
            if self._memory.request(key) is None:
                return Report(Status.NOT_FOUND)
            self._begin_look(key)
            return self._report(key)
        except Forgotten as error:
            return Report(Status.UNKNOWN, message=str(error))

    def lookup(self, key: str) -> Report:
        """Tell how the readout stands after a crash, and whether one that was taken is still what it was."""
        try:
            if self._memory.request(key) is None:
                return Report(Status.NOT_FOUND)
            self._begin_look(key, is_urgent=True)
            if self._look is not None:
                self._look.is_over.wait(_WAIT_S)
            return self._report(key)
        except Forgotten as error:
            return Report(Status.UNKNOWN, message=str(error))

    def _report(self, key: str) -> Report:
        """Return what is known, in words that a journal and a terminal can hold, whatever folders are called."""
        report = self._known(key)
        return replace(report, message=shown(report.message))

    def _known(self, key: str) -> Report:
        if self._bug is not None:
            raise self._bug
        told = self._told.get(key)
        ended = self._memory.end(key)
        if ended is None:
            return self._hanging() or told or Report(Status.RUNNING)
        result = {"folder": ended.folder, "images": ended.images}
        if not ended.is_taken:
            return Report(Status.FAILED, result, ended.message)
        is_doubted = told is not None and told.status is Status.UNKNOWN
        return told if told is not None and is_doubted else Report(Status.DONE, result)

    def _hanging(self) -> Report | None:
        look = self._look
        if look is None or look.is_over.is_set() or self._monotonic() - look.alive < HANGS_S:
            return None
        return Report(Status.UNKNOWN, message=f"{self.options.watch} does not answer; is the share mounted and well?")

    def _busy_with(self) -> str | None:
        """Return a key that is awaited; what was put before a person does not keep the device."""
        for key in self._memory.received():
            try:
                is_open = self._memory.end(key) is None
            except Forgotten:
                continue
            if is_open and self._told.get(key, Report(Status.RUNNING)).status is Status.RUNNING:
                # Nobody may poll it any more: it ends, or asks a person, only if somebody looks.
                self._begin_look(key)
                if self._memory.end(key) is None:
                    return key
        return None

    # Looking: everything below runs in the look's thread, one at a time.

    def _begin_look(self, key: str, *, is_urgent: bool = False) -> None:
        now = self._monotonic()
        if (self._look is not None and not self._look.is_over.is_set()) or (now < self._not_before and not is_urgent):
            return
        look = self._look = _Look(now, alive=now)
        self._run(lambda: self._look_once(key, look))

    def _look_once(self, key: str, look: _Look) -> None:
        try:
            told = self._seen(key, look)
            if told is None:
                self._told.pop(key, None)
            else:
                self._told[key] = told
        except Forgotten as error:
            self._told[key] = Report(Status.UNKNOWN, message=str(error))
        except OSError as error:
            self._told[key] = self._blind(error)
        except Exception as error:
            self._bug = error  # raised by the next poll: a thread's own last words are heard by nobody
        finally:
            now = self._monotonic()
            self._not_before = now + max(4 * (now - look.began), min(_MAX_LOOK_S, self.options.settle_s / 8))
            look.is_over.set()

    def _seen(self, key: str, look: _Look) -> Report | None:
        awaited, ended = self._memory.request(key), self._memory.end(key)
        if awaited is None:
            return None
        if ended is not None:
            return self._verified(ended)
        word = self._memory.word(key)
        if word == GIVE_UP:
            self._fail(awaited, "a person gave it up")
            return None
        self._hand_over_order(key)
        verdict = self._eye.look(awaited, word)
        self._blind_since = None
        if verdict.take is not None:
            return self._take(awaited, verdict.take, look)
        is_late = self._now() - awaited.asked_at >= timedelta(hours=self.options.timeout_h)
        if is_late and not verdict.is_moving:
            self._fail(awaited, self._late(awaited, verdict))
            return None
        if verdict.question:
            words = self._memory.word_path(key)
            return Report(Status.UNKNOWN, message=f"{verdict.question}; write the name of the one to take into {words}")
        return Report(Status.RUNNING)

    def _take(self, awaited: Awaited, found: Candidate, look: _Look) -> Report | None:
        def alive() -> None:
            look.alive = self._monotonic()

        source, now, stand = self.options.watch / found.name, self._now(), found.stand
        try:
            readout = Arriving(source, stand.inventory, awaited.barcode, self.options.is_copied)
            folder = bring_in(readout, self._lab, alive)
        except SourceChanged:
            return Report(Status.RUNNING)
        told = "; ".join((*stand.reasons, *stand.doubts))
        self._memory.write_end(awaited.key, Ended(True, now, folder, stand.n_images, told, found.name, stand.inventory))
        return None

    def _fail(self, awaited: Awaited, message: str) -> None:
        folder = f"readouts/{plain_name(awaited.barcode)}"
        self._memory.write_end(awaited.key, Ended(False, self._now(), folder, 0, message))

    def _late(self, awaited: Awaited, verdict: Verdict) -> str:
        seen = "; ".join(verdict.reasons) or verdict.question
        older = [name for name, newest in awaited.before.items() if newest]
        was_there = f"; there before it was asked for, so not taken: {', '.join(older)}" if older else ""
        return f"no whole readout of {awaited.barcode} in {self.options.timeout_h:g} h: {seen}{was_there}"

    def _verified(self, ended: Ended) -> Report | None:
        """Tell when the folder that was taken is not what it was: it was taken too early, or somebody changed it."""
        if ended.inventory is None or not ended.source:
            return None
        now = self._eye.has_changed(ended.source, ended.inventory)
        if now is None:
            return None
        where, how = self.options.watch / ended.source, changed_since(ended.inventory, now)
        message = f"{where} changed after it was taken at {ended.at:%Y-%m-%d %H:%M}: {how}"
        return Report(Status.UNKNOWN, message=message)

    def _blind(self, error: OSError) -> Report:
        """A share comes back by itself, mostly; a person is asked when it does not."""
        now = self._monotonic()
        self._blind_since = now if self._blind_since is None else self._blind_since
        if now - self._blind_since < HANGS_S:
            return Report(Status.RUNNING)
        what = f"{self.options.watch} cannot be read, or {self._lab} not be written ({error})"
        return Report(Status.UNKNOWN, message=f"{what}; is the share mounted?")

    # What submit needs of the share.

    def _before(self, barcode: str) -> dict[str, int]:
        """Return what lay there before; a try of this plate that failed left its own view, which still holds."""
        earlier = [a for key in self._memory.received() if (a := self._memory.request(key)) and a.barcode == barcode]
        failed: list[Awaited] = []
        for awaited in sorted(earlier, key=lambda a: a.asked_at):
            ended = self._memory.end(awaited.key)
            failed = [] if ended is not None and ended.is_taken else [*failed, awaited]
        return dict(failed[0].before) if failed else self._eye.snapshot(barcode)

    def _in_time(self, ask: Callable[[], dict[str, int]]) -> dict[str, int]:
        """Ask the share, but not for ever.

        Raises:
            Transient: no answer in time, or an error.
        """
        answer: list[dict[str, int] | Exception] = []
        is_over = threading.Event()

        def work() -> None:
            try:
                answer.append(ask())
            except (OSError, Forgotten) as error:
                answer.append(error)
            finally:
                is_over.set()

        self._run(work)
        if not is_over.wait(_WAIT_S):
            raise Transient(f"{self.options.watch} does not answer; is the share mounted and well?")
        if not answer or isinstance(answer[0], Exception):
            said = answer[0] if answer else "no answer"
            raise Transient(f"{self.options.watch} cannot be read ({said}); is the share mounted?")
        return answer[0]

    def _order(self, key: str) -> tuple[Path, Path] | None:
        """Return an order's hidden and final name; None when nobody wants orders."""
        if self.options.orders is None:
            return None
        name = f"{file_name(key)}.json"
        return self.options.orders / f".{name}.asked", self.options.orders / name

    def _prepare_order(self, key: str, barcode: str) -> None:
        if (paths := self._order(key)) is not None:
            body = {"key": key, "barcode": barcode, "asked_at": self._now().isoformat()}
            write_whole(paths[0], json.dumps(body, indent=1).encode())

    def _hand_over_order(self, key: str) -> None:
        if (paths := self._order(key)) is not None and paths[0].exists():
            paths[0].replace(paths[1])
