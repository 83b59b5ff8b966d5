"""Is the wall clock to be believed? Robots move by it, so a wrong one stops them until a person has spoken."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controller.files import write_text

SMALL_JUMP_S = 2.0
"""Below it a step of the clock is the usual work of NTP and not told."""
_LONG = timedelta(days=180)
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
"""No lab is older than nextplate: a clock before it was never set."""
ANSWER = "set the clock, or, if it is right, say so: nextplate nightly --clock-is-right"


@dataclass(frozen=True, slots=True)
class ClockWord:
    """What was said of the clock, as ``logs/nightly/clock.json`` keeps it."""

    question: str | None = None
    """None: the keeper has none."""
    confirmed: datetime | None = None
    """The time at which a person said that the clock is right; None: never."""
    seq: int = 0
    """Events up to this one were there then, and tell nothing against it."""


def clock_file(lab: Path) -> Path:
    """Say where the word about a lab's clock is kept."""
    return lab / "logs" / "nightly" / "clock.json"


def read_word(path: Path) -> ClockWord:
    """Read what was said; nothing, when the file is absent or damaged: then the guard asks again if it must."""
    try:
        body = json.loads(path.read_text())
        confirmed = datetime.fromisoformat(body["confirmed"]) if body["confirmed"] else None
        return ClockWord(body["question"], confirmed, int(body["seq"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ClockWord()


def write_word(path: Path, word: ClockWord) -> None:
    """Keep what was said, whole or not at all."""
    confirmed = word.confirmed.isoformat() if word.confirmed else None
    write_text(path, json.dumps({"question": word.question, "confirmed": confirmed, "seq": word.seq}))


def boot_question(
    now: datetime, last_event: datetime | None, last_seq: int, word: ClockWord, max_jump: timedelta
) -> str | None:
    """Compare a clock with what the lab knows of time; return what to ask, None when all is well.

    Args:
        now: what the clock says.
        last_event: when the journal's last event was written; None while it is empty.
        last_seq: the number of that event.
        word: what was said of the clock before.
        max_jump: how far it may be behind.
    """
    known = [word.confirmed] if word.confirmed else []
    known += [last_event] if last_event is not None and last_seq > word.seq else []
    newest = max(known, default=None)
    if now < _FIRST:
        return f"the clock says {now:%Y-%m-%d %H:%M} UTC: it was never set; {ANSWER}"
    if newest is None:
        return None
    if now < newest - max_jump:
        return f"the clock says {now:%Y-%m-%d %H:%M} UTC, but the lab was at work at {newest:%Y-%m-%d %H:%M}; {ANSWER}"
    if now > newest + _LONG:
        days = (now - newest).days
        return f"the clock says {now:%Y-%m-%d %H:%M} UTC, {days} days after the lab was last at work; {ANSWER}"
    return None


class ClockGuard:
    """Watches the wall clock beside one that nobody sets, from within one process."""

    def __init__(self, path: Path, max_jump: timedelta, now: datetime, mono_s: float) -> None:
        self._path, self.max_jump = path, max_jump
        self._anchor = (now, mono_s)
        self._word, self._stamp = read_word(path), _stamp(path)
        self.boot: str | None = None
        """What was to be asked at the start; a person's word takes it back."""

    @property
    def word(self) -> ClockWord:
        """Return what was said, as of the last check."""
        return self._word

    def step_s(self, now: datetime, mono_s: float) -> float:
        """Return by how much the clock was set since the last believed check, forward positive."""
        wall, mono = self._anchor
        return (now - wall).total_seconds() - (mono_s - mono)

    def check(self, now: datetime, mono_s: float) -> str | None:
        """Return what is to be asked before anything moves; None: the clock is believed."""
        self._reread(now, mono_s)
        step_s = self.step_s(now, mono_s)
        if abs(step_s) > self.max_jump.total_seconds():
            days = abs(step_s) / 86400
            way = "forward" if step_s > 0 else "back"
            return f"the clock was set {way} by {days:.1f} days, to {now:%Y-%m-%d %H:%M} UTC; {ANSWER}"
        self._anchor = (now, mono_s)
        return self.boot

    def doubts(self, now: datetime, mono_s: float) -> str | None:
        """Return what is to be asked, by this process or by its keeper."""
        return self.check(now, mono_s) or self._word.question

    def _reread(self, now: datetime, mono_s: float) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        before, self._word, self._stamp = self._word, read_word(self._path), stamp
        if self._word.confirmed != before.confirmed:
            self._anchor, self.boot = (now, mono_s), None


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino
