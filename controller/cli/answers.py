"""What operators decide: approve, reject, pause, resume, abort, answer."""

import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.cli.common import HERE, CampaignOption, JsonOption, LabOption, say

RoundArgument = Annotated[int, typer.Argument(min=1, help="Round number, counting from 1.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the journal.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (approve, reject, pause, resume, abort, answer):
        app.command()(command)


def approve(
    number: RoundArgument,
    lab: LabOption = HERE,
    reason: ReasonOption = "",
    campaign: CampaignOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a proven round be pipetted.

    Example: nextplate approve 2 --reason "checked the deck"
    """
    decide_in(lab, {"what": "approve", "round": number - 1, "reason": reason}, as_json, campaign)


def reject(
    number: RoundArgument,
    lab: LabOption = HERE,
    reason: ReasonOption = "",
    campaign: CampaignOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a proven round: nothing of it is pipetted and the campaign ends.

    Example: nextplate reject 2 --reason "wrong library"
    """
    decide_in(lab, {"what": "reject", "round": number - 1, "reason": reason}, as_json, campaign)


def pause(lab: LabOption = HERE, campaign: CampaignOption = None, as_json: JsonOption = False) -> None:
    """Start nothing new; what runs is finished.

    Example: nextplate pause
    """
    decide_in(lab, {"what": "pause"}, as_json, campaign)


def resume(lab: LabOption = HERE, campaign: CampaignOption = None, as_json: JsonOption = False) -> None:
    """Go on after a pause.

    Example: nextplate resume && nextplate run
    """
    decide_in(lab, {"what": "resume"}, as_json, campaign)


def abort(lab: LabOption = HERE, campaign: CampaignOption = None, as_json: JsonOption = False) -> None:
    """End the campaign; what runs is finished, plates stay where they are.

    Example: nextplate abort
    """
    decide_in(lab, {"what": "abort"}, as_json, campaign)


def answer(
    fault: Annotated[str, typer.Argument(help="Name of the fault, as `nextplate status` shows it.")],
    choice: Annotated[str, typer.Argument(help="One of the answers the fault offers.")],
    minutes: Annotated[
        float | None,
        typer.Option(min=1, help="With wait: ask again after so long.", show_default="when late once more"),
    ] = None,
    arrived: Annotated[
        list[str] | None, typer.Option(help="With half-done: a plate that arrived; once for each.")
    ] = None,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Answer a fault.

    Example: nextplate answer first.r1.run-0 accept

    Example: nextplate answer first.r1.acquire wait --minutes 30

    Example: nextplate answer first.r1.deck-0 half-done --arrived NP-0002 --arrived TIPS-1
    """
    detail = {"wait_s": minutes * 60} if minutes is not None else {}
    detail |= {"arrived": arrived} if arrived else {}
    decide_in(lab, {"what": "answer", "fault": fault, "choice": choice, **detail}, as_json)


def decide_in(folder: Path, decision: Mapping[str, Any], as_json: bool, campaign: str | None = None) -> None:
    """Put a decision into the inbox, whence the loop takes it into the journal, now or when it next runs."""
    from controller.lab import open_lab
    from controller.operators import require, which_campaign
    from controller.state import fold
    from controller.store import open_store

    with open_store(open_lab(folder).database) as store:
        waiting = [json.loads(row["decision"]) for row in store.waiting_decisions()]
        state = fold(store.events())
        meant = which_campaign(state, decision, campaign)
        signed = {**decision, "by": getpass.getuser(), **({"campaign": meant} if meant else {})}
        require(state, waiting, signed)
        store.post_decision(json.dumps(signed, sort_keys=True))
    said = f"{decision['what']}: noted; a running `nextplate run` takes it up now, else the next one does"
    say({"noted": decision}, said, as_json)
