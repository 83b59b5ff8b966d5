"""What an Opentrons robot answers (facts/robots.md section 3), as values: pure, and believing nothing.

Each function takes the JSON of one answer and returns what the driver needs of it. Whatever is not as the API has it is
`drivers.wire.Garbled`; fields that newer software added are passed over, and statuses that are not known are no end.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from drivers.http_body import as_json
from drivers.wire import Garbled

ENDED = frozenset({"succeeded", "failed", "stopped"})
"""The statuses of a run that never change again."""
IDLE = "idle"
_UNDER_WAY = frozenset(
    {
        "running", "paused", "blocked-by-open-door", "stop-requested", "finishing", "awaiting-recovery",
        "awaiting-recovery-paused", "awaiting-recovery-blocked-by-open-door", "succeeded", "failed",
    }
)  # fmt: skip
"""Those that no run has before it is played. A run that is closed unplayed is stopped."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MAX_WORDS = 300


@dataclass(frozen=True, slots=True)
class Health:
    """What a robot says of itself."""

    name: str
    model: str
    """OT-2 Standard, OT-3 Standard (a Flex); empty: its software does not say."""
    software: str
    system: str
    serial: str
    api_levels: tuple[tuple[int, int], tuple[int, int]] | None
    """Least and most apiLevel of a protocol; None: it does not say."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A pipette on a mount."""

    mount: str
    name: str
    """As protocols.labware.Pipette.engine_name."""
    serial: str
    is_ok: bool
    """False: its firmware has to be updated first."""
    calibrated_at: str
    """Empty: it is not calibrated, or (OT-2) told elsewhere."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a protocol."""

    id: str
    protocol_id: str
    """Empty: of none."""
    status: str
    is_current: bool
    n_plays: int
    """Play actions that the robot has on record."""
    is_ok: bool
    """False: the robot has lost what the run did."""
    trouble: str
    """Its errors, for people; empty where there are none."""

    @property
    def is_ended(self) -> bool:
        """Say whether the status is final."""
        return self.status in ENDED

    @property
    def was_played(self) -> bool:
        """Say whether anything may have moved."""
        return self.n_plays > 0 or self.status in _UNDER_WAY


@dataclass(frozen=True, slots=True)
class RunList:
    """All runs that a robot remembers."""

    runs: tuple[Run, ...]
    current: str
    """Id of the one that has the robot; empty: none."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A protocol on the robot."""

    id: str
    robot_type: str
    analysis_id: str
    """Of the newest analysis; empty: there is none yet."""
    is_analysed: bool


