"""What a robot's own files say happened, transfer by transfer, and how the ledger takes it.

A transfer that a file does not tell of is unknown, never done. Volumes that are no whole nanolitres leave it unknown
too, and where a file says only what arrived, what was drawn stays open up to the plan: the interval in the ledger then
holds whatever is true.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from protocols.model import DeckLoad, Transfer
from protocols.outcome import Outcome
from protocols.sentences import named, well_on


class Fate(StrEnum):
    """What became of a transfer."""

    DONE = "done"
    """All of the volume arrived."""
    PARTIAL = "partial"
    """Less than planned arrived, and it is known how much."""
    FAILED = "failed"
    """Nothing arrived."""
    UNKNOWN = "unknown"
    """Nobody can tell."""
    NOT_BEGUN = "not-begun"
    """The run ended before it."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One transfer as it really was."""

    transfer_id: int
    fate: Fate
    drawn_nl: Decimal | None = None
    """None: not known."""
    dispensed_nl: Decimal | None = None
    """None: not known."""
    reason: str = ""
    """The device's own words; empty where it was done."""


@dataclass(frozen=True, slots=True)
class Account:
    """Every transfer of a load, in order of the plan."""

    load: DeckLoad
    happened: tuple[Happened, ...]
    is_aborted: bool = False
    """The device says that the run ended before its end."""
    message: str = ""
    """Why, in the device's words."""
    is_open: bool = False
    """The device says that the run has not ended yet."""

    @property
    def is_as_planned(self) -> bool:
        """Tell whether every transfer was done, and the run is over."""
        return not self.is_aborted and not self.is_open and all(h.fate is Fate.DONE for h in self.happened)

    def counts(self) -> dict[str, int]:
        """Count transfers by fate."""
        return {fate.value: sum(h.fate is fate for h in self.happened) for fate in Fate}


def account_of(
    load: DeckLoad,
    told: Mapping[int, Happened],
    *,
    is_aborted: bool = False,
    message: str = "",
    is_open: bool = False,
) -> Account:
    """Return an account of every transfer; one that is not told is unknown.

    Args:
        load: that was run.
        told: by transfer.
        is_aborted: whether the device says that the run ended early.
        message: why.
        is_open: whether the device says that the run has not ended.
    """
    missing = "the file does not tell of it"
    rows = (told.get(t.transfer_id) or Happened(t.transfer_id, Fate.UNKNOWN, reason=missing) for t in load.transfers)
    return Account(load, tuple(rows), is_aborted, message, is_open)


def judged(t: Transfer, actual_nl: Decimal | None, *, is_ok: bool, reason: str, is_both: bool = True) -> Happened:
    """Return what became of a transfer of which a device tells one volume.

    Args:
        t: the transfer planned.
        actual_nl: what moved; None: the device does not say.
        is_ok: whether the device's status says that it went well.
        reason: the device's words.
        is_both: whether it was drawn and dispensed alike, as by sound; False: it is what arrived, and a pipette may
            have drawn more.
    """
    number = t.transfer_id
    if actual_nl is None:
        # A device that confirms without a volume confirms the plan; one that reports a fault leaves the volume open.
        if is_ok:
            return Happened(number, Fate.DONE, Decimal(t.volume_nl), Decimal(t.volume_nl))
        return Happened(number, Fate.UNKNOWN, reason=reason or "failed; the file does not say how much moved")
    if actual_nl == t.volume_nl:
        if is_ok:
            return Happened(number, Fate.DONE, actual_nl, actual_nl)
        return Happened(number, Fate.UNKNOWN, reason=reason or "the file says failed, and that all of it moved")
    drawn_nl = actual_nl if is_both else None
    if actual_nl == 0:
        return Happened(number, Fate.FAILED, drawn_nl, actual_nl, reason or ("nothing moved" if is_ok else "failed"))
    return Happened(number, Fate.PARTIAL, drawn_nl, actual_nl, reason or "less than planned moved")


def as_result(account: Account) -> tuple[str, dict[str, Any], str]:
    """Return status (done, failed, unknown), result and message as drivers.ports.RunLoad promises them.

    Done: every transfer is told, whatever moved. Failed: the run ended early, and at most the transfer after the last
    one told was begun. Unknown: anything else.
    """
    dispensed = [
        [h.transfer_id, int(h.dispensed_nl)]
        for h in account.happened
        if _is_told(h, account) and h.dispensed_nl is not None
    ]
    drawn = [
        [h.transfer_id, int(h.drawn_nl)]
        for h in account.happened
        if _is_told(h, account) and h.drawn_nl is not None and h.drawn_nl == int(h.drawn_nl)
    ]
    result = {"transfers": dispensed, "drawn": drawn}
    n_told = len(dispensed)
    if n_told == len(account.happened) and not account.is_aborted and not account.is_open:
        return "done", result, ""
    words = "; ".join([*([account.message] if account.message else []), *differences(account, 3)])
    if account.is_aborted and _is_certain(account):
        return "failed", result, words or "the run ended early"
    return "unknown", result, words


def _is_told(h: Happened, account: Account) -> bool:
    """Tell whether it is known what arrived, to a whole nanolitre; what was drawn may be open.

    What a run that ended early did not begin is not told.
    """
    untold = (Fate.UNKNOWN, Fate.NOT_BEGUN) if account.is_aborted else (Fate.UNKNOWN,)
    return h.fate not in untold and h.dispensed_nl is not None and h.dispensed_nl == int(h.dispensed_nl)


def _is_certain(account: Account) -> bool:
    """Tell whether only what was begun can be uncertain: all that comes later is said not to have begun."""
    last = max((n for n, h in enumerate(account.happened) if _is_told(h, account)), default=-1)
    later = account.happened[last + 1 :]
    strokes = {t.transfer_id: t.stroke for t in account.load.transfers}
    first = strokes.get(later[0].transfer_id, 0) if later else 0
    n_begun = sum(1 for h in later if first and strokes.get(h.transfer_id) == first) or 1
    return all(h.fate is Fate.NOT_BEGUN for h in later[n_begun:])


def as_outcome(account: Account) -> Outcome:
    """Return what the ledger commits (protocols.ledger.Ledger.commit)."""
    status, result, _ = as_result(account)
    return Outcome.of(status, result, account.load)


def differences(account: Account, n_shown: int | None = None) -> list[str]:
    """Say in words what was not as planned, a line a transfer; the rest counted where only some are shown."""
    planned = {t.transfer_id: t for t in account.load.transfers}
    lines = [_said(planned[h.transfer_id], h) for h in account.happened if h.fate is not Fate.DONE]
    if n_shown is None or len(lines) <= n_shown:
        return lines
    return [*lines[:n_shown], f"and {len(lines) - n_shown} more"]


def _said(t: Transfer, h: Happened) -> str:
    moved = f", {h.dispensed_nl.normalize():f} of {t.volume_nl} nl arrived" if h.dispensed_nl is not None else ""
    source, target = well_on(t.source_plate, t.source_well), well_on(t.destination_plate, t.destination_well)
    reason = f": {named(h.reason)}" if h.reason else ""
    return f"transfer {t.transfer_id} from {source} to {target}: {h.fate.value}{moved}{reason}"


def as_rows(account: Account) -> list[dict[str, Any]]:
    """Return JSON values, one object a transfer."""
    return [
        {
            "transfer": h.transfer_id,
            "fate": h.fate.value,
            "drawn_nl": None if h.drawn_nl is None else float(h.drawn_nl),
            "dispensed_nl": None if h.dispensed_nl is None else float(h.dispensed_nl),
            "reason": h.reason,
        }
        for h in account.happened
    ]
