"""replay: a retrospective campaign on known values."""

from pathlib import Path
from typing import Annotated

import typer

from controller.cli.common import JsonOption, finite, progress_bar, say

_WITH_IMAGES = "auto,fusion,early-fusion,profiles"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="CSV with structures and known values.")],
    smiles: Annotated[str, typer.Option(help="Column of the structures.")] = "smiles",
    value: Annotated[
        str, typer.Option(help="Column of the values; empty values cost budget and teach nothing.")
    ] = "value",
    maximize: Annotated[bool, typer.Option("--maximize", help="High values are good.")] = False,
    minimize: Annotated[bool, typer.Option("--minimize", help="Low values are good.")] = False,
    hits: Annotated[bool, typer.Option("--hits", help="Values are 0/1, or hits lie at or above --threshold.")] = False,
    threshold: Annotated[
        float | None, typer.Option(callback=finite, help="With --hits: the least value of a hit.", show_default="0.5")
    ] = None,
    initial: Annotated[str, typer.Option(help="Size of the first round: a share (1%) or a count (64).")] = "1%",
    batch: Annotated[str, typer.Option(help="Size of every later round, likewise.")] = "1%",
    rounds: Annotated[int, typer.Option(min=0, help="Rounds after the first.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions with different seeds.")] = 5,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Joined by commas: a kind of belief (auto, gp, forest, ...), a rule (ucb, ei, ...) by auto's "
            "belief, or KIND:RULE; random and similarity are always added.",
            show_default="auto; with --profiles auto,fusion,early-fusion,profiles",
        ),
    ] = None,
    profiles: Annotated[
        Path | None,
        typer.Option(help="Image profiles of an earlier screen (nextplate profiles, or a CSV with compound_id)."),
    ] = None,
    compound: Annotated[
        str | None, typer.Option("--id", help="With --profiles: column of the compounds' names in FILE.")
    ] = None,
    cell_count: Annotated[
        str | None,
        typer.Option(help="With --profiles: their column that is the cell count.", show_default="by its name"),
    ] = None,
    top: Annotated[
        str | None,
        typer.Option(
            help="Without --hits: what counts as found, the best share (1%) or count. With --hits all hits do.",
            show_default="1%",
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of a file that is not UTF-8, e.g. latin-1.")] = "utf-8",
    out: Annotated[Path, typer.Option(help="Folder for replay.json and the curves.")] = Path("replay"),
    as_json: JsonOption = False,
) -> None:
    """Replay a campaign on values that are known, to compare strategies, through the code of the live loop.

    With --profiles: does an earlier imaging screen help this assay? The same chemistry without images (lightgbm) and
    the cell count alone (cell-count) stand beside every image result.

    Example: nextplate replay tyk2_fep.csv --smiles SMILES --value dG_bind --minimize --strategy auto,forest,gp:ucb
    """
    from controller.replay import ReplayRequest, run_replay
    from controller.replay_shown import replay_text
    from nextplate.errors import DataError

    goals = [name for name, is_set in (("maximize", maximize), ("minimize", minimize), ("hits", hits)) if is_set]
    if len(goals) != 1:
        raise DataError("say what is good: exactly one of --maximize, --minimize, --hits")
    if threshold is not None and not hits:
        raise DataError(f"--threshold {threshold:g} is the least value of a hit; it goes with --hits, not --{goals[0]}")
    if top is not None and hits:
        raise DataError(f"--top {top} goes with --maximize or --minimize; with --hits recall is counted over all hits")
    asked = strategy if strategy is not None else "auto" if profiles is None else _WITH_IMAGES
    request = ReplayRequest(
        file=file,
        smiles_column=smiles,
        value_column=value,
        goal=goals[0],
        threshold=0.5 if threshold is None else threshold,
        initial=initial,
        batch=batch,
        rounds=rounds,
        seeds=seeds,
        strategies=tuple(s.strip() for s in asked.split(",") if s.strip()),
        top="1%" if top is None else top,
        out=out,
        encoding=encoding,
        profiles=profiles,
        id_column=compound,
        count_column=cell_count,
    )
    with progress_bar("replay", as_json) as progress:
        body = run_replay(request, progress)
    say(body, replay_text(body), as_json)
