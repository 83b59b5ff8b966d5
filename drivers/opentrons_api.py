"""The calls of an Opentrons robot's HTTP API that the driver makes (facts/robots.md section 3): one call, one request.

``Opentrons-Version: 3`` is pinned: asking for ``*`` gets whatever is newest, and 5 needs a token on every robot.
Nothing is retried here but by `patiently`, which is for calls that change nothing or change it once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from drivers import opentrons_words as words
from drivers.deadline import Deadline
from drivers.http_body import Body, Part, form_body, json_body
from drivers.http_wire import HttpWire, Refused
from drivers.wire import Garbled, WireError

HEADERS: Mapping[str, str] = {"Opentrons-Version": "3"}
MAX_COMMANDS = 200_000
"""Of one run; a robot that names more is not believed."""
PAGE = 200
NO_TABLES: Mapping[str, str] = MappingProxyType({})
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, seconds."""

    reply_s: float = 10.0
    upload_s: float = 60.0
    poll_s: float = 1.0
    patience_s: float = 30.0
    """How long a robot that does not answer is asked again before anything moves."""
    lost_s: float = 600.0
    """How long a robot that does not answer is asked again during a run; it goes on meanwhile."""
    settle_s: float = 2.0
    """A request that was not acted on after so long, and whose connection is dead, never will be."""
    analysis_s: float = 300.0
    load_s: float = 14_400.0
    """After so long a run is stopped."""
    stop_s: float = 60.0

    @property
    def prepare_s(self) -> float:
        """Return how long it takes at most until the protocol is on the robot."""
        return 3 * (self.patience_s + self.reply_s) + self.upload_s + self.analysis_s

    @property
    def whole_s(self) -> float:
        """Return how long one load takes at most."""
        patience_s = 6 * (self.patience_s + self.reply_s + self.settle_s)
        return self.prepare_s + patience_s + self.load_s + self.stop_s + self.lost_s


