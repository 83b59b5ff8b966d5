"""What every command shares: the lab option, --json, and progress that fits a terminal or a log."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from protocols.sentences import plain

LabOption = Annotated[
    Path,
    typer.Option("--lab", "-C", envvar="NEXTPLATE_LAB", help="The lab folder.", show_default="this folder"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

CampaignOption = Annotated[
    str | None, typer.Option("--campaign", help="Which campaign, where the lab runs several.", show_default="the one")
]

HERE = Path()
"""Default of the lab option."""


def finite(value: float | None) -> float | None:
    """Refuse nan and inf, which pass any bound of an option or mean nothing; a callback of options."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def say(body: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print a result: JSON on one line, or text, in which a name from a file cannot steer the terminal."""
    typer.echo(json.dumps(body, sort_keys=True, default=str) if as_json else for_terminal(text))


def lined(body: Any) -> Any:
    """Return JSON values of which every text stays on one line, for sentences to be made of them.

    What a device says may hold line ends: told among other lines it would pass for a line of nextplate's own.
    """
    if isinstance(body, str):
        return plain(body)
    if isinstance(body, Mapping):
        return {lined(name): lined(value) for name, value in body.items()}
    return [lined(value) for value in body] if isinstance(body, list | tuple) else body


def for_terminal(text: str) -> str:
    """Return text whose lines and tabs stay, and whose other signs that a terminal obeys are escaped."""
    return "\n".join("\t".join(map(plain, line.split("\t"))) for line in text.split("\n"))


def new_names(renamings: Sequence[str] | None) -> dict[str, str]:
    """Read `--channel OLD=NEW` options.

    Raises:
        DataError: one is not written like that.
    """
    from nextplate.errors import DataError

    names = {}
    for text in renamings or ():
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise DataError(f"--channel {text}: write the old name, '=', and the new one, as in 1=DNA")
        names[old] = new
    return names


@contextmanager
def progress_bar(title: str, is_quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how far a long work is: a bar on a terminal, a line every tenth elsewhere, on standard error."""
    if is_quiet:
        yield _say_nothing
    elif sys.stderr.isatty():
        with Bars() as bars:
            yield lambda done, total: bars.show(title, done, total)
    else:
        yield _Lines(title).show


def _say_nothing(_done: int, _total: int) -> None:
    """Show no progress: the output is for a program."""


class _Lines:
    """Progress for logs: at most ten lines."""

    def __init__(self, title: str) -> None:
        self._title, self._tenth = title, 0

    def show(self, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            typer.echo(f"{self._title}: {done} of {total}", err=True)


class Bars:
    """Progress bars by title on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, title: str, done: int, total: int) -> None:
        """Draw a bar; a full one disappears."""
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=done, total=total)
        if done >= total:
            self._progress.remove_task(self._tasks.pop(title))

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)
