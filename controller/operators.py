"""Operators' decisions: checked against the state twice, when given and when taken into the journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller.faults import moved_by
from controller.recipe import deployed_round, has_passed
from controller.state import LabState, fold
from nextplate.errors import DataError

JSON = Mapping[str, Any]


def why_not(state: LabState, decision: JSON) -> str | None:
    """Say why a decision cannot be taken now; None when it can."""
    if decision["what"] == "carried":
        return _carried(state, decision)
    if state.campaign is None:
        known = ", ".join(state.campaigns)
        return (
            f"no campaign is called {state.focus!r} (there are: {known})"
            if known
            else "no campaign has been started; start one with: nextplate run"
        )
    owed = [f.fault for f in state.open_faults() if f.key not in state.outcomes]
    is_owed = decision["what"] == "answer" and decision["fault"] in owed
    if (state.is_finished or state.is_aborted) and not is_owed:
        how = "finished" if state.is_finished else "aborted"
        left = "decide" if decision["what"] != "rollback" else "choose by a belief, and so nothing to roll back"
        return f"campaign {state.campaign.name!r} is {how}; nothing is left to {left}"
    return _CHECKS[decision["what"]](state, decision)


POLICY = "policy"
"""Who decides by lab.toml: nobody who asks from outside can."""


def _round(state: LabState, decision: JSON) -> str | None:
    number, waiting = decision["round"], state.open_proposals()
    if number not in waiting and number in state.approvals:
        return _said_already(state, number)
    if number not in waiting:
        rounds = ", ".join(str(r + 1) for r in waiting) or "none"
        return f"round {number + 1} does not wait for approval (waiting: {rounds})"
    digest, given = state.proposals[number].digest, decision.get("digest", "")
    if given != digest:
        return (
            f"what waits as round {number + 1} is {digest[:16]}, not {given[:16] or 'what was not named'}; "
            f"look at it: nextplate approve {number + 1} --show"
        )
    return None


def _said_already(state: LabState, number: int) -> str:
    said = state.approvals[number]
    word = "approved" if said.is_approved else "rejected"
    begun = state.intents.get(state.latest_key("deck-0", number))
    under_way = f" and is under way since {begun.time:%Y-%m-%d %H:%M} UTC" if begun else ""
    return f"round {number + 1} was {word} already, by {said.by}{under_way}"


def _answer(state: LabState, decision: JSON) -> str | None:
    fault = state.faults.get(decision["fault"])
    if fault is None:
        names = ", ".join(f.fault for f in state.open_faults()) or "none"
        return f"no fault is called {decision['fault']!r} (open: {names})"
    if fault.answer is not None:
        return f"fault {fault.fault} was answered {fault.answer!r} already, by {fault.by}"
    if decision["choice"] not in fault.choices:
        return f"{decision['choice']!r} is no answer to fault {fault.fault}; choose one of: {', '.join(fault.choices)}"
    return _detail(decision, moved_by(state.intents[fault.key]))


def _detail(decision: JSON, moving: Sequence[str]) -> str | None:
    """Say what is wrong with what stands beside an answer."""
    choice, arrived = decision["choice"], decision.get("arrived", ())
    if "wait_s" in decision and choice != "wait":
        return f"--minutes says how long to wait; leave it out with {choice!r}"
    if choice != "half-done":
        return f"--arrived is told with half-done; leave it out with {choice!r}" if arrived else None
    if strangers := [plate for plate in arrived if plate not in moving]:
        return f"plate {strangers[0]!r} was not to be moved (only: {', '.join(moving)})"
    if not arrived or len(set(arrived)) == len(set(moving)):
        which = "say which plates arrived: --arrived PLATE, once for each; none of them is not-done, all are done"
        return f"half-done: {which} (they are: {', '.join(moving)})"
    return None


def _carried(state: LabState, decision: JSON) -> str | None:
    plate, place = decision["plate"], decision["place"]
    if plate not in state.places and plate not in state.strangers.values():
        return f"no plate {plate!r} was ever moved here (there are: {', '.join(sorted(state.places)) or 'none'})"
    moving = [
        i.key for i in state.pending() if any(m[0] == plate for m in i.action.get("command", {}).get("moves", ()))
    ]
    if moving:
        return f"plate {plate} may be on its way by {moving[0]}; answer that first"
    standing = [b for b, p in state.places.items() if p == place and b != plate and not place.startswith("stack/")]
    return f"plate {standing[0]} stands at {place}; carry that one away first" if standing else None


def _pause(state: LabState, _decision: JSON) -> str | None:
    return "the campaign is paused already" if state.is_paused else None


def _resume(state: LabState, _decision: JSON) -> str | None:
    return None if state.is_paused else "the campaign is not paused"


def _rollback(state: LabState, decision: JSON) -> str | None:
    """A belief that never passed its gates, or is in use anyway, is nothing to go back to."""
    number = decision["round"]
    outcome = state.outcome("calibrate", number)
    if outcome is None or not outcome.is_done:
        return f"round {number + 1} has no calibrated belief; see: nextplate model list"
    if not has_passed(state, number):
        return f"the belief of round {number + 1} did not pass its gates; see: nextplate model list"
    if deployed_round(state, state.campaign.rounds if state.campaign else 0) == number:
        return f"the belief of round {number + 1} is the deployed one already"
    return None


def _abort(_state: LabState, _decision: JSON) -> str | None:
    return None


_CHECKS = {
    "approve": _round,
    "reject": _round,
    "answer": _answer,
    "pause": _pause,
    "resume": _resume,
    "abort": _abort,
    "rollback": _rollback,
}


_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""A decision means the same at any time."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A decision as if it were in the journal already."""

    payload: JSON
    campaign: str | None
    kind: str = "decision"
    time: datetime = _SOME_TIME


