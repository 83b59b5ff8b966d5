"""The runs of the emulated Opentrons: at most one is current and lives in an engine; the others are records.

Sources: facts/robots.md section 3; the vendor's robot-server (runs/router/*.py, run_controller.py). A run that is
idle or over is silently replaced by the next one, as on the robot (issue #10207). A run that was under way when the
power went has no state afterwards: the robot answers with ``ok: false``, status "stopped" and no commands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.wire.http_server import HttpReply, HttpRequest
from sim.wire.opentrons_analysis import EngineLoop
from sim.wire.opentrons_body import LabLog, Mechanics
from sim.wire.opentrons_engine import EngineRun, RobotModel
from sim.wire.opentrons_http import ApiError, body_data, envelope, invalid, many, one, query_int
from sim.wire.opentrons_protocols import ProtocolShelf, new_id, now_text

_IN_USE = "4001"
_REACTIONS = ("failRun", "waitForRecovery", "ignoreAndContinue", "assumeFalsePositiveAndContinue")
_LISTS = ("errors", "pipettes", "modules", "labware", "liquids", "labwareOffsets", "runTimeParameters", "liquidClasses")


@dataclass(slots=True)
class Run:
    """One run that the robot remembers."""

    id: str
    created_at: str
    protocol_id: str | None
    engine: EngineRun | None
    """None: not current any more."""
    actions: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] | None = None
    """What the engine said when it was let go; None: it never could."""
    commands: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as the robot does."""
        state = self.state if self.engine is None else self.engine.snapshot()
        data: dict[str, Any] = {"ok": state is not None, "id": self.id, "createdAt": self.created_at}
        data |= {"status": "stopped", "current": self.engine is not None, "actions": self.actions}
        data |= {"hasEverEnteredErrorRecovery": False, "outputFileIds": []}
        data |= {key: [] for key in _LISTS}
        if self.protocol_id is not None:
            data["protocolId"] = self.protocol_id
        if state is None:
            detail = "There was no engine state data for this run."
            error = {"id": "RunDataError", "title": "Run Data Error", "detail": detail, "errorCode": "4008"}
            return {**data, "dataError": error}
        return data | {key: value for key, value in state.items() if key not in ("wells", "files", "tasks")}

    def all_commands(self) -> list[dict[str, Any]]:
        """Return its commands, oldest first."""
        return self.commands if self.engine is None else self.engine.commands()


