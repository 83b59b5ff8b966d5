"""An emulated Opentrons Flex or OT-2: answers HTTP as the robot does and runs protocols in the vendor's real engine.

Written from facts/robots.md sections 2, 3 and 9 and the vendor's published robot-server source, not from our driver.
To try things out: ``python -m sim.wire.opentrons --port 31950 --model flex``.
"""

import argparse
import contextlib
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sim.wire.http_server import HttpReply, HttpRequest, HttpServer
from sim.wire.opentrons_analysis import EngineLoop
from sim.wire.opentrons_body import LabLog, Mechanics
from sim.wire.opentrons_engine import RobotModel
from sim.wire.opentrons_http import ApiError, LegacyError, Versions, body_data, envelope, many, negotiated, one
from sim.wire.opentrons_protocols import ProtocolShelf
from sim.wire.opentrons_runs import Run, RunBook

Route = Callable[..., HttpReply]

_ONE_ID = r"/([^/]+)"


@dataclass(frozen=True, slots=True)
class Firmware:
    """What a version of the robot's software says of itself."""

    software: str = "8.8.2"
    system: str = "v1.20.1"
    versions: Versions = field(default_factory=Versions)
    least_api: tuple[int, int] = (2, 0)
    most_api: tuple[int, int] = (2, 27)
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Run statuses that this dialect calls otherwise."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Members that it adds to every resource."""
    token: str | None = None
    """The bearer token without which it answers 401, 403 for another; None: it asks for none."""


@dataclass(slots=True)
class Pipette:
    """A pipette on a mount."""

    name: str
    model: str
    serial: str
    channels: int = 1
    min_volume: float = 5.0
    max_volume: float = 1000.0
    is_calibrated: bool = True
    is_ok: bool = True
    """False: its firmware waits for an update."""


