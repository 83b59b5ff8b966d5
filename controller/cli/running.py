"""demo, init and run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import HERE, Bars, JsonOption, LabOption, say
from protocols.sentences import plain

if TYPE_CHECKING:
    from controller.campaign import Ending, Watcher
    from controller.state import LabState


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo)
    app.command()(init)
    app.command()(run)


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    as_json: JsonOption = False,
) -> None:
    """Make a lab: a folder with lab.toml and an empty database.

    Example: nextplate init mylab
    """
    from controller.lab import init_lab

    lab = init_lab(folder)
    text = f"{folder} is a lab now; edit {folder / 'lab.toml'}, then: nextplate library add FILE --lab {folder}"
    say({"lab": str(lab.folder), "database": lab.database}, text, as_json)


def run(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Run the campaign that lab.toml names, in front of you; the same command resumes it after anything.

    Exit code 1 when a person is needed.

    Example: nextplate run --lab mylab
    """
    from controller.campaign import run_campaign
    from controller.lab import locked_store, open_lab
    from controller.observed import watched

    opened = open_lab(lab)
    with (
        locked_store(opened, "nextplate run") as store,
        _Told(as_json) as told,
        watched(opened, store, told.watcher()) as watcher,
    ):
        ending = run_campaign(opened, store, watcher)
    say(ending_body(ending), ending_text(ending), as_json)
    raise typer.Exit(_code(ending))


def demo(
    folder: Annotated[Path, typer.Argument(help="Lab folder to make, or to go on with.")] = Path("demo-lab"),
    seed: Annotated[int, typer.Option(min=0, help="Decides the hidden biology and every random choice.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Plates, one a night.")] = 3,
    compounds: Annotated[int, typer.Option(min=400, max=10000, help="Compounds of the library to load.")] = 10000,
    as_json: JsonOption = False,
) -> None:
    """Watch a simulated lab screen 10,000 real compounds for three nights, then read the report.

    Stop it, kill it, start it again with the same command: it goes on where it was.

    Example: nextplate demo demo-lab --seed 1
    """
    from controller.demo import run_demo

    with _Told(as_json) as told:
        result = run_demo(folder, seed, rounds, compounds, told.watcher(), told.line)
    say(result.body, result.text, as_json)
    raise typer.Exit(_code(result.ending))


def ending_body(ending: "Ending") -> dict[str, Any]:
    """Tell an ending to programs."""
    from controller.status import state_word

    state = ending.state
    return {
        "campaign": state.campaign.name if state.campaign else None,
        "finished": state.is_finished,
        "aborted": state.is_aborted,
        "paused": state.is_paused,
        "interrupted": ending.was_interrupted,
        "faults": [{"fault": f.fault, "question": f.question, "choices": f.choices} for f in state.open_faults()],
        "waiting_for_approval": [r + 1 for r in state.open_proposals()],
        "journal_seq": ending.head[0],
        "journal_hash": ending.head[1],
        "state_digest": state.digest(),
        "settings_changed": ending.settings_changed,
        "campaigns": {name: state_word(state.focused(name)) for name in ending.campaigns},
        "left_out": dict(ending.left_out),
    }


def ending_text(ending: "Ending") -> str:
    """Tell an ending to people, with what they can do."""
    state = ending.state
    lines = []
    if ending.settings_changed:
        lines.append(
            "note: lab.toml was changed since this campaign started; it goes on with the settings it began with"
        )
    lines += [f"campaign {name} was left out: {why}" for name, why in ending.left_out.items()]
    for fault in state.open_faults():
        lines.append(f"needs a person: {fault.question}")
        lines += [f"  nextplate answer {fault.fault} {choice}" for choice in fault.choices]
    for view in ending.views:
        lines += _proposals(view, len(ending.campaigns) > 1)
    lines += dict.fromkeys(_how_it_ended(ending, view) for view in ending.views)
    return "\n".join(map(plain, lines))


def _proposals(state: "LabState", is_one_of_several: bool) -> list[str]:
    which = f" --campaign {state.focus}" if is_one_of_several else ""
    lines = []
    for number in state.open_proposals():
        lines.append(f"waits for approval: {state.proposals[number]}")
        lines.append(f"  nextplate approve {number + 1}{which}   or   nextplate reject {number + 1}{which}")
    return lines


def _how_it_ended(ending: "Ending", state: "LabState") -> str:
    name = state.campaign.name if state.campaign else ""
    if state.is_finished:
        return f"campaign {name} is finished; journal of {ending.head[0]} events ends with {ending.head[1][:16]}"
    if state.is_aborted:
        return f"campaign {name} was aborted; plates stay where they are (nextplate status)"
    if state.is_paused:
        return f"campaign {name} is paused; go on with: nextplate resume, then the same command again"
    if ending.was_interrupted:
        return "stopped; nothing was lost, the same command goes on from here"
    return "the same command goes on once this is settled"


def _code(ending: "Ending") -> int:
    return 130 if ending.was_interrupted and ending.needs_person else int(ending.needs_person)


class _Told:
    """Tells people what happens: bars and lines on a terminal, lines elsewhere, nothing beside --json."""

    def __init__(self, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._bars = Bars() if sys.stderr.isatty() and not is_quiet else None

    def __enter__(self) -> "_Told":
        if self._bars:
            self._bars.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.__exit__()

    def line(self, text: str) -> None:
        if self._bars:
            self._bars.line(text)
        elif not self._is_quiet:
            typer.echo(text, err=True)

    def watcher(self) -> "Watcher":
        from controller.campaign import Watcher
        from controller.narrate import Narrator

        narrator = Narrator()

        def on_event(event: Any) -> None:
            if text := narrator.line(event):
                self.line(text)

        return Watcher(on_event, self._bars.show if self._bars else None, self.line)
