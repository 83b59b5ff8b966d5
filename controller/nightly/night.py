"""The night: the same loop as `nextplate run`, in a process that its keeper watches and may kill at any moment."""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from controller.campaign import Ending, Watcher, run_campaign
from controller.clock import WallClock
from controller.files import is_full
from controller.lab import Lab, locked_store, open_lab
from controller.nightly.clockguard import ClockGuard, boot_question, clock_file
from controller.nightly.pulse import PulseWriter, Word
from controller.nightly.windows import Windows, windows_of
from controller.observed import observed
from controller.store import open_store
from controller.timing import Closed
from nextplate.errors import (
    DeviceError,
    DiskFull,
    JournalBroken,
    LabBusy,
    NextplateError,
    SchemaMismatch,
    SettingsError,
    StepError,
    StoreAway,
    StoreError,
)

if TYPE_CHECKING:
    from controller.store.store import Store

_PULSE_S = 0.2
_ASK_CLOCK_S = timedelta(seconds=30)
_ORPHAN_S = 20.0
"""How long a night whose keeper is gone may take to end by itself."""
_LOOK_S = 1.0


def main() -> None:
    """Work until the campaign is over, or until the keeper says stop or is gone."""
    lab_folder, fd = Path(sys.argv[1]), int(sys.argv[2])
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    pulse, stop = PulseWriter(fd), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_outlive_nobody, args=(stop,), daemon=True).start()
    pulse.send("phase", "opening the lab")
    word, message = _ended(lab_folder, pulse, stop)
    pulse.send("end", message, word=word)
    sys.exit(0 if word in (Word.OVER, Word.STOPPED) else 2 if word == Word.REFUSED else 1)


def _outlive_nobody(stop: threading.Event) -> None:
    """End when the keeper is gone: its end of our standard input is closed by the kernel however it died."""
    while os.read(0, 4096):  # unbuffered: a buffer's lock would trip the interpreter when it ends
        continue
    stop.set()
    time.sleep(_ORPHAN_S)
    os._exit(1)  # stuck; whoever comes next finds the journal as it is


def _ended(folder: Path, pulse: PulseWriter, stop: threading.Event) -> tuple[str, str]:
    """Run the night and say how it ended, in a word for the keeper and a message for people."""
    try:
        return _run(open_lab(folder), pulse, stop)
    except LabBusy as error:
        return Word.BUSY, str(error)
    except (SettingsError, JournalBroken, SchemaMismatch) as error:
        return Word.REFUSED, str(error)
    except (DiskFull, StoreAway) as error:
        return Word.WANTING, str(error)
    except (StoreError, DeviceError, StepError) as error:
        return Word.FAILED, str(error)
    except NextplateError as error:
        return Word.REFUSED, str(error)
    except OSError as error:
        word = Word.WANTING if is_full(error) else Word.FAILED
        return word, f"{error.filename or 'the system'}: {error.strerror or error}"