class OpentronsRobot:
    """One robot. Set its members to make faults: `mechanics`, `pipettes`, `firmware`, `shelf.is_disk_full`, ..."""

    def __init__(
        self, model: RobotModel = "OT-3 Standard", *, firmware: Firmware | None = None, folder: Path | None = None
    ) -> None:
        self.model, self.firmware, self.name = model, firmware or Firmware(), "emulated"
        self.lock = threading.RLock()
        self._folder = None if folder is not None else tempfile.TemporaryDirectory(prefix="opentrons-")
        where = folder if self._folder is None else Path(self._folder.name)
        self.loop, self.mechanics, self.log = EngineLoop(), Mechanics(), LabLog()
        self.shelf = ProtocolShelf(model, where or Path(), self.loop)
        self.book = RunBook(model, self.loop, self.shelf, self.mechanics, self.log)
        self.pipettes: dict[str, Pipette] = _pipettes(model)
        self.mechanics.mounted = lambda: {mount: each.name for mount, each in self.pipettes.items() if each.is_ok}
        self.modules: list[dict[str, Any]] = []
        self.estop, self.is_light_on, self.n_homed, self.n_identified = "disengaged", False, 0, 0
        self._routes = [(method, re.compile(path), route) for method, path, route in self._table()]

    @property
    def is_flex(self) -> bool:
        """Return whether it is a Flex, not an OT-2."""
        return self.model == "OT-3 Standard"

    def _table(self) -> list[tuple[str, str, Route]]:
        return [*self._of_protocols(), *self._of_runs(), *self._of_robot()]

    def _of_protocols(self) -> list[tuple[str, str, Route]]:
        one_id, book, shelf = _ONE_ID, self.book, self.shelf
        protocol = f"/protocols{one_id}"
        return [
            ("POST", "/dataFiles", lambda request: shelf.upload_file(request)),
            ("GET", "/dataFiles", lambda _: many([each.to_json() for each in shelf.files.values()])),
            ("GET", f"/dataFiles{one_id}", lambda _, file_id: one(shelf.file(file_id).to_json())),
            ("POST", "/protocols", lambda request: shelf.upload(request, book.used_protocols())),
            ("GET", "/protocols", lambda _: many([each.to_json() for each in shelf.protocols.values()])),
            ("GET", protocol, self._protocol),
            ("DELETE", protocol, self._delete_protocol),
            ("GET", f"{protocol}/analyses", lambda _, protocol_id: shelf.analyses(protocol_id)),
            ("POST", f"{protocol}/analyses", lambda request, protocol_id: shelf.ask_analysis(protocol_id, request)),
            ("GET", f"{protocol}/analyses{one_id}", lambda _, *ids: shelf.analysis(*ids)),
        ]

    def _of_runs(self) -> list[tuple[str, str, Route]]:
        one_id, book = _ONE_ID, self.book
        run = f"/runs{one_id}"
        return [
            ("POST", "/runs", self._create_run),
            ("GET", "/runs", lambda request: book.listing(request)),
            ("GET", run, lambda _, run_id: one(book.get(run_id).to_json())),
            ("PATCH", run, lambda request, run_id: book.update(run_id, request)),
            ("DELETE", run, lambda _, run_id: book.delete(run_id)),
            ("POST", f"{run}/actions", self._act),
            ("GET", f"{run}/commands", lambda request, run_id: book.commands(run_id, request)),
            ("POST", f"{run}/commands", lambda request, run_id: book.add_command(run_id, request)),
            ("GET", f"{run}/commands{one_id}", lambda _, *ids: book.command(*ids)),
            ("POST", f"{run}/labware_offsets", lambda request, run_id: book.add_offset(run_id, request)),
            ("GET", f"{run}/errorRecoveryPolicy", lambda _, run_id: book.policy(run_id)),
            ("PUT", f"{run}/errorRecoveryPolicy", lambda request, run_id: book.put_policy(run_id, request)),
        ]

    def _of_robot(self) -> list[tuple[str, str, Route]]:
        return [
            ("GET", "/health", self._health),
            ("GET", "/errorRecovery/settings", lambda _: one({"enabled": self.book.is_recovery_enabled})),
            ("PATCH", "/errorRecovery/settings", self._recovery),
            ("DELETE", "/errorRecovery/settings", self._recovery),
            ("GET", "/instruments", self._instruments),
            ("GET", "/modules", lambda _: many(self.modules)),
            ("GET", "/robot/door/status", self._door),
            ("GET", "/robot/control/estopStatus", self._estop_status),
            ("PUT", "/robot/control/acknowledgeEstopDisengage", self._acknowledge),
            ("GET", "/robot/lights", lambda _: envelope(200, {"on": self.is_light_on})),
            ("POST", "/robot/lights", self._light),
            ("POST", "/robot/home", self._home),
            ("POST", "/identify", self._identify),
            ("GET", "/calibration/status", self._calibration_status),
            ("GET", "/calibration/pipette_offset", lambda _: many(self._offsets())),
            ("GET", "/calibration/tip_length", lambda _: many([])),
        ]

    def handle(self, request: HttpRequest) -> HttpReply:
        """Answer a request as the robot does."""
        versions, version = self.firmware.versions, None
        try:
            version = negotiated(request, versions)
            _require_token(request, self.firmware.token)
            # Who waits for a command's end must not keep others from polling.
            with contextlib.nullcontext() if "waitUntilComplete" in request.query else self.lock:
                reply = self._answer(request)
        except ApiError as error:
            reply = error.reply()
        except OSError as error:
            detail = f"{type(error).__name__}: {error}"
            reply = ApiError(500, "UnexpectedError", "Unexpected Internal Error", detail).reply()
        headers = {"Opentrons-Min-Version": str(versions.least)}
        headers["Opentrons-Version"] = str(versions.most if version is None else version)
        return replace(reply, headers={**reply.headers, **headers})

    def _answer(self, request: HttpRequest) -> HttpReply:
        is_known = False
        for method, path, route in self._routes:
            if match := path.fullmatch(request.path):
                is_known = True
                if method == request.method:
                    return self._in_dialect(route(request, *match.groups()))
        status, detail = (405, "Method Not Allowed") if is_known else (404, "Not Found")
        raise ApiError(status, "BadRequest", "Bad Request", detail)

    def _in_dialect(self, reply: HttpReply) -> HttpReply:
        if not (self.firmware.statuses or self.firmware.extra):
            return reply
        body = json.loads(reply.body)
        for data in body["data"] if isinstance(body.get("data"), list) else [body.get("data")]:
            if isinstance(data, dict):
                data.update(self.firmware.extra)
                if "actions" in data:
                    data["status"] = self.firmware.statuses.get(data["status"], data["status"])
        return envelope(reply.status, body)

    def power_cycle(self) -> None:
        """Lose the current run and pending analyses; keep files, protocols and the records of runs that ended."""
        with self.lock:
            self.book.power_cycle()
            self.loop.close()
            self.loop = self.shelf.loop = self.book.loop = EngineLoop()
            self.shelf.power_cycle()
            self.is_light_on = False

    def close(self) -> None:
        """End the engine's thread."""
        self.loop.close()
        if self._folder is not None:
            self._folder.cleanup()

    def set_door(self, *, is_open: bool) -> None:
        """Open or close the door, as a person does."""
        self.mechanics.is_door_open = is_open
        current = self.book.current
        if current is not None and current.engine is not None:
            current.engine.set_door(is_open=is_open)

    def press_estop(self) -> None:
        """Press the emergency stop (Flex only): a run under way fails."""
        with self.lock:
            self.estop = "physicallyEngaged"
            current = self.book.current
            if current is not None and current.engine is not None:
                current.engine.press_estop()

    def release_estop(self) -> None:
        """Pull it out again; a client still has to acknowledge it."""
        self.estop = "logicallyEngaged"

    def somebody_runs(self, protocol_id: str | None = None, *, does_play: bool = False) -> Run:
        """Let a person with the vendor's app make a run, and start it where asked."""
        with self.lock:
            source = None if protocol_id is None else self.shelf.protocol(protocol_id).source
            run = self.book.begin(source, protocol_id, {}, {}, [])
            if does_play and run.engine is not None:
                run.engine.play()
            return run

    def _health(self, _: HttpRequest) -> HttpReply:
        firmware = self.firmware
        body = {
            "name": self.name,
            "robot_model": self.model,
            "api_version": firmware.software,
            "fw_version": "53" if self.is_flex else "v1.1.0-25e5cea",
            "board_revision": "UNKNOWN",
            "logs": ["/logs/serial.log", "/logs/api.log", "/logs/server.log"],
            "system_version": firmware.system,
            "maximum_protocol_api_version": list(firmware.most_api),
            "minimum_protocol_api_version": list(firmware.least_api),
            "robot_serial": "FLXA1020231007001" if self.is_flex else "OT2CEP20200827B10",
            "links": {"apiLog": "/logs/api.log", "openapi": "/openapi.json", "systemTime": "/system/time"},
        }
        return envelope(200, {**body, **firmware.extra})

    def _protocol(self, _: HttpRequest, protocol_id: str) -> HttpReply:
        protocol = self.shelf.protocol(protocol_id)
        users = [run.id for run in self.book.runs.values() if run.protocol_id == protocol_id]
        links = {"referencingRuns": [{"id": each, "href": f"/runs/{each}"} for each in users]}
        return one(protocol.to_json(), links=links)

    def _delete_protocol(self, _: HttpRequest, protocol_id: str) -> HttpReply:
        self.shelf.protocol(protocol_id)
        if protocol_id in self.book.used_protocols():
            detail = f"Protocol {protocol_id} is used by a run and cannot be deleted."
            raise ApiError(409, "ProtocolUsedByRun", "Protocol Used by Run", detail)
        del self.shelf.protocols[protocol_id]
        return envelope(200, {})

    def _create_run(self, request: HttpRequest) -> HttpReply:
        self._require_estop()
        return self.book.create(request)

    def _act(self, request: HttpRequest, run_id: str) -> HttpReply:
        self._require_estop()
        return self.book.act(run_id, request)

    def _require_estop(self) -> None:
        if self.is_flex and self.estop == "physicallyEngaged":
            raise ApiError(403, "EstopEngaged", "Estop Engaged", "Not permitted while estop is engaged")
        if self.is_flex and self.estop == "logicallyEngaged":
            raise ApiError(403, "EstopNotAcknowledged", "Estop Not Acknowledged", "Must acknowledge estop event")

    def _recovery(self, request: HttpRequest) -> HttpReply:
        is_enabled = body_data(request).get("enabled") if request.method == "PATCH" else True
        if not isinstance(is_enabled, bool):
            raise ApiError(422, "InvalidRequest", "Invalid Request", "/data/enabled: not a boolean")
        self.book.is_recovery_enabled = is_enabled
        current = self.book.current
        if current is not None and current.engine is not None:
            current.engine.is_recovery_enabled = is_enabled and self.is_flex
        return one({"enabled": is_enabled})

    def _instruments(self, _: HttpRequest) -> HttpReply:
        return many([_instrument(mount, each, is_flex=self.is_flex) for mount, each in self.pipettes.items()])

    def _door(self, _: HttpRequest) -> HttpReply:
        status = "open" if self.mechanics.is_door_open else "closed"
        return one({"status": status, "doorRequiredClosedForProtocol": True})

    def _estop_status(self, _: HttpRequest) -> HttpReply:
        self._require_flex()
        button = "engaged" if self.estop == "physicallyEngaged" else "disengaged"
        status = {"status": self.estop, "leftEstopPhysicalStatus": button, "rightEstopPhysicalStatus": "notPresent"}
        return one(status)

    def _acknowledge(self, request: HttpRequest) -> HttpReply:
        self._require_flex()
        if self.estop == "logicallyEngaged":
            self.estop = "disengaged"
        return self._estop_status(request)

    def _require_flex(self) -> None:
        if not self.is_flex:
            raise ApiError(403, "NotSupportedOnOT2", "Not Supported On OT-2", "This endpoint is for the Flex only.")

    def _light(self, request: HttpRequest) -> HttpReply:
        if (found := re.search(rb'"on"\s*:\s*(true|false)', request.body)) is None:
            raise LegacyError(422, "InvalidRequest", "Invalid Request", "on: field required")
        self.is_light_on = found[1] == b"true"
        return envelope(200, {"on": self.is_light_on})

    def _home(self, request: HttpRequest) -> HttpReply:
        self._require_estop()
        if b'"robot"' not in request.body and b'"pipette"' not in request.body:
            raise LegacyError(422, "InvalidRequest", "Invalid Request", "target: 'robot' or 'pipette'")
        self.n_homed += 1
        return envelope(200, {"message": "Homing robot."})

    def _identify(self, _: HttpRequest) -> HttpReply:
        self.n_identified += 1
        return envelope(200, {"message": "identifying"})

    def _calibration_status(self, _: HttpRequest) -> HttpReply:
        deck = {"status": "OK", "data": {"type": "attitude", "matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}}
        return envelope(200, {"deckCalibration": deck, "instrumentCalibration": {}})

    def _offsets(self) -> list[dict[str, Any]]:
        return [
            {"id": f"{each.serial}&{mount}", "pipette": each.serial, "mount": mount, "offset": [0.0, 0.0, 0.0]}
            | {"source": "user", "status": {"markedBad": False}, "lastModified": "2026-01-01T00:00:00+00:00"}
            for mount, each in self.pipettes.items()
            if each.is_calibrated and not self.is_flex
        ]


def _require_token(request: HttpRequest, token: str | None) -> None:
    given = request.headers.get("authorization")
    if token is not None and given is None:
        raise ApiError(401, "NotAuthenticated", "Not Authenticated", "Authentication is required.")
    if token is not None and given != f"Bearer {token}":
        raise ApiError(403, "NotAuthorized", "Not Authorized", "The token does not allow this.")


def _pipettes(model: RobotModel) -> dict[str, Pipette]:
    if model == "OT-3 Standard":
        return {
            "left": Pipette("p1000_single_flex", "p1000_single_v3.6", "P1KSV3620230101A01"),
            "right": Pipette("p50_single_flex", "p50_single_v3.6", "P50SV3620230101A02", 1, 1.0, 50.0),
        }
    return {
        "left": Pipette("p300_single_gen2", "p300_single_v2.1", "P3HSV2120230101A01", 1, 20.0, 300.0),
        "right": Pipette("p20_single_gen2", "p20_single_v2.2", "P20SV2220230101A02", 1, 1.0, 20.0),
    }


def _instrument(mount: str, pipette: Pipette, *, is_flex: bool) -> dict[str, Any]:
    head = {"mount": mount, "instrumentType": "pipette", "instrumentModel": pipette.model, "ok": pipette.is_ok}
    if not pipette.is_ok:
        return {**head, "subsystem": f"pipette_{mount}", "update": f"/subsystems/updates/current/pipette_{mount}"}
    limits = {"channels": pipette.channels, "min_volume": pipette.min_volume, "max_volume": pipette.max_volume}
    head |= {"instrumentName": pipette.name, "serialNumber": pipette.serial}
    if not is_flex:
        return {**head, "data": limits}
    offset: dict[str, Any] = {"offset": {"x": 0.0, "y": 0.0, "z": 0.0}, "source": "default"}
    if pipette.is_calibrated:
        offset |= {"source": "calibrated", "last_modified": "2026-01-01T00:00:00+00:00"}
    state = {"tip_detected": False}
    return {**head, "firmwareVersion": "53", "data": {**limits, "calibratedOffset": offset}, "state": state}


def main(arguments: list[str] | None = None) -> None:
    """Serve one robot until interrupted; prints its URL on a line of its own first."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--model", choices=("flex", "ot2"), default="flex")
    parser.add_argument("--command-s", type=float, default=0.0, help="seconds that each command takes")
    parser.add_argument(
        "--swap-mounts", action="store_true", help="the small pipette on the left, as a lab's [deck] has it"
    )
    chosen = parser.parse_args(arguments)
    robot = OpentronsRobot("OT-3 Standard" if chosen.model == "flex" else "OT-2 Standard")
    robot.mechanics.command_s = chosen.command_s
    if chosen.swap_mounts:
        robot.pipettes = {"left": robot.pipettes["right"], "right": robot.pipettes["left"]}
    with HttpServer(robot, port=chosen.port) as server:
        print(server.url, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            robot.close()


if __name__ == "__main__":
    main()