class OpentronsApi:
    """The API over a wire."""

    def __init__(self, wire: HttpWire, pace: Pace) -> None:
        self._wire, self.pace = wire, pace

    def close(self) -> None:
        """Let others have the robot."""
        self._wire.close()

    def patiently(self, ask: Callable[[Deadline], T], until: Deadline, patience_s: float | None = None) -> T:
        """Ask again while there is no good answer; for what may be asked any number of times.

        Raises:
            WireError: still none when the patience ends; one answer may take its own time beyond that.
            NeedsOperator: refused.
        """
        end = until.within(self.pace.patience_s if patience_s is None else patience_s)
        while True:
            try:
                return ask(until)
            except WireError:
                if end.is_over:
                    raise
                end.pause(min(self.pace.poll_s, 1.0))

    def health(self, until: Deadline) -> words.Health:
        """Ask GET /health."""
        return words.health(self._get("/health", until))

    def instruments(self, until: Deadline) -> tuple[words.Mounted, ...]:
        """Ask which pipettes are mounted."""
        return words.instruments(self._get("/instruments", until))

    def offsets_measured(self, until: Deadline) -> frozenset[tuple[str, str]] | None:
        """Ask an OT-2 what is calibrated; None: its software has no such question."""
        try:
            return words.offsets_measured(self._get("/calibration/pipette_offset", until))
        except Refused as error:
            if error.answer.status == 404:
                return None
            raise

    def door(self, until: Deadline) -> tuple[bool, bool]:
        """Ask whether the door is open, and has to be closed."""
        return words.door(self._get("/robot/door/status", until))

    def emergency_stop(self, until: Deadline) -> str:
        """Ask a Flex for its emergency stop."""
        return words.emergency_stop(self._get("/robot/control/estopStatus", until))

    def runs(self, until: Deadline) -> words.RunList:
        """Ask for all runs."""
        return words.run_list(self._get("/runs", until))

    def run(self, run_id: str, until: Deadline) -> words.Run:
        """Ask for one run."""
        return words.run(self._get(f"/runs/{run_id}", until), run_id)

    def upload_table(self, name: str, content: bytes, until: Deadline) -> str:
        """Put a CSV file on the robot and return its id; the same bytes again are the same file."""
        body = form_body([Part("file", content, name, "text/csv")])
        answer = self._wire.ask("POST", "/dataFiles", until.within(self.pace.upload_s), body)
        return words.data_file(answer.json())

    def upload(
        self, name: str, content: bytes, key: str, until: Deadline, tables: Mapping[str, str] = NO_TABLES
    ) -> words.Stored:
        """Put a protocol on the robot; the same bytes again are the same protocol.

        ``tables`` are the ids of its CSV parameters on the robot, by name, for the robot's own analysis.
        """
        parts = [Part("files", content, name, "text/x-python"), Part("key", key.encode("ascii"))]
        if tables:
            parts.append(Part("runTimeParameterFiles", json_body(dict(tables)).content))
        answer = self._wire.ask("POST", "/protocols", until.within(self.pace.upload_s), form_body(parts))
        return words.stored(answer.json())

    def stored(self, protocol_id: str, until: Deadline) -> words.Stored:
        """Ask for a protocol."""
        found = words.stored(self._get(f"/protocols/{protocol_id}", until))
        if found.id != protocol_id:
            raise Garbled(f"asked for protocol {protocol_id}, and got {found.id}")
        return found

    def analysis(self, protocol_id: str, analysis_id: str, until: Deadline) -> words.Analysis | None:
        """Ask for an analysis; None while it is under way."""
        return words.analysis(self._get(f"/protocols/{protocol_id}/analyses/{analysis_id}", until), analysis_id)

    def create(self, wish: words.RunWish, until: Deadline) -> words.Run:
        """Make a run. Once: two requests make two runs."""
        data: dict[str, Any] = {"protocolId": wish.protocol_id, "labwareOffsets": wish.offsets}
        if wish.tables:
            data["runTimeParameterFiles"] = wish.tables
        made = words.run(self._send("POST", "/runs", {"data": data}, until))
        if made.protocol_id != wish.protocol_id:
            raise Garbled(f"the run made is of protocol {made.protocol_id!a}, not {wish.protocol_id}")
        return made

    def act(self, run_id: str, action: str, until: Deadline) -> None:
        """Play or stop a run. Once: play again would end a pause that a person made."""
        self._send("POST", f"/runs/{run_id}/actions", {"data": {"actionType": action}}, until)

    def set_policy(self, run_id: str, rules: list[Any], until: Deadline) -> bool:
        """Say what a run does about errors; False: the robot's software has no policies."""
        try:
            self._send("PUT", f"/runs/{run_id}/errorRecoveryPolicy", {"data": {"policyRules": rules}}, until)
        except Refused as error:
            if error.answer.status in (404, 405) and not words.refusal_ids(error.answer.body) & {"RunNotFound"}:
                return False
            raise
        return True

    def close_run(self, run_id: str, until: Deadline) -> None:
        """Give the robot back."""
        self._send("PATCH", f"/runs/{run_id}", {"data": {"current": False}}, until)

    def commands(self, run_id: str, until: Deadline) -> tuple[Mapping[str, Any], ...]:
        """Ask for all commands of a run, page by page from the first on.

        Raises:
            Garbled: the pages do not fit together.
        """
        found: list[Mapping[str, Any]] = []
        while True:
            page = self._page(run_id, len(found), until)
            found += page.commands
            if page.total > MAX_COMMANDS or (not page.commands and len(found) < page.total):
                raise Garbled(f"run {run_id} has {page.total} commands, and gives {len(found)}")
            if len(found) >= page.total:
                return tuple(self._with_result(run_id, command, until) for command in found)

    def _page(self, run_id: str, cursor: int, until: Deadline) -> words.Page:
        target = f"/runs/{run_id}/commands?cursor={cursor}&pageLength={PAGE}"
        return self.patiently(lambda end: words.page(self._get(target, end), cursor), until)

    def _with_result(self, run_id: str, command: Mapping[str, Any], until: Deadline) -> Mapping[str, Any]:
        """Return a command with its result where that is needed; lists leave results out."""
        if not (command_id := words.without_result(command)):
            return command
        target = f"/runs/{run_id}/commands/{command_id}"
        return self.patiently(lambda end: words.command(self._get(target, end), command_id), until)

    def _get(self, target: str, until: Deadline) -> Any:
        return self._ask("GET", target, None, until)

    def _send(self, method: str, target: str, value: Any, until: Deadline) -> Any:
        return self._ask(method, target, json_body(value), until)

    def _ask(self, method: str, target: str, body: Body | None, until: Deadline) -> Any:
        return self._wire.ask_json(method, target, until.within(self.pace.reply_s), body)
