"""watch: the lab at a glance, drawn anew whenever the journal grows. It reads the journal and changes nothing."""

import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.common import HERE, LabOption
from protocols.sentences import plain

if TYPE_CHECKING:
    from rich.table import Table

    from controller.narrate import Narrator
    from controller.state import LabState
    from controller.store import Event, Head

_LOOK_S = 1.0
_LATEST = 6
_STYLES = {"waits": "yellow", "faults": "red", "result": "green", "trouble": "red"}
_ENDS = ("q", "Q", "\x03")
_CALM = ("nobody", "none", "no plate is judged yet")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def watch(
    lab: LabOption = HERE,
    once: Annotated[bool, typer.Option("--once", help="Draw it once and end.")] = False,
) -> None:
    """Watch the lab live: what runs, what waits and for whom, what comes next. q or Ctrl-C ends it, and it alone.

    Example: nextplate watch --lab mylab

    Example: nextplate watch --once --lab mylab
    """
    from controller.cli.showing import lab_database

    view = _View.of(lab_database(lab))
    view.look()
    if once:
        _print(view)
        return
    with suppress(KeyboardInterrupt):
        (_live if sys.stdout.isatty() else _follow)(view)


@dataclass(slots=True)
class _View:
    """The state folded so far; every look folds only what is new."""

    url: str
    state: "LabState"
    head: "Head"
    narrator: "Narrator"
    now: datetime | None = None
    trouble: str = ""
    """Why the journal could not be read just now."""
    latest: deque[str] = field(default_factory=lambda: deque(maxlen=_LATEST))

    @classmethod
    def of(cls, url: str) -> "_View":
        """Begin before the first event."""
        from controller.narrate import Narrator
        from controller.state import LabState
        from controller.store import GENESIS, Head

        return cls(url, LabState(), Head(0, GENESIS), Narrator())

    def look(self) -> bool:
        """Fold what is new; tell whether anything is. The first look raises what later ones only show.

        Raises:
            StoreError: there is no journal, or it cannot be read.
            JournalBroken: it was changed.
        """
        from controller.store import read_journal
        from nextplate.errors import NextplateError

        try:
            events = read_journal(self.url, self.head.seq)
        except NextplateError as error:
            if not self.head.seq:
                raise
            was, self.trouble = self.trouble, str(error)
            return was != self.trouble
        self._take(events)
        had_trouble, self.trouble = bool(self.trouble), ""
        return bool(events) or had_trouble

    def _take(self, events: Sequence["Event"]) -> None:
        from controller.folding import collector_paused
        from controller.state import fold
        from controller.store import Head
        from nextplate.errors import JournalBroken

        if not events:
            return
        if events[0].previous_hash != self.head.hash:
            raise JournalBroken(f"journal event {events[0].seq} does not follow what was read before: it was changed")
        with collector_paused():
            self.state = fold(events, self.state)
        self.latest.extend(text for event in events if (text := self.narrator.line(event)))
        self.head, self.now = Head(events[-1].seq, events[-1].hash), events[-1].time

    def lines(self) -> list[str]:
        """Say what is seen."""
        from controller.glimpse import glimpse, ten_lines

        seen = ten_lines(glimpse(self.state, self.head, self.now))
        return [plain(line) for line in (*seen, *([f"trouble  {self.trouble}"] if self.trouble else []))]


def _print(view: _View) -> None:
    typer.echo("\n".join(view.lines()))


def _follow(view: _View) -> None:
    """Tell a pipe or a file every change."""
    _print(view)
    while True:
        time.sleep(_LOOK_S)
        if view.look():
            typer.echo("")
            _print(view)


def _live(view: _View) -> None:
    """Draw on a terminal, again when the journal has grown or the window has changed its size."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        size, is_news, key = None, True, ""
        while key not in _ENDS:
            if is_news or console.size != size:
                size = console.size
                live.update(_picture(view), refresh=True)
            key = pressed(_LOOK_S)
            is_news = view.look()


def _picture(view: _View) -> "Table":
    """Draw the lines so that they fold on a narrow terminal; a name from a file is text, never mark-up."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in view.lines():
        title, _, said = line.partition(" ")
        said = said.strip()
        grid.add_row(Text(title, "bold"), Text(said, "" if said in _CALM else _STYLES.get(title, "")))
    for line in view.latest:
        grid.add_row("", Text(line, "dim", no_wrap=True, overflow="ellipsis"))
    grid.add_row("", Text("q ends the watching; the lab goes on", "dim"))
    return grid


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Read single keys without waiting for Enter; where nobody types, only the time passes."""
    if not sys.stdin.isatty():
        yield _sleep
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    mode = termios.tcgetattr(fd)
    mode[6][termios.VINTR] = b"\0"  # Ctrl-C comes as a key: as an interrupt it can strike where Python drops it
    termios.tcsetattr(fd, termios.TCSANOW, mode)
    try:
        yield lambda seconds: os.read(fd, 1).decode(errors="replace") if select.select([fd], [], [], seconds)[0] else ""
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> str:
    time.sleep(seconds)
    return ""