@dataclass(frozen=True, slots=True)
class RunWish:
    """What a run is made of."""

    protocol_id: str
    offsets: list[Any]
    """As POST /runs takes them."""
    tables: dict[str, str]
    """Ids of data files on the robot, by CSV parameter."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the robot made of a protocol."""

    result: str
    """ok, not-ok, parameter-value-required, ..."""
    errors: str
    """For people."""
    commands: tuple[Mapping[str, Any], ...] = field(repr=False)
    labware: tuple[Mapping[str, Any], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a run's commands."""

    commands: tuple[Mapping[str, Any], ...] = field(repr=False)
    total: int
    """Of the whole run."""


def health(body: Any) -> Health:
    """Read GET /health."""
    said = _object(body, "health")
    levels = [_level(said.get(f"{end}_protocol_api_version")) for end in ("minimum", "maximum")]
    names = ("name", "robot_model", "api_version", "system_version", "robot_serial")
    name, model, software, system, serial = (_words(said.get(n)) for n in names)
    if not software:
        raise Garbled(f"health has no api_version: {said!a:.120}")
    least, most = levels
    return Health(name, model, software, system, serial, (least, most) if least and most else None)


def instruments(body: Any) -> tuple[Mounted, ...]:
    """Read GET /instruments; what is no pipette (the gripper) is left out."""
    return tuple(
        _mounted(item)
        for item in (_object(i, "an instrument") for i in _listed(body))
        if item.get("instrumentType", "pipette") == "pipette"
    )


def _mounted(item: Mapping[str, Any]) -> Mounted:
    mount = _text(item, "mount")
    name = item.get("instrumentName")
    if mount not in ("left", "right"):
        raise Garbled(f"an instrument is on mount {mount!a:.40}")
    is_ok = item.get("ok")
    if not isinstance(is_ok, bool):
        raise Garbled(f"the instrument on the {mount} mount is ok: {is_ok!a:.40}")
    data = item.get("data")
    offset = data.get("calibratedOffset") if isinstance(data, Mapping) else None
    at = offset.get("last_modified") if isinstance(offset, Mapping) else None
    return Mounted(mount, _words(name), _words(item.get("serialNumber")), is_ok, _words(at))


def offsets_measured(body: Any) -> frozenset[tuple[str, str]]:
    """Read GET /calibration/pipette_offset (OT-2): serial number and mount of what is calibrated, and not badly."""
    found = set()
    for item in (_object(i, "a calibration") for i in _listed(body)):
        status = item.get("status")
        if not (isinstance(status, Mapping) and status.get("markedBad")):
            found.add((_text(item, "pipette"), _text(item, "mount")))
    return frozenset(found)


def door(body: Any) -> tuple[bool, bool]:
    """Read GET /robot/door/status: whether it is open, and whether a run needs it closed."""
    said = _data(body)
    status, needed = _text(said, "status"), said.get("doorRequiredClosedForProtocol", True)
    if status not in ("open", "closed") or not isinstance(needed, bool):
        raise Garbled(f"the door is {status!a:.40}, needed closed: {needed!a:.40}")
    return status == "open", needed


def emergency_stop(body: Any) -> str:
    """Read GET /robot/control/estopStatus: disengaged, or something else."""
    return _text(_data(body), "status")


def run_list(body: Any) -> RunList:
    """Read GET /runs, whose two ways to name the current run have to agree."""
    runs = tuple(_run(_object(item, "a run")) for item in _listed(body))
    _require_whole(body, len(runs))
    links = _object(body.get("links") or {}, "links")
    link = links.get("current")
    href = _text(_object(link, "the link to the current run"), "href") if link is not None else ""
    current = _identifier(href.removeprefix("/runs/")) if href else ""
    marked = {run.id for run in runs if run.is_current}
    if marked != ({current} if current else set()) or len({run.id for run in runs}) < len(runs):
        raise Garbled(f"current is run {current!a}, and by their own word {sorted(marked)!a:.120}")
    return RunList(runs, current)


def run(body: Any, run_id: str = "") -> Run:
    """Read GET /runs/{id} or POST /runs; it has to be of that run where one is named."""
    found = _run(_data(body))
    if run_id and found.id != run_id:
        raise Garbled(f"asked for run {run_id}, and got {found.id}")
    return found


def _run(said: Mapping[str, Any]) -> Run:
    current, is_ok = said.get("current"), said.get("ok", True)
    # a run whose record is lost may have no list of actions; from any other a missing list would read as "not played"
    actions, errors = said.get("actions", None if is_ok is True else []), said.get("errors", [])
    protocol = said.get("protocolId")
    if not isinstance(current, bool) or not isinstance(is_ok, bool):
        raise Garbled(f"a run is current: {current!a:.40}, ok: {is_ok!a:.40}")
    if not isinstance(actions, list) or not isinstance(errors, list):
        raise Garbled(f"a run has actions {actions!a:.60}, errors {errors!a:.60}")
    kinds = [_text(_object(action, "an action"), "actionType") for action in actions]
    lost = said.get("dataError")
    return Run(
        _identifier(said.get("id")),
        "" if protocol is None else _identifier(protocol),
        _text(said, "status"),
        current,
        kinds.count("play"),
        is_ok and lost is None,
        "; ".join(_error(error) for error in errors[:5]) or (_error(lost) if lost is not None else ""),
    )


def stored(body: Any) -> Stored:
    """Read GET /protocols/{id} or POST /protocols."""
    said = _data(body)
    analyses = said.get("analysisSummaries", [])
    if not isinstance(analyses, list):
        raise Garbled(f"the analyses of a protocol are {analyses!a:.60}")
    newest = _object(analyses[-1], "an analysis") if analyses else {}
    status = _text(newest, "status") if newest else ""
    analysis_id = _identifier(newest.get("id")) if newest else ""
    return Stored(_identifier(said.get("id")), _words(said.get("robotType")), analysis_id, status == "completed")


def data_file(body: Any) -> str:
    """Read POST /dataFiles: the file's id."""
    return _identifier(_data(body).get("id"))


def analysis(body: Any, analysis_id: str) -> Analysis | None:
    """Read GET /protocols/{id}/analyses/{aid}; None while it is under way."""
    said = _data(body)
    if said.get("id") != analysis_id:
        raise Garbled(f"asked for analysis {analysis_id}, and got {said.get('id')!a:.60}")
    if _text(said, "status") != "completed":
        return None
    commands, labware, errors = (said.get(name, []) for name in ("commands", "labware", "errors"))
    for name, value in (("commands", commands), ("labware", labware), ("errors", errors)):
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            raise Garbled(f"an analysis has {name} {value!a:.60}")
    words = "; ".join(_error(error) for error in errors[:5])
    return Analysis(_text(said, "result"), words, tuple(commands), tuple(labware))


def page(body: Any, cursor: int) -> Page:
    """Read GET /runs/{id}/commands; it has to begin where it was asked to."""
    commands = _listed(body)
    meta = _object(body.get("meta"), "meta")
    at, total = meta.get("cursor"), meta.get("totalLength")
    if not _is_count(at) or not _is_count(total) or at != min(cursor, total):
        raise Garbled(f"commands from {cursor} on are from {at!a:.20} on, of {total!a:.20}")
    if len(commands) > total - at or not all(isinstance(command, Mapping) for command in commands):
        raise Garbled(f"{len(commands)} commands from {at} on, of {total}")
    return Page(tuple(commands), total)


def command(body: Any, command_id: str) -> Mapping[str, Any]:
    """Read GET /runs/{id}/commands/{cid}: a command with its result."""
    found = _data(body)
    if found.get("id") != command_id:
        raise Garbled(f"asked for command {command_id}, and got {found.get('id')!a:.60}")
    return found


def without_result(command: Mapping[str, Any]) -> str:
    """Return the id of a command whose result names labware and is not in the list; empty for all others."""
    is_needed = command.get("commandType") == "loadLabware" and command.get("status") == "succeeded"
    return _identifier(command.get("id")) if is_needed and "result" not in command else ""


def refusal(body: bytes) -> str:
    """Say in words what an answer of 4xx or 5xx holds: its errors in either envelope, or its beginning."""
    try:
        said = as_json(body, "")
    except Garbled:
        return ascii(body[:120].decode("ascii", "replace"))[1:-1]
    errors = said.get("errors") if isinstance(said, Mapping) else None
    if isinstance(errors, list) and errors:
        return "; ".join(_error(error) for error in errors[:5])
    return _words(said.get("message")) if isinstance(said, Mapping) else ""


def refusal_ids(body: bytes) -> frozenset[str]:
    """Return the names of the errors in an answer: RunNotIdle, ProtocolNotFound, ..."""
    try:
        said = as_json(body, "")
    except Garbled:
        return frozenset()
    errors = said.get("errors") if isinstance(said, Mapping) else None
    if not isinstance(errors, list):
        return frozenset()
    return frozenset(str(error.get("id"))[:80] for error in errors if isinstance(error, Mapping))


def _error(error: Any) -> str:
    """Say an error in words, of the API or of a run."""
    if not isinstance(error, Mapping):
        return ascii(error)[:_MAX_WORDS]
    kind = next((error[name] for name in ("errorType", "id", "title") if isinstance(error.get(name), str)), "error")
    detail = error.get("detail")
    return _words(f"{kind}: {detail}" if detail else kind)


def _data(body: Any) -> Mapping[str, Any]:
    return _object(_object(body, "the answer").get("data"), "data")


def _listed(body: Any) -> list[Any]:
    items = _object(body, "the answer").get("data")
    if not isinstance(items, list):
        raise Garbled(f"data is {items!a:.60}, not a list")
    return items


def _require_whole(body: Mapping[str, Any], n: int) -> None:
    total = _object(body.get("meta") or {"totalLength": n}, "meta").get("totalLength", n)
    if total != n or isinstance(total, bool):
        raise Garbled(f"{n} of {total!a:.20} runs are listed")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Garbled(f"{what} is {value!a:.60}, not an object")
    return value


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise Garbled(f"{name} is {value!a:.60}, not text")
    return value


def _words(value: Any) -> str:
    """Return text for people: one line, no longer than needed; empty where there is none."""
    return " ".join(value.split())[:_MAX_WORDS] if isinstance(value, str) else ""


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise Garbled(f"{value!a:.60} is no id")
    return value


def _level(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(_is_count(n) for n in value):
        raise Garbled(f"{value!a:.60} is no version of the protocol API")
    return value[0], value[1]


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
