"""Opentrons run record: the commands of a run (GET /runs/{id}/commands, all pages) as JSON.

An analysis looks alike and tells of nothing that happened: it is refused.

Verified: the shape of commands against opentrons 9.0.0's analyses (shared/facts/robots.md section 2). Read in the
vendor's source, not run: the run's envelope (section 3). Accepted are ``{"data": [commands], "meta": {...}}`` with
its totalLength, ``{"commands": [...]}``, and either with the run beside it: ``{"run": {"status": ...}, ...}``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name
from protocols.model import DeckItem, DeckLoad, Transfer, once
from protocols.volumes import WellKey
from protocols.worklists.account import Account, Fate, Happened, account_of
from protocols.worklists.tables import text_of

_ENDED_EARLY = ("failed", "stopped")
_OF_ANALYSIS = ("robotType", "config", "metadata", "commandAnnotations", "runTimeParameters")
"""Fields that the vendor's analyses have beside their commands; a run has one of them, and its status."""
_STATES = ("queued", "running", "succeeded", "failed")
_TRASH = "fixedTrash"
"""Labware of an OT-2 that no command loads."""
_BLIND = ("aspirateInPlace", "dispenseInPlace", "airGapInPlace", "aspirateWhileTracking", "dispenseWhileTracking")
"""Moves of liquid that do not name their well."""


def read_opentrons_record(raw: bytes, load: DeckLoad, *, has_results: bool = True) -> Account:
    """Read the record of a run that did this load.

    Args:
        raw: JSON.
        load: that was run.
        has_results: every command is whole. False: as the robot lists them, most without results; that one succeeded
            then says how much it moved.

    Raises:
        DataError: no record, pages missing, a command told twice, labware of another load, liquid moved otherwise
            than planned; names the command.
    """
    body = _parsed(raw)
    _refuse_analysis(body)
    commands, status = _commands(body), _status(body)
    follower = _Follower(load, has_results)
    ids: set[str] = set()
    for n, command in enumerate(commands, 1):
        try:
            if (name := str(command.get("id", n))) in ids:
                raise DataError(f"id {name!r:.60} is told twice")
            ids.add(name)
            follower.take(command)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, DataError) as error:
            kind = command.get("commandType") if isinstance(command, Mapping) else command
            raise DataError(f"command {n} ({kind!r:.40}): {error}") from error
    return follower.ended(status)