def _run(lab: Lab, pulse: PulseWriter, stop: threading.Event) -> tuple[str, str]:
    watcher = NightWatch.of(lab, pulse, stop)
    # Beside the lab's own store, which is let go of while a person is waited for; the listeners wait on.
    with open_store(lab.database) as own, observed(lab, own) as hear:
        return _nights(lab, watcher, Watcher(hear, note=_once(partial(pulse.send, "left-out"))), pulse, stop)


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return what tells each text once, however often the lab is opened in a night."""
    told: set[str] = set()

    def note(text: str) -> None:
        if text not in told:
            told.add(text)
            tell(text)

    return note


def _nights(
    lab: Lab, watcher: "NightWatch", heard: Watcher, pulse: PulseWriter, stop: threading.Event
) -> tuple[str, str]:
    while not stop.is_set():
        with locked_store(lab, "nextplate nightly") as store:
            if not lab.settings.is_simulated:
                watcher.ask_at_boot(store)
            ending = run_campaign(lab, store, heard, watcher)
        if ending.is_over:
            return Word.OVER, _last_words(ending)
        if ending.was_interrupted:
            break
        pulse.send("waiting", _wanted(ending))
        _wait_for_a_word(lab, watcher, stop)
        pulse.send("waiting", "")
    return Word.STOPPED, "stopped; nothing was lost"


def _last_words(ending: Ending) -> str:
    ends = [f"campaign {v.focus} is {'finished' if v.is_finished else 'aborted'}" for v in ending.views]
    ends += [f"campaign {name} was left out ({why})" for name, why in ending.left_out.items()]
    return f"{', '.join(ends)}; journal of {ending.head.seq} events ends with {ending.head.hash[:16]}"


def _wanted(ending: Ending) -> str:
    """Say what a person is wanted for."""
    s = ending.state
    asked = [f"{f.question} (nextplate answer {f.fault} {'|'.join(f.choices)})" for f in s.open_faults()]
    for view in ending.views:
        which = f" --campaign {view.focus}" if len(ending.views) > 1 else ""
        rounds = view.open_proposals()
        asked += [f"{view.proposals[r]} (nextplate approve {r + 1}{which} or reject {r + 1}{which})" for r in rounds]
        asked += [f"campaign {view.focus} is paused (nextplate resume{which})"] if view.is_paused else []
    return "; ".join(asked) or "the campaign cannot go on by itself (nextplate status)"


def _wait_for_a_word(lab: Lab, watcher: "NightWatch", stop: threading.Event) -> None:
    """Wait, without holding the lab, until a person has said something."""
    with open_store(lab.database) as store:
        while not stop.is_set():
            with suppress(LabBusy):  # somebody writes just now
                if store.waiting_decisions():
                    return
            watcher.beat()
            stop.wait(_LOOK_S)


@dataclass(slots=True)
class NightWatch:
    """The loop's overseer: beats, stops it, and holds motion outside the windows or while the clock is in doubt."""

    windows: Windows
    pulse: PulseWriter
    stop: threading.Event
    guard: ClockGuard | None
    """None in a simulated lab, which has a time of its own."""
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    _beaten_s: float = 0.0
    _asked: str = field(default="")

    @classmethod
    def of(cls, lab: Lab, pulse: PulseWriter, stop: threading.Event) -> "NightWatch":
        """Make the overseer that lab.toml describes."""
        section, clock = lab.settings.nightly, WallClock()
        windows = windows_of(section.move, section.time_zone)
        jump = timedelta(hours=section.max_clock_jump_h)
        guard = ClockGuard(clock_file(lab.folder), jump, clock.now(), time.monotonic())
        return cls(windows, pulse, stop, None if lab.settings.is_simulated else guard, clock.now)

    def ask_at_boot(self, store: "Store") -> None:
        """Compare the clock with the journal."""
        if self.guard is not None:
            last = store.last_event()
            told, seq = (last.time, last.seq) if last else (None, 0)
            self.guard.boot = boot_question(self.now(), told, seq, self.guard.word, self.guard.max_jump)

    def scanned(self) -> bool:
        """Beat; tell whether to stop."""
        self.beat()
        return self.stop.is_set()

    def beat(self) -> None:
        """Tell the keeper that all is well, not more often than it cares to hear."""
        now_s = self.monotonic()
        if now_s - self._beaten_s >= _PULSE_S:
            self._beaten_s = now_s
            self.pulse.send("scan")

    def opens(self, now: datetime) -> datetime | None:
        """Tell when something physical may be begun; None: now."""
        if self._doubts_clock():
            return now + _ASK_CLOCK_S
        # People keep the wall's hours, whatever the lab's own time is.
        wall = now if self.guard is None else self.now()
        opens = self.windows.opens(wall)
        return now + (opens - wall) if opens > wall else None

    def closed(self, now: datetime) -> Closed:
        """List when robots may not move in the next days."""
        wall = now if self.guard is None else self.now()
        return tuple((now + (a - wall), now + (b - wall)) for a, b in self.windows.closed(wall))

    def _doubts_clock(self) -> bool:
        if self.guard is None:
            return False
        question = self.guard.doubts(self.now(), self.monotonic()) or ""
        if question != self._asked:
            self._asked = question
            self.pulse.send("clock", question)
        return bool(question)


if __name__ == "__main__":
    main()