@dataclass(slots=True)
class RunBook:
    """All runs of one robot; the robot's lock is held by whoever calls."""

    model: RobotModel
    loop: EngineLoop
    shelf: ProtocolShelf
    mechanics: Mechanics
    log: LabLog
    max_runs: int = 20
    is_recovery_enabled: bool = True
    runs: dict[str, Run] = field(default_factory=dict)

    @property
    def current(self) -> Run | None:
        """Return the current run; None when there is none."""
        return next((run for run in self.runs.values() if run.engine is not None), None)

    def get(self, run_id: str) -> Run:
        """Return a run; raises ApiError 404."""
        if run_id not in self.runs:
            raise ApiError(404, "RunNotFound", "Run Not Found", f"Run {run_id} was not found.")
        return self.runs[run_id]

    def used_protocols(self) -> set[str]:
        """Return the protocols that runs refer to."""
        return {run.protocol_id for run in self.runs.values() if run.protocol_id is not None}

    def create(self, request: HttpRequest) -> HttpReply:
        """POST /runs."""
        data = body_data(request, is_optional=True)
        protocol_id = data.get("protocolId")
        source = None if protocol_id is None else self.shelf.protocol(str(protocol_id)).source
        values = _mapping(data, "runTimeParameterValues")
        csv = self.shelf.csv_paths(_mapping(data, "runTimeParameterFiles"))
        offsets = data.get("labwareOffsets") or []
        if not isinstance(offsets, list):
            raise invalid("/data/labwareOffsets is no list")
        self._free()
        run = self.begin(source, protocol_id, values, csv, offsets)
        return one(run.to_json(), status=201)

    def begin(
        self,
        source: Any,
        protocol_id: str | None,
        values: Mapping[str, Any],
        csv: Mapping[str, Path],
        offsets: list[Any],
    ) -> Run:
        """Make a run current; raises ApiError where the engine cannot load the protocol."""
        run_id = new_id()
        engine = EngineRun(run_id, self.model, self.loop, self.mechanics, self.log)
        engine.is_recovery_enabled = self.is_recovery_enabled and self.model == "OT-3 Standard"
        try:
            engine.build(source, values, csv, offsets)
        except Exception as error:
            raise ApiError(500, "UnexpectedError", "Unexpected Internal Error", repr(error)[:500]) from error
        for old in list(self.runs)[: max(0, len(self.runs) - self.max_runs + 1)]:
            del self.runs[old]
        self.runs[run_id] = run = Run(run_id, now_text(), protocol_id, engine)
        return run

    def _free(self) -> None:
        """Let the current run go; raises ApiError 409 when it is under way."""
        current = self.current
        if current is None or current.engine is None:
            return
        if not current.engine.is_clearable():
            detail = "Cannot create a new run while another is active."
            raise ApiError(409, "RunAlreadyActive", "Run Already Active", detail, code=_IN_USE)
        self._archive(current)

    @staticmethod
    def _archive(run: Run) -> None:
        if run.engine is not None:
            run.engine.clear()
            run.state, run.commands, run.engine = run.engine.snapshot(), run.engine.commands(), None

    def listing(self, request: HttpRequest) -> HttpReply:
        """GET /runs: oldest first; with pageLength the newest so many."""
        length = query_int(request, "pageLength", least=0)
        shown = (
            list(self.runs.values()) if length is None else list(self.runs.values())[max(0, len(self.runs) - length) :]
        )
        current = self.current
        links = {} if current is None else {"current": {"href": f"/runs/{current.id}"}}
        return many([run.to_json() for run in shown], links=links)

    def act(self, run_id: str, request: HttpRequest) -> HttpReply:
        """POST /runs/{id}/actions."""
        run = self.get(run_id)
        action = body_data(request).get("actionType")
        if run.engine is None:
            raise ApiError(409, "RunStopped", "Run Stopped", f"Run {run_id} is not the current run")
        acts = _acts(run.engine)
        if action not in acts:
            raise invalid(f"/data/actionType: {action!r} is none of {', '.join(acts)}")
        try:
            acts[str(action)]()
        except Exception as error:
            raise ApiError(409, "RunActionNotAllowed", "Run Action Not Allowed", _message(error)) from error
        record = {"id": new_id(), "createdAt": now_text(), "actionType": action}
        run.actions.append(record)
        return one(record, status=201)

    def update(self, run_id: str, request: HttpRequest) -> HttpReply:
        """PATCH /runs/{id}."""
        run, current = self.runs.get(run_id), body_data(request).get("current")
        if run is None or run.engine is None:
            raise ApiError(409, "RunStopped", "Run Stopped", f"Run {run_id} is not the current run")
        if current is False:
            self._close(run)
        return one(run.to_json())

    def _close(self, run: Run) -> None:
        if run.engine is not None and not run.engine.is_clearable():
            detail = "Run is currently active. Allow the run to finish or stop it before attempting to modify it."
            raise ApiError(409, "RunNotIdle", "Run is not idle.", detail, code=_IN_USE)
        self._archive(run)

    def delete(self, run_id: str) -> HttpReply:
        """DELETE /runs/{id}."""
        self._close(self.get(run_id))
        del self.runs[run_id]
        return envelope(200, {})

    def commands(self, run_id: str, request: HttpRequest) -> HttpReply:
        """GET /runs/{id}/commands: without a cursor, the page that ends with the current command."""
        run = self.get(run_id)
        cursor, asked = query_int(request, "cursor", least=-(10**9)), query_int(request, "pageLength", least=0)
        length = 20 if asked is None else asked
        everything = run.all_commands()
        current = None if run.engine is None else run.engine.current_command()
        if cursor is None:
            at = len(everything) - 1 if current is None else current[0]
            cursor = max(at - length + 1, 0)
        start = max(0, min(cursor, len(everything) - 1))
        page = [{key: value for key, value in each.items() if key != "result"} for each in everything]
        links = {} if current is None else {"current": _link(run_id, current, everything)}
        return many(page[start : start + length], cursor=start, total=len(everything), links=links)

    def command(self, run_id: str, command_id: str) -> HttpReply:
        """GET /runs/{id}/commands/{id}: with its result."""
        for each in self.get(run_id).all_commands():
            if each["id"] == command_id:
                return one(each)
        raise ApiError(404, "CommandNotFound", "Run Command Not Found", f"Command {command_id} was not found.")

    def add_command(self, run_id: str, request: HttpRequest) -> HttpReply:
        """POST /runs/{id}/commands."""
        run, data = self.get(run_id), body_data(request)
        does_wait = request.query.get("waitUntilComplete", ["false"])[-1].lower() in ("true", "1")
        timeout_ms = query_int(request, "timeout", least=0)
        if run.engine is None:
            raise ApiError(409, "RunStopped", "Run Stopped", f"Run {run_id} is not the current run")
        try:
            wait_s = (30.0 if timeout_ms is None else timeout_ms / 1000) if does_wait else None
            return one(run.engine.add_command(data, wait_s), status=201)
        except ValueError as error:
            raise invalid(str(error)[:500]) from error
        except Exception as error:
            raise ApiError(409, "CommandNotAllowed", "Setup Command Not Allowed", _message(error)) from error

    def add_offset(self, run_id: str, request: HttpRequest) -> HttpReply:
        """POST /runs/{id}/labware_offsets."""
        run, data = self.get(run_id), body_data(request)
        if run.engine is None:
            raise ApiError(409, "RunStopped", "Run Stopped", f"Run {run_id} is not the current run")
        try:
            return one(run.engine.add_offset(data), status=201)
        except ValueError as error:
            raise invalid(str(error)[:500]) from error

    def policy(self, run_id: str) -> HttpReply:
        """GET /runs/{id}/errorRecoveryPolicy."""
        run = self.get(run_id)
        if run.engine is None:
            raise ApiError(409, "RunStopped", "Run Stopped", f"Run {run_id} is not the current run")
        return one({"policyRules": run.engine.rules})

    def put_policy(self, run_id: str, request: HttpRequest) -> HttpReply:
        """PUT /runs/{id}/errorRecoveryPolicy."""
        run, rules = self.get(run_id), body_data(request).get("policyRules")
        if not isinstance(rules, list) or not all(_is_rule(rule) for rule in rules):
            raise invalid("/data/policyRules: no list of rules")
        if run.engine is None:
            raise ApiError(409, "RunStopped", "Run Stopped", f"Run {run_id} is not the current run")
        run.engine.rules = rules
        return envelope(200, {})

    def power_cycle(self) -> None:
        """Lose the engine; the robot has written down a run that had ended, of another only that it existed."""
        for run in self.runs.values():
            if run.engine is not None and run.engine.is_over():
                self._archive(run)
            elif run.engine is not None:
                run.engine.cut_power()
                run.engine = None


