"""What operators decide: approve, reject, pause, resume, abort, answer."""

import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import HERE, CampaignOption, JsonOption, LabOption, say

if TYPE_CHECKING:
    from controller.state import LabState

RoundArgument = Annotated[int, typer.Argument(min=1, help="Round number, counting from 1.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the journal.")]
DigestOption = Annotated[
    str, typer.Option("--digest", help="Only if this is what waits: its digest, or the beginning.", show_default="any")
]
ShowOption = Annotated[bool, typer.Option("--show", help="Show what is proposed, and decide nothing.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (approve, reject, pause, resume, abort, answer):
        app.command()(command)


def approve(
    number: RoundArgument,
    lab: LabOption = HERE,
    reason: ReasonOption = "",
    digest: DigestOption = "",
    show: ShowOption = False,
    campaign: CampaignOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a proven round be pipetted: what is proposed now, and nothing else. --show tells what that is.

    Example: nextplate approve 2 --show

    Example: nextplate approve 2 --digest 3f9a0c --reason "checked the deck"
    """
    if show:
        _show(lab, number - 1, campaign, as_json)
    else:
        decide_in(lab, {"what": "approve", "round": number - 1, "reason": reason, "digest": digest}, as_json, campaign)


def reject(
    number: RoundArgument,
    lab: LabOption = HERE,
    reason: ReasonOption = "",
    digest: DigestOption = "",
    campaign: CampaignOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a proven round: nothing of it is pipetted and the campaign ends.

    Example: nextplate reject 2 --reason "wrong library"
    """
    decide_in(lab, {"what": "reject", "round": number - 1, "reason": reason, "digest": digest}, as_json, campaign)


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
    detail: dict[str, Any] = {"wait_s": minutes * 60} if minutes is not None else {}
    detail |= {"arrived": arrived} if arrived else {}
    decide_in(lab, {"what": "answer", "fault": fault, "choice": choice, **detail}, as_json)


def decide_in(folder: Path, decision: Mapping[str, Any], as_json: bool, campaign: str | None = None) -> None:
    """Put a decision into the inbox, whence the loop takes it into the journal, now or when it next runs."""
    from controller.lab import open_lab
    from controller.lock import inbox_lock
    from controller.operators import require, which_campaign
    from controller.state import fold
    from controller.store import open_store

    lab = open_lab(folder)
    # Of two who answer at the same time the second is told what the first said.
    with inbox_lock(lab.folder), open_store(lab.database) as store:
        waiting = [json.loads(row["decision"]) for row in store.waiting_decisions()]
        state = fold(store.events())
        meant = which_campaign(state, decision, campaign)
        about = _named(state.focused(meant) if meant else state, decision)
        signed = {**about, "by": getpass.getuser(), **({"campaign": meant} if meant else {})}
        require(state, waiting, signed)
        store.post_decision(json.dumps(signed, sort_keys=True))
    said = f"{decision['what']}: noted; a running `nextplate run` takes it up now, else the next one does"
    say({"noted": decision}, said, as_json)


def _named(state: "LabState", decision: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write out which plan a word about a round is about: the one that waits, unless another was named."""
    if "digest" not in decision or decision["round"] not in state.proposals:
        return decision
    waiting = state.proposals[decision["round"]].digest
    return {**decision, "digest": waiting} if waiting.startswith(decision["digest"]) else decision


def _show(folder: Path, number: int, campaign: str | None, as_json: bool) -> None:
    """Print the summary of a round, as it was let go or put before a person."""
    from controller.approving import in_full
    from controller.lab import open_lab
    from controller.operators import which_campaign
    from controller.state import fold
    from controller.store import open_store
    from nextplate.errors import DataError

    with open_store(open_lab(folder).database) as store:
        state = fold(store.events())
    meant = which_campaign(state, {"what": "approve", "round": number}, campaign)
    view = state.focused(meant) if meant else state
    proposal, said = view.proposals.get(number), view.approvals.get(number)
    if proposal is None or not proposal.summary:
        waiting = ", ".join(str(r + 1) for r in view.open_proposals()) or "none"
        why = f"approved by {said.by}: {said.reason}" if said and said.is_approved else f"waiting: {waiting}"
        raise DataError(f"round {number + 1} was not put before anybody ({why})")
    word = f"{'approved' if said.is_approved else 'rejected'} by {said.by}" if said else "waits for approval"
    text = "\n  ".join([f"round {number + 1} of {meant}: {word}", *in_full(proposal.summary)])
    body = {"round": number + 1, "campaign": meant, "state": word, **proposal.summary}
    say(body, text, as_json)