def _parsed(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(text_of(raw), parse_constant=_no_number, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"no JSON, or the file was cut: {error}") from error
    if not isinstance(body, Mapping):
        raise DataError(f"the record is {body!r:.60}, not an object")
    return body


def _refuse_analysis(body: Mapping[str, Any]) -> None:
    """Refuse what the vendor's interpreter says would happen.

    Raises:
        DataError: it is an analysis.
    """
    data = body.get("data")
    for part in (body, data if isinstance(data, Mapping) else {}):
        has_status = isinstance(part.get("status"), str) and part["status"] != "completed"
        if "run" not in body and not has_status and (part.get("status") or any(name in part for name in _OF_ANALYSIS)):
            raise DataError("it is an analysis, of which nothing was run; save the commands of the run, and its status")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _commands(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    commands = body.get("data", body.get("commands"))
    if isinstance(commands, Mapping):
        commands = commands.get("commands")
    if not isinstance(commands, list) or not all(isinstance(c, Mapping) for c in commands):
        raise DataError("the record has no list of commands under data or commands")
    meta = body.get("meta")
    total = meta.get("totalLength") if isinstance(meta, Mapping) else None
    if total is not None and total != len(commands):
        raise DataError(f"{len(commands)} of {total!r:.20} commands are there; ask for all pages, from cursor=0")
    return commands


def _status(body: Mapping[str, Any]) -> str:
    run = body.get("run", body)
    data = run.get("data") if isinstance(run, Mapping) else None
    status = (data if isinstance(data, Mapping) else run).get("status", "") if isinstance(run, Mapping) else ""
    if not isinstance(status, str):
        raise DataError(f"the run's status is {status!r:.40}, not text")
    return status


@dataclass(slots=True)
class _Follower:
    """Follows liquid through the commands, motion by motion of the plan."""

    load: DeckLoad
    has_results: bool = True
    motions: list[list[Transfer]] = field(init=False)
    at: int = 0
    """The next motion to draw."""
    held: list[Transfer] | None = None
    plates: dict[str, DeckItem | None] = field(default_factory=dict)
    """By the engine's labware id; None: nothing of the load."""
    told: dict[int, Happened] = field(default_factory=dict)
    mixing: WellKey | None = None
    tips: dict[str, tuple[WellKey | None, bool]] = field(default_factory=dict)
    """Tip on each pipette that has one (of eight the first), and whether somebody chose it to mend an error."""
    broken: list[Transfer] = field(default_factory=list)
    """Of the motion that failed last."""
    failure: str = ""
    short: str = ""
    """Why less may be in the tip than was to be drawn."""

    def __post_init__(self) -> None:
        self.motions = list(_motions(self.load))

    def take(self, command: Mapping[str, Any]) -> None:
        """Take the next command."""
        kind, params, status = str(command["commandType"]), command["params"], command["status"]
        if status not in _STATES:
            raise DataError(f"status {status!r:.40} is not known")
        if status == "failed":
            self.failure = _reason(command) or f"{kind} failed"
        if kind == "loadLabware" and status == "succeeded":
            self._placed(params, str(command["result"]["labwareId"]))
        elif kind in _BLIND and status != "queued":
            raise DataError("it moves liquid without naming a well, which cannot be followed")
        elif kind == "pickUpTip" and status == "succeeded":
            self.tips[str(params.get("pipetteId", ""))] = self._well(params), command.get("intent") == "fixit"
        elif kind in ("dropTip", "dropTipInPlace", "unsafe/dropTipInPlace") and status == "succeeded":
            self.tips.pop(str(params.get("pipetteId", "")), None)
        elif kind == "aspirate" and status != "queued":
            self._draw(params, status, _said_nl(command), is_fix=command.get("intent") == "fixit")
        elif kind == "dispense" and status != "queued":
            self._give(params, status, _said_nl(command))

    def _placed(self, params: Mapping[str, Any], labware_id: str) -> None:
        location = params["location"]
        slot = location.get("slotName", location.get("addressableAreaName")) if isinstance(location, Mapping) else None
        label, kind = params.get("displayName"), params["loadName"]
        by_barcode = {item.barcode: item for item in self.load.deck}
        item = by_barcode.get(label) if label else None
        if item is None:
            item = next((i for i in self.load.deck if i.slot == slot), None)
            if item is not None and label:
                raise DataError(f"slot {slot} holds {label!r:.60}, planned is {item.barcode}: of another load")
        if item is not None and item.labware != kind:
            raise DataError(f"{item.barcode} is {kind!r:.60}, planned is {item.labware}: of another load")
        self.plates[labware_id] = item

    def _place(self, params: Mapping[str, Any]) -> tuple[WellKey | None, Decimal]:
        return self._well(params), _nl(params["volume"])

    def _well(self, params: Mapping[str, Any]) -> WellKey | None:
        labware_id = str(params["labwareId"])
        if labware_id not in self.plates and labware_id != _TRASH:
            raise DataError(f"labware {labware_id!r:.40} was never loaded in this record")
        item = self.plates.get(labware_id)
        return (item.barcode, well_name(*parse_well(str(params["wellName"])))) if item else None

    def _why_no_tip(self, params: Mapping[str, Any], first: Transfer) -> str:
        """Say why a draw was made without a tip, as far as the record tells; empty: it was made with the right one.

        Raises:
            DataError: it was made with another tip than planned, and nobody chose that to mend an error.
        """
        tip, is_fix = self.tips.get(str(params.get("pipetteId", "")), (None, False))
        if tip is None:
            return "the record tells of no tip that was picked up for it"
        if tip != (first.tip_rack, first.tip_well) and not is_fix:
            raise DataError(f"it draws with tip {tip[1]} of {tip[0]}, planned is {first.tip_well} of {first.tip_rack}")
        return ""

    def _draw(self, params: Mapping[str, Any], status: str, said_nl: Decimal | None, *, is_fix: bool) -> None:
        key, volume_nl = self._place(params)
        if is_fix and key in {(t.source_plate, t.source_well) for t in self.broken}:
            return  # A retry by hand of what failed: that transfer stays unknown.
        motion = self.motions[self.at] if self.at < len(self.motions) else []
        if self.held is None and motion and key == (motion[0].source_plate, motion[0].source_well):
            if abs(volume_nl - motion[0].volume_nl) >= 1:
                raise DataError(f"{volume_nl} nl drawn from {key[1]}, planned are {motion[0].volume_nl}")
            self.at += 1
            self.short = self._why_no_tip(params, motion[0]) or self._why_short("drawn", said_nl, motion[0])
            if status == "succeeded":
                self.held = motion
            else:
                self._doubt(motion)
        elif self.held is None and key in self._filled():
            self.mixing = key
        else:
            raise DataError(f"it draws {volume_nl} nl from {key}, which is not the next transfer planned")

    def _filled(self) -> set[WellKey]:
        done = [t for motion in self.motions[max(0, self.at - 1) : self.at] for t in motion]
        return {(t.destination_plate, t.destination_well) for t in done}

    def _give(self, params: Mapping[str, Any], status: str, said_nl: Decimal | None) -> None:
        key, volume_nl = self._place(params)
        if self.mixing is not None and key == self.mixing:
            self.mixing = None
            return
        if self.held is None:
            if key in {(t.destination_plate, t.destination_well) for t in self.broken}:
                return  # What a failed draw left in the tip: that transfer stays unknown.
            raise DataError(f"it dispenses {volume_nl} nl into {key}, and nothing was drawn")
        motion, self.held = self.held, None
        if key is None and status == "succeeded":
            self._lost(motion, "dispensed into the waste")
        elif key != (motion[0].destination_plate, motion[0].destination_well):
            raise DataError(f"it dispenses into {key}, planned is {motion[0].destination_well}")
        elif status != "succeeded" or abs(volume_nl - motion[0].volume_nl) >= 1:
            self._doubt(motion)
        elif why := self.short or self._why_short("dispensed", said_nl, motion[0]):
            self._doubt(motion, why)
        else:
            for t in motion:
                whole = Decimal(t.volume_nl)
                self.told[t.transfer_id] = Happened(t.transfer_id, Fate.DONE, whole, whole)

    def _why_short(self, what: str, said_nl: Decimal | None, t: Transfer) -> str:
        if said_nl is None:
            return f"the record does not say how much was {what}" if self.has_results else ""
        return f"{said_nl.normalize():f} of {t.volume_nl} nl were {what}" if abs(said_nl - t.volume_nl) >= 1 else ""

    def _doubt(self, motion: list[Transfer], why: str = "") -> None:
        self.broken = motion
        reason = why or self.failure or "it was not ended"
        for t in motion:
            self.told[t.transfer_id] = Happened(t.transfer_id, Fate.UNKNOWN, reason=reason)

    def _lost(self, motion: list[Transfer], reason: str) -> None:
        for t in motion:
            drawn, nothing = Decimal(t.volume_nl), Decimal(0)
            self.told[t.transfer_id] = Happened(t.transfer_id, Fate.FAILED, drawn, nothing, reason)

    def ended(self, status: str) -> Account:
        """Return the account, given the run's status; empty: the record does not say."""
        # Without a status a failed command proves no end: the run may be waiting for somebody to recover it.
        is_early = status in _ENDED_EARLY
        if self.held is not None and is_early:
            self._lost(self.held, "drawn, and the run ended before it was dispensed")
        rest = self.motions[self.at :]
        if status == "succeeded" and (rest or self.held):
            raise DataError("the run succeeded without some of the transfers: it is of another protocol, or was cut")
        if is_early:
            for t in (t for motion in rest for t in motion):
                self.told[t.transfer_id] = Happened(t.transfer_id, Fate.NOT_BEGUN, reason="the run ended before it")
        if status and not is_early and status != "succeeded":
            return account_of(self.load, self.told, is_open=True, message=f"the run has not ended: it is {status:.40}")
        return account_of(self.load, self.told, is_aborted=is_early, message=self.failure if is_early else "")


def _nl(volume_ul: Any) -> Decimal:
    volume_nl = round(Decimal(str(volume_ul)) * 1000, 3)
    if not volume_nl.is_finite() or volume_nl < 0:
        raise DataError(f"volume {volume_ul!r:.40} is none")
    return volume_nl


def _said_nl(command: Mapping[str, Any]) -> Decimal | None:
    """Return what the robot says that it moved, not what it was told to; None: it does not say."""
    result = command.get("result")
    return _nl(result["volume"]) if isinstance(result, Mapping) and "volume" in result else None


def _motions(load: DeckLoad) -> Iterator[list[Transfer]]:
    """Return transfers in groups that are one motion each."""
    group: list[Transfer] = []
    for t in load.transfers:
        if group and not (t.stroke and t.stroke == group[0].stroke):
            yield group
            group = []
        group.append(t)
    if group:
        yield group


def _reason(command: Mapping[str, Any]) -> str:
    error = command.get("error")
    if not isinstance(error, Mapping):
        return ""
    return ": ".join(str(error[name]) for name in ("errorType", "detail") if error.get(name))[:500]