def _acts(engine: EngineRun) -> dict[str, Callable[[], None]]:
    return {
        "play": engine.play,
        "pause": engine.pause,
        "stop": engine.stop,
        "resume-from-recovery": lambda: engine.resume(is_false_positive=False),
        "resume-from-recovery-assuming-false-positive": lambda: engine.resume(is_false_positive=True),
    }


def _link(run_id: str, current: tuple[int, str], commands: list[dict[str, Any]]) -> dict[str, Any]:
    index, command_id = current
    command = commands[index] if index < len(commands) else {}
    meta = {"runId": run_id, "commandId": command_id, "index": index}
    meta |= {key: command[key] for key in ("key", "createdAt") if key in command}
    return {"href": f"/runs/{run_id}/commands/{command_id}", "meta": meta}


def _is_rule(rule: object) -> bool:
    try:
        command = rule["matchCriteria"]["command"]  # type: ignore[index]
        words = (command["commandType"], command["error"]["errorType"])
        return all(isinstance(word, str) for word in words) and rule["ifMatch"] in _REACTIONS  # type: ignore[index]
    except (KeyError, TypeError):
        return False


def _mapping(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(f"/data/{name} is no object")
    return value or {}


def _message(error: Exception) -> str:
    return str(getattr(error, "message", "") or error)
