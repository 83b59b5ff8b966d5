"""The keeper: begins nights, listens to them, begins them again. Time is handed in; processes come through a port."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from controller.nightly.book import Book
from controller.nightly.clockguard import SMALL_JUMP_S, ClockGuard
from controller.nightly.patience import Patience
from controller.nightly.pulse import Pulse, Word
from controller.nightly.starts import Starts
from controller.nightly.told import Happening, Tell


class Night(Protocol):
    """A running night, as its keeper sees it."""

    def pulses(self) -> Sequence[Pulse]:
        """Return what it has said since, without waiting."""

    def code(self) -> int | None:
        """Return its exit code; None while it runs."""

    def stop(self) -> None:
        """Ask it to end after the present scan."""

    def kill(self, *, with_traces: bool = False) -> None:
        """End it and its helpers now; with_traces: let it write first what every thread does."""


@dataclass(slots=True)
class Keeper:
    """Keeps nights going. ``tick`` it at least every second."""

    patience: Patience
    starts: Starts
    misfire: timedelta
    max_jump: timedelta
    guard: ClockGuard
    begin_night: Callable[[], Night]
    save: Callable[[Book], None]
    ask_clock: Callable[[str | None], None]
    """Keep the question about the clock where the night reads it; None takes it back."""
    tell: Tell
    book: Book
    night: Night | None = None
    is_stopping: bool = False
    _heard_s: float = 0.0
    _again_s: float | None = None
    """When (monotonic) the open night is begun or begun again."""
    _restarts: tuple[float, ...] = ()
    _end: Pulse | None = None
    _waiting: str = ""
    _clock: str = ""
    _held: str = ""
    """Why the night cannot work just now, as it was told: busy or wanting."""
    _question: str | None = None
    _stop_by_s: float = field(default=float("inf"))

    def resume(self, now: datetime, mono_s: float) -> None:
        """Go on with the night that was open when the service last ended."""
        if self.book.night is not None:
            self._say(now, "night-resumed", f"the night of {self.book.night:%Y-%m-%d %H:%M} UTC goes on")
            self._again_s = mono_s

    def start_now(self, now: datetime, mono_s: float) -> None:
        """Open a night without waiting for a start."""
        if self.book.night is None:
            self._open(now, now, mono_s)

    def tick(self, now: datetime, mono_s: float) -> None:
        """Look at the clock, the running night and the starts, and act."""
        self._look_at_clock(now, mono_s)
        if self.night is not None:
            self._look_at_night(self.night, now, mono_s)
        if not self.is_stopping:
            self._begin_what_is_due(now, mono_s)

    def stop(self, mono_s: float) -> None:
        """Begin nothing more, and let the running night end; its book stays open."""
        if not self.is_stopping:
            self.is_stopping, self._stop_by_s = True, mono_s + self.patience.stop_s
            if self.night is not None:
                self.night.stop()

    @property
    def is_done(self) -> bool:
        """Tell whether the service may end."""
        return self.is_stopping and self.night is None

    @property
    def word(self) -> str:
        """Say in a line how things stand."""
        if self.night is not None:
            return self._clock or self._waiting or "a night is running"
        return "a night waits to be started again" if self._again_s is not None else "waits for the next start"

    def _look_at_clock(self, now: datetime, mono_s: float) -> None:
        step_s = self.guard.step_s(now, mono_s)
        question = self.guard.check(now, mono_s)
        if question is None and abs(step_s) > SMALL_JUMP_S:
            self._say(now, "clock-set", f"the clock was set by {step_s:+.0f} s; the night goes on", step_s=step_s)
        if question == self._question:
            return
        if question is not None and self._question is None:
            self._say(now, "clock-question", question)
            self.ask_clock(question)
        elif question is None:
            self._say(now, "clock-believed", "the clock is believed again")
            self.ask_clock(None)
        self._question = question

    def _begin_what_is_due(self, now: datetime, mono_s: float) -> None:
        handled = self.book.handled
        if handled is not None and handled > now + self.max_jump:
            handled = None  # written by a clock that ran far ahead
        due = self.starts.due(handled, now, self.misfire)
        if due is not None and self.book.night is not None:
            self._keep(replace(self.book, handled=due))  # one night at a time
        elif due is not None:
            self._open(due, now, mono_s)
        if self._again_s is not None and mono_s >= self._again_s and self.night is None:
            self._begin(now, mono_s)

    def _open(self, start: datetime, now: datetime, mono_s: float) -> None:
        self._keep(Book(night=start, handled=start))
        self._restarts, self._again_s, self._held = (), mono_s, ""
        self._say(now, "night-started", f"the night of {start:%Y-%m-%d %H:%M} UTC begins")

    def _begin(self, now: datetime, mono_s: float) -> None:
        self._again_s, self._end, self._heard_s = None, None, mono_s
        try:
            self.night = self.begin_night()
            if self.is_stopping:  # said while it was being started
                self.night.stop()
        except OSError as error:  # no memory, no room, no process left: it may pass
            self._again("failed", f"the night's process could not be started: {error}", now, mono_s)

    def _look_at_night(self, night: Night, now: datetime, mono_s: float) -> None:
        code = night.code()  # first: what it said before it ended is then in the pipe
        for pulse in night.pulses():
            self._hear(pulse, now, mono_s)
        if code is not None:
            self._let_go(night)
            self._ended(code, now, mono_s)
        elif mono_s > self._stop_by_s:
            self._let_go(night)
            said = f"the night did not end within {self.patience.stop_s:g} s and was killed; nothing is lost"
            self._say(now, "stop-forced", said)
        elif mono_s - self._heard_s > self.patience.hang_s:
            night.kill(with_traces=True)
            self.night = None
            said = (
                f"the loop has not scanned for {self.patience.hang_s:g} s; see logs/nightly/night.log for its threads"
            )
            self._again("hang", said, now, mono_s)

    def _let_go(self, night: Night) -> None:
        night.kill()  # its helpers, if it left any
        self.night = None

    def _hear(self, pulse: Pulse, now: datetime, mono_s: float) -> None:
        self._heard_s = mono_s
        what, message = pulse.get("what"), str(pulse.get("message", ""))
        if what == "end":
            self._end = pulse
        elif what == "left-out":
            self._say(now, "left-out", message)
        elif what == "scan" and self._held:
            self._held = ""
            self._say(now, "settled", "the night goes on")
        elif what == "waiting" and message != self._waiting:
            self._waiting = message
            self._say(now, "needs-person" if message else "settled", message or "a person has answered")
        elif what == "clock" and message != self._clock:
            self._clock = message
            if self._question is not None:
                return  # told by the keeper's own guard
            self._say(now, "clock-question" if message else "clock-believed", message or "the clock is believed again")

    def _ended(self, code: int, now: datetime, mono_s: float) -> None:
        word = str(self._end["word"]) if self._end else ""
        message = str(self._end["message"]) if self._end else ""
        self._waiting = self._clock = ""
        if word == Word.OVER:
            self._close("night-over", message, now)
        elif word == Word.REFUSED:
            self._close("refused", f"{message}; the next start tries again", now)
        elif word in (Word.BUSY, Word.WANTING):
            self._again_s = mono_s + self.patience.busy_s
            if word != self._held:
                self._held = word
                self._say(now, word, message)
        elif self.is_stopping and (word == Word.STOPPED or code == -signal.SIGTERM):
            return  # by the signal itself where it had not come so far as to listen
        else:
            kind = "failed" if word else "crash"
            said = message or f"the night's process ended with code {code} and said nothing; see logs/nightly/night.log"
            self._again(kind, said, now, mono_s)

    def _again(self, kind: str, message: str, now: datetime, mono_s: float) -> None:
        self._say(now, kind, message)
        if self.is_stopping:
            return
        self._restarts = self.patience.recent(self._restarts, mono_s)
        pause_s = self.patience.pause_s(len(self._restarts))
        if pause_s is None:
            said = f"started again {len(self._restarts)} times within an hour; the next start tries again"
            self._close("given-up", f"{said}. The last: {message}", now)
            return
        self._restarts = (*self._restarts, mono_s)
        self._again_s = mono_s + pause_s
        self._say(now, "restart", f"started again in {pause_s:g} s", n=len(self._restarts))

    def _close(self, kind: str, message: str, now: datetime) -> None:
        self._keep(replace(self.book, night=None))
        self._again_s = None
        self._say(now, kind, message)

    def _keep(self, book: Book) -> None:
        self.save(book)
        self.book = book

    def _say(self, now: datetime, kind: str, message: str, **facts: float) -> None:
        self.tell(Happening(kind, now, message, facts))