def sort_out(state: LabState, waiting: Sequence[JSON]) -> tuple[tuple[str, str | None, JSON], ...]:
    """Tell of each waiting decision which kind of event it becomes, of which campaign, and what is kept of it.

    The kind is decision, or decision.refused with a reason. Each is judged after those before it: of two answers to
    one fault the first counts.
    """
    sorted_out: list[tuple[str, str | None, JSON]] = []
    for posted in waiting:
        name, decision = addressed(state, posted)
        if reason := _not_yours(decision) or why_not(state.focused(name) if name else state, decision):
            sorted_out.append(("decision.refused", name, {**decision, "why": reason}))
        else:
            sorted_out.append(("decision", name, decision))
            state = fold([_Taken(decision, name)], state)
    return tuple(sorted_out)


def _not_yours(decision: JSON) -> str | None:
    """Refuse who signs as the policy: what lab.toml lets go is decided in the loop."""
    return f"nobody but the loop decides as {POLICY!r}; sign with a name" if decision["by"] == POLICY else None


def addressed(state: LabState, posted: JSON) -> tuple[str | None, JSON]:
    """Tell which campaign a decision is about, and the decision without its address.

    An answer is about the fault's campaign; other decisions name theirs, or mean the one that is looked at.
    """
    decision = {name: value for name, value in posted.items() if name != "campaign"}
    owner = state.owner(decision["fault"]) if decision["what"] == "answer" else None
    return owner or posted.get("campaign") or state.focus, decision


def which_campaign(state: LabState, decision: JSON, named: str | None) -> str | None:
    """Find the campaign that an operator means; None: an answer, which says it itself, or no campaign was started.

    Raises:
        DataError: several are running, and it is not clear which is meant.
    """
    if named is not None or decision["what"] in ("answer", "carried"):
        return named
    running = [c for c in state.campaigns.values() if not c.is_over]
    if len(running) > 1 and decision["what"] in ("approve", "reject"):
        waiting = [c for c in running if decision["round"] in state.focused(c.name).open_proposals()]
        running = waiting if len(waiting) == 1 else running
    if len(running) > 1:
        names = ", ".join(c.name for c in running)
        raise DataError(f"several campaigns are running ({names}); say which one you mean: --campaign NAME")
    return running[0].name if running else state.focus


def require(state: LabState, waiting: Sequence[JSON], decision: JSON) -> None:
    """Refuse a decision that could not be taken after those that wait already.

    Raises:
        DataError: with the reason.
    """
    kind, _, told = sort_out(state, [*waiting, decision])[-1]
    if kind != "decision":
        raise DataError(told["why"])
