"""model: the lab's beliefs on disk: list, show, export, roll back."""

from pathlib import Path
from typing import Annotated

import typer

from controller.cli.answers import ReasonOption, RoundArgument, decide_in
from controller.cli.common import HERE, JsonOption, LabOption, say

RoundOption = Annotated[
    int | None, typer.Option("--round", min=1, help="Round of the belief, counting from 1.", show_default="deployed")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    model = typer.Typer(no_args_is_help=True, help="Beliefs on disk: list, show, export, roll back.")
    model.command("list")(model_list)
    model.command("show")(model_show)
    model.command("export")(model_export)
    model.command("rollback")(model_rollback)
    app.add_typer(model, name="model")


def model_list(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """List the campaign's beliefs, and which of them chooses plates.

    Example: nextplate model list
    """
    from controller.shelf import list_models, list_text

    body = list_models(lab)
    say(body, list_text(body), as_json)


def model_show(number: RoundOption = None, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Tell what a belief was fitted on, how good it is and whether it passed its gates; check its files.

    Example: nextplate model show --round 2
    """
    from controller.shelf import show_model, show_text

    body = show_model(lab, number)
    say(body, show_text(body), as_json)


def model_export(
    out: Annotated[Path, typer.Argument(help="New folder for the belief.")],
    number: RoundOption = None,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Copy a belief to a folder of its own: JSON card, LightGBM text, npz, safetensors; no pickle.

    Example: nextplate model export belief-of-today
    """
    from controller.shelf import export_model

    body = export_model(lab, number, out)
    say(body, f"wrote {body['out']}: the belief of round {body['round']}, {body['files']} files", as_json)


def model_rollback(
    number: RoundArgument, lab: LabOption = HERE, reason: ReasonOption = "", as_json: JsonOption = False
) -> None:
    """Choose plates by an earlier belief again; those after it are withdrawn, and the journal says by whom.

    Example: nextplate model rollback 2 --reason "round 3 learned from a bad plate"
    """
    from controller.shelf import refuse_damaged

    refuse_damaged(lab, number)
    decide_in(lab, {"what": "rollback", "round": number - 1, "reason": reason}, as_json)
