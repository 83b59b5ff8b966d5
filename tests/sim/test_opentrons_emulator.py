"""The emulated Opentrons answers as facts/robots.md says the robot does, and its log says what each well got."""

import gc
import http.client
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sim.wire.faults import Fault, WireFault
from sim.wire.http_server import HttpServer
from sim.wire.opentrons import Firmware, OpentronsRobot
from sim.wire.opentrons_http import Versions

# The vendor's package leaves files and loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Answer = tuple[int, dict[str, Any]]

_FLEX = """
requirements = {"robotType": "Flex", "apiLevel": "2.20"}
def add_parameters(p):
    p.add_int("n", "n", default=2, minimum=1, maximum=8)
    p.add_csv_file("picks", "picks")
def run(ctx):
    tips = ctx.load_labware("opentrons_flex_96_tiprack_200ul", "D1")
    plate = ctx.load_labware("corning_96_wellplate_360ul_flat", "D2")
    ctx.load_trash_bin("A3")
    pipette = ctx.load_instrument("flex_1channel_1000", "left", tip_racks=[tips])
    for row in ctx.params.picks.parse_as_csv()[1:][:ctx.params.n]:
        pipette.transfer(float(row[2]), plate[row[0]], plate[row[1]])
"""
_PLAIN = _FLEX.replace('    p.add_csv_file("picks", "picks")\n', "").replace(
    "ctx.params.picks.parse_as_csv()[1:][:ctx.params.n]", '[("A1", "B1", 10), ("A2", "B2", 20)]'
)
_BAD = _PLAIN.replace("    for row", "    pipette.pick_up_tip()\n    pipette.aspirate(1500, plate['A1'])\n    for row")
_OT2 = """
metadata = {"apiLevel": "2.15"}
def run(ctx):
    tips = ctx.load_labware("opentrons_96_tiprack_300ul", "1")
    plate = ctx.load_labware("corning_96_wellplate_360ul_flat", "2")
    pipette = ctx.load_instrument("p300_single_gen2", "left", tip_racks=[tips])
    pipette.transfer(30, plate["A1"], plate["B1"])
    pipette.transfer(40, plate["A1"], plate["C1"])
"""


class Client:
    """A raw client of one robot."""

    def __init__(self, robot: OpentronsRobot, server: HttpServer) -> None:
        self.robot, self.server = robot, server

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        raw = body if isinstance(body, bytes) or body is None else json.dumps({"data": body}).encode()
        status, _, answer = self.raw(method, path, raw, {"Opentrons-Version": "3", **headers})
        return status, json.loads(answer)

    def raw(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            link.request(method, path, body, headers)
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    def form(self, path: str, *parts: tuple[str, str | None, str]) -> Answer:
        lines = []
        for name, filename, content in parts:
            of_file = "" if filename is None else f'; filename="{filename}"'
            lines.append(f'--xyz\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n{content}\r\n')
        kind = {"Content-Type": "multipart/form-data; boundary=xyz"}
        return self.ask("POST", path, ("".join(lines) + "--xyz--\r\n").encode(), **kind)

    def upload(self, text: str, *parts: tuple[str, str | None, str]) -> str:
        status, body = self.form("/protocols", ("files", "p.py", text), *parts)
        assert status in (200, 201), body
        return str(body["data"]["id"])

    def verdict(self, protocol_id: str) -> str:
        path = f"/protocols/{protocol_id}"
        until(lambda: self.ask("GET", path)[1]["data"]["analysisSummaries"][-1]["status"] == "completed")
        return str(self.ask("GET", f"{path}/analyses")[1]["data"][-1]["result"])

    def begin(self, protocol_id: str, **more: Any) -> str:
        status, body = self.ask("POST", "/runs", {"protocolId": protocol_id, **more})
        assert status == 201, body
        return str(body["data"]["id"])

    def act(self, run_id: str, action: str) -> Answer:
        return self.ask("POST", f"/runs/{run_id}/actions", {"actionType": action})

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/runs/{run_id}")[1]["data"])

    def wait(self, run_id: str, *statuses: str) -> dict[str, Any]:
        until(lambda: self.run(run_id)["status"] in statuses)
        return self.run(run_id)


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1500):
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to be")


def error_id(answer: Answer) -> tuple[int, str]:
    return answer[0], answer[1]["errors"][0]["id"]


def serve(robot: OpentronsRobot) -> Iterator[Client]:
    with HttpServer(robot) as server:
        yield Client(robot, server)
    robot.close()
    gc.collect()  # here, where the vendor's leavings are forgiven, and not in the next test


@pytest.fixture
def flex() -> Iterator[Client]:
    yield from serve(OpentronsRobot())


@pytest.fixture
def ot2() -> Iterator[Client]:
    yield from serve(OpentronsRobot("OT-2 Standard"))


def test_version_headers(flex: Client) -> None:
    assert flex.raw("GET", "/health", None, {})[0] == 422
    status, headers, body = flex.raw("GET", "/health", None, {"Opentrons-Version": "3"})
    assert (status, headers["Opentrons-Version"], headers["Opentrons-Min-Version"]) == (200, "3", "2")
    assert json.loads(body)["robot_model"] == "OT-3 Standard"
    assert flex.raw("GET", "/health", None, {"Opentrons-Version": "99"})[1]["Opentrons-Version"] == "4"
    assert error_id(flex.ask("GET", "/health", **{"Opentrons-Version": "1"})) == (400, "OutdatedAPIVersion")


def test_a_csv_protocol_from_upload_to_the_wells(flex: Client) -> None:
    csv = "from,to,ul\nA1,C3,15\nA2,D4,25\n"
    first, again = (flex.form("/dataFiles", ("file", "picks.csv", csv)) for _ in range(2))
    assert (first[0], again[0], first[1]["data"]["id"]) == (201, 200, again[1]["data"]["id"])
    assert error_id(flex.form("/dataFiles", ("file", "picks.txt", csv))) == (422, "UnexpectedFileFormat")
    files = {"picks": first[1]["data"]["id"]}
    protocol = flex.upload(_FLEX, ("key", None, "k1"), ("runTimeParameterFiles", None, json.dumps(files)))
    assert flex.verdict(protocol) == "ok"
    assert flex.form("/protocols", ("files", "p.py", _FLEX))[1]["data"]["key"] == "k1"
    assert flex.verdict(protocol) == "parameter-value-required"
    assert flex.ask("POST", f"/protocols/{protocol}/analyses", {"runTimeParameterFiles": files})[0] == 201
    assert flex.verdict(protocol) == "ok"
    assert flex.ask("POST", f"/protocols/{protocol}/analyses", {"runTimeParameterFiles": files})[0] == 200
    run = flex.begin(protocol, runTimeParameterFiles=files, runTimeParameterValues={"n": 2})
    assert flex.run(run)["status"] == "idle"
    assert flex.act(run, "play")[0] == 201
    assert flex.wait(run, "succeeded", "failed")["status"] == "succeeded"
    assert flex.robot.log.wells() == {("D2", "C3"): [15.0], ("D2", "D4"): [25.0]}
    assert flex.robot.log.tips() == [("D1", "A1"), ("D1", "B1")]
    seen: list[str] = []
    while True:
        page = flex.ask("GET", f"/runs/{run}/commands?cursor={len(seen)}&pageLength=3")[1]
        seen += [each["id"] for each in page["data"]]
        if len(seen) >= page["meta"]["totalLength"]:
            break
    assert len(set(seen)) == len(seen) == page["meta"]["totalLength"]
    assert "result" in flex.ask("GET", f"/runs/{run}/commands/{seen[3]}")[1]["data"]
    assert len(flex.ask("GET", f"/runs/{run}/commands")[1]["data"]) == min(20, len(seen))


def test_refused_uploads(flex: Client) -> None:
    assert error_id(flex.form("/protocols", ("files", "p.py", _OT2))) == (422, "ProtocolRobotTypeMismatch")
    assert error_id(flex.form("/protocols", ("files", "p.py", "not python ("))) == (422, "ProtocolFilesInvalid")
    flex.robot.shelf.is_disk_full = True
    assert error_id(flex.form("/protocols", ("files", "p.py", _PLAIN))) == (500, "UnexpectedError")
    flex.robot.shelf.is_disk_full, flex.robot.shelf.analysis_s = False, 0.4
    protocol = flex.upload(_PLAIN)
    assert error_id(flex.form("/protocols", ("files", "p.py", _PLAIN))) == (503, "LastAnalysisPending")
    assert flex.verdict(protocol) == "ok"
    assert error_id(flex.ask("POST", "/runs", {"protocolId": "none"})) == (404, "ProtocolNotFound")


def test_actions_and_their_refusals(flex: Client) -> None:
    flex.robot.mechanics.command_s = 0.2
    run = flex.begin(flex.upload(_PLAIN))
    assert flex.ask("GET", "/runs")[1]["links"]["current"]["href"] == f"/runs/{run}"
    assert error_id(flex.act(run, "pause")) == (409, "RunActionNotAllowed")
    assert error_id(flex.act(run, "fly")) == (422, "InvalidRequest")
    for action, status in (("play", "running"), ("pause", "paused"), ("play", "running")):
        assert flex.act(run, action)[0] == 201
        assert flex.wait(run, status)["current"]
    assert error_id(flex.ask("POST", "/runs", {})) == (409, "RunAlreadyActive")
    assert error_id(flex.ask("PATCH", f"/runs/{run}", {"current": False})) == (409, "RunNotIdle")
    assert flex.act(run, "stop")[0] == 201
    assert flex.wait(run, "stopped")["status"] == "stopped"
    assert error_id(flex.act(run, "stop")) == (409, "RunActionNotAllowed")
    assert flex.ask("PATCH", f"/runs/{run}", {"current": False})[0] == 200
    assert flex.run(run)["current"] is False
    assert error_id(flex.act(run, "play")) == (409, "RunStopped")
    assert "current" not in flex.ask("GET", "/runs")[1]["links"]
    assert flex.robot.log.n_plays() == 1
    protocol = flex.run(run)["protocolId"]
    assert error_id(flex.ask("DELETE", f"/protocols/{protocol}")) == (409, "ProtocolUsedByRun")
    assert flex.ask("DELETE", f"/runs/{run}")[0] == flex.ask("DELETE", f"/protocols/{protocol}")[0] == 200
    assert error_id(flex.ask("GET", f"/runs/{run}")) == (404, "RunNotFound")


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.15, 0.3])
def test_the_log_and_the_records_agree_after_a_stop_at_any_time(flex: Client, wait_s: float) -> None:
    flex.robot.mechanics.command_s = 0.02
    run = flex.begin(flex.upload(_PLAIN))
    flex.act(run, "play")
    time.sleep(wait_s)
    flex.act(run, "stop")
    flex.wait(run, "stopped", "succeeded")
    records = flex.ask("GET", f"/runs/{run}/commands?cursor=0&pageLength=100")[1]["data"]
    said = [each["params"] for each in records if each["commandType"] == "dispense" and each["status"] == "succeeded"]
    done = [act for act in flex.robot.log.acts if act.what == "dispense"]
    assert [(act.well, act.volume_ul) for act in done] == [(each["wellName"], each["volume"]) for each in said]


def test_a_run_that_fails_says_why(flex: Client) -> None:
    protocol = flex.upload(_BAD)
    assert flex.verdict(protocol) == "not-ok"
    run = flex.begin(protocol)
    flex.act(run, "play")
    data = flex.wait(run, "failed", "succeeded")
    assert (data["status"], data["errors"][0]["errorType"]) == ("failed", "ExceptionInProtocolError")
    flex.robot.pipettes["left"].name = "p50_single_flex"
    run = flex.begin(flex.upload(_PLAIN))
    flex.act(run, "play")
    assert flex.wait(run, "failed", "succeeded")["status"] == "failed"
    assert flex.ask("GET", f"/runs/{run}/commands")[1]["data"][-1]["error"]["errorType"] == "FailedToLoadPipetteError"
    assert flex.robot.log.wells() == {}


def test_a_missed_tip_follows_the_policy(flex: Client) -> None:
    flex.robot.mechanics.tips_to_miss = {1, 3}
    protocol = flex.upload(_PLAIN)
    error = {"commandType": "pickUpTip", "error": {"errorType": "tipPhysicallyMissing"}}
    run = flex.begin(protocol)
    rules = [{"matchCriteria": {"command": error}, "ifMatch": "waitForRecovery"}]
    assert flex.ask("PUT", f"/runs/{run}/errorRecoveryPolicy", {"policyRules": rules})[0] == 200
    flex.act(run, "play")
    flex.wait(run, "awaiting-recovery")
    assert flex.act(run, "resume-from-recovery-assuming-false-positive")[0] == 201
    assert flex.wait(run, "succeeded", "failed")["hasEverEnteredErrorRecovery"] is True
    assert flex.robot.log.wells() == {("D2", "B2"): [20.0]}, "what was not picked up moves no liquid"
    run = flex.begin(protocol)
    assert flex.ask("PUT", f"/runs/{run}/errorRecoveryPolicy", {"policyRules": [{}]})[0] == 422
    rules[0]["ifMatch"] = "failRun"
    flex.ask("PUT", f"/runs/{run}/errorRecoveryPolicy", {"policyRules": rules})
    flex.act(run, "play")
    assert flex.wait(run, "failed", "succeeded", "awaiting-recovery")["status"] == "failed"
    assert flex.ask("PATCH", "/errorRecovery/settings", {"enabled": False})[1]["data"] == {"enabled": False}


def test_door_and_emergency_stop(flex: Client) -> None:
    flex.robot.mechanics.command_s = 0.2
    run = flex.begin(flex.upload(_PLAIN))
    flex.act(run, "play")
    flex.wait(run, "running")
    flex.robot.set_door(is_open=True)
    assert flex.ask("GET", "/robot/door/status")[1]["data"]["status"] == "open"
    assert flex.wait(run, "blocked-by-open-door", "succeeded")["status"] == "blocked-by-open-door"
    assert error_id(flex.act(run, "play")) == (409, "RunActionNotAllowed")
    flex.robot.set_door(is_open=False)
    flex.act(run, "play")
    flex.robot.press_estop()
    assert flex.ask("GET", "/robot/control/estopStatus")[1]["data"]["status"] == "physicallyEngaged"
    assert flex.wait(run, "failed", "succeeded", "stopped")["status"] == "failed"
    assert error_id(flex.ask("POST", "/runs", {})) == (403, "EstopEngaged")
    flex.robot.release_estop()
    assert error_id(flex.ask("POST", "/runs", {})) == (403, "EstopNotAcknowledged")
    assert flex.ask("PUT", "/robot/control/acknowledgeEstopDisengage")[0] == 200
    assert flex.ask("POST", "/runs", {})[0] == 201


def test_power_lost_in_a_run(flex: Client) -> None:
    protocol = flex.upload(_PLAIN)
    ended = flex.begin(protocol)
    flex.act(ended, "play")
    flex.wait(ended, "succeeded")
    flex.robot.mechanics.command_s = 0.2
    run = flex.begin(protocol)
    flex.act(run, "play")
    until(lambda: flex.robot.log.n_plays() == 2)
    flex.server.power_cycle()
    assert flex.act(run, "play")[0] == flex.ask("PATCH", "/runs/none", {"current": False})[0] == 409
    n_acts = len(flex.robot.log.acts)
    lost = flex.run(run)
    assert (lost["ok"], lost["current"], lost["status"]) == (False, False, "stopped")
    assert lost["dataError"]["id"] == "RunDataError"
    assert flex.run(ended)["status"] == "succeeded"
    assert flex.ask("GET", f"/runs/{ended}/commands")[1]["meta"]["totalLength"] > 10
    assert flex.ask("GET", "/runs")[1]["links"] == {}
    flex.robot.mechanics.command_s = 0.0
    run = flex.begin(protocol)
    flex.act(run, "play")
    assert flex.wait(run, "succeeded", "failed")["status"] == "succeeded"
    flex.server.power_cycle()
    assert (flex.run(run)["status"], flex.run(run)["current"]) == ("succeeded", False)
    assert all(act.run_id == run for act in flex.robot.log.acts[n_acts:])


def test_a_reply_lost_after_the_run_was_made_or_played(flex: Client) -> None:
    protocol = flex.upload(_PLAIN)
    flex.server.faults.add(Fault(WireFault.LOST_REPLY, match="POST /runs\n"), Fault(WireFault.CUT_REPLY, match="play"))
    with pytest.raises((OSError, http.client.HTTPException)):
        flex.begin(protocol)
    (run,) = [each for each in flex.ask("GET", "/runs")[1]["data"] if each["protocolId"] == protocol]
    with pytest.raises((OSError, http.client.HTTPException)):
        flex.act(run["id"], "play")
    assert flex.wait(run["id"], "succeeded")["actions"][0]["actionType"] == "play"
    assert flex.robot.log.n_plays() == 1


def test_somebody_else_has_the_robot(flex: Client) -> None:
    flex.robot.mechanics.command_s = 0.2
    protocol = flex.upload(_PLAIN)
    theirs = flex.robot.somebody_runs(protocol, does_play=True)
    assert flex.ask("GET", "/runs")[1]["links"]["current"]["href"].endswith(theirs.id)
    assert error_id(flex.ask("POST", "/runs", {"protocolId": protocol})) == (409, "RunAlreadyActive")


def test_old_unused_protocols_go(flex: Client) -> None:
    used = flex.upload(_PLAIN)
    flex.begin(used)
    unused = [flex.upload(f"{_PLAIN}# {n}\n") for n in range(7)]
    assert flex.ask("GET", f"/protocols/{used}")[0] == 200
    assert flex.ask("GET", f"/protocols/{unused[0]}")[0] == 404
    assert flex.ask("GET", f"/protocols/{unused[-1]}")[0] == 200


def test_single_commands_lights_and_instruments(flex: Client) -> None:
    run = flex.ask("POST", "/runs")[1]["data"]["id"]
    home = {"commandType": "home", "params": {}}
    status, body = flex.ask("POST", f"/runs/{run}/commands?waitUntilComplete=true", home)
    assert (status, body["data"]["status"]) == (201, "succeeded")
    assert flex.ask("POST", f"/runs/{run}/commands", {"commandType": "fly", "params": {}})[0] == 422
    offset: dict[str, Any] = {
        "definitionUri": "opentrons/corning_96_wellplate_360ul_flat/1",
        "location": {"slotName": "D2"},
    }
    offset["vector"] = {"x": 0.1, "y": 0.0, "z": -0.2}
    assert flex.ask("POST", f"/runs/{run}/labware_offsets", offset)[0] == 201
    assert flex.run(run)["labwareOffsets"][0]["vector"]["z"] == -0.2
    assert flex.ask("POST", "/robot/lights", b'{"on": true}')[1] == flex.ask("GET", "/robot/lights")[1] == {"on": True}
    left = flex.ask("GET", "/instruments")[1]["data"][0]
    assert left["data"]["calibratedOffset"]["source"] == "calibrated"
    flex.robot.pipettes["left"].is_calibrated = False
    left = flex.ask("GET", "/instruments")[1]["data"][0]
    assert "last_modified" not in left["data"]["calibratedOffset"]


def test_ot2(ot2: Client) -> None:
    assert error_id(ot2.ask("GET", "/robot/control/estopStatus")) == (403, "NotSupportedOnOT2")
    assert ot2.ask("GET", "/calibration/pipette_offset")[1]["data"][0]["mount"] == "left"
    ot2.robot.mechanics.tips_to_miss = {1}
    run = ot2.begin(ot2.upload(_OT2))
    ot2.act(run, "play")
    assert ot2.wait(run, "succeeded", "failed")["status"] == "succeeded"
    assert ot2.robot.log.wells() == {("2", "C1"): [40.0]}, "an OT-2 does not feel that its tip is missing"


def test_eight_channels_fill_a_column(flex: Client) -> None:
    flex.robot.pipettes["left"].name = "p1000_multi_flex"
    run = flex.begin(flex.upload(_PLAIN.replace("flex_1channel", "flex_8channel").replace('"B', '"A')))
    flex.act(run, "play")
    assert flex.wait(run, "succeeded", "failed")["status"] == "succeeded"
    wells = flex.robot.log.wells()
    assert wells == {("D2", f"{row}{column}"): [10.0 * column] for column in (1, 2) for row in "ABCDEFGH"}
    assert len(flex.robot.log.tips()) == 16


def test_another_dialect(flex: Client) -> None:
    flex.robot.firmware = Firmware(versions=Versions(5, 6), statuses={"idle": "warming-up"}, extra={"new": 1})
    assert error_id(flex.ask("GET", "/health")) == (400, "OutdatedAPIVersion")
    data = flex.ask("POST", "/runs", {}, **{"Opentrons-Version": "5"})[1]["data"]
    assert (data["status"], data["new"]) == ("warming-up", 1)
    flex.robot.firmware = Firmware(token="secret")
    asked = [flex.ask("GET", "/health")[0]]
    asked += [flex.ask("GET", "/health", Authorization=f"Bearer {token}")[0] for token in ("other", "secret")]
    assert asked == [401, 403, 200]


def test_a_pause_of_the_protocol_and_a_stop_in_it(flex: Client) -> None:
    run = flex.begin(flex.upload(_PLAIN.replace("    for row", "    ctx.pause('look')\n    for row")))
    flex.act(run, "play")
    flex.wait(run, "paused")
    assert flex.act(run, "play")[0] == 201
    assert flex.wait(run, "succeeded", "failed")["status"] == "succeeded"
    run = flex.begin(flex.run(run)["protocolId"])
    flex.act(run, "play")
    flex.wait(run, "paused")
    assert flex.act(run, "stop")[0] == 201
    assert flex.wait(run, "stopped", "failed")["status"] == "stopped"
    assert len(flex.robot.log.tips()) == 2


def test_garbage_never_crashes_it(flex: Client) -> None:
    rng = random.Random(7)
    protocol, run = flex.upload(_PLAIN), flex.ask("POST", "/runs", {})[1]["data"]["id"]
    paths = ["/runs", f"/runs/{run}/actions", f"/runs/{run}/commands", f"/runs/{run}/errorRecoveryPolicy", "/protocols"]
    paths += [f"/runs/{run}", f"/runs/{run}/labware_offsets", "/dataFiles", "/robot/lights", "/robot/home"]
    paths += [f"/runs/{run}/commands?cursor=-9&pageLength=zz", "/errorRecovery/settings", "/%00", "//", "/runs/../x"]
    bodies = [b"", b"{", b"[]", b'{"data": []}', b'{"data": {"actionType": {}}}', b"[" * 5000, b"\xff" * 9]
    bodies += [
        json.dumps({"data": {"protocolId": protocol, "labwareOffsets": [{}]}}).encode(),
        b'{"data":{"current":1}}',
    ]
    bodies += [b'--b\r\nContent-Disposition: form-data; name="files"; filename="../../x"\r\n\r\n\xff\r\n--b--']
    for _ in range(300):
        body = bytearray(rng.choice(bodies))
        for _ in range(rng.randrange(3)):
            body[rng.randrange(len(body) or 1) : 0] = bytes([rng.randrange(256)])
        kind = rng.choice(["application/json", "multipart/form-data; boundary=b", "multipart/form-data; boundary=("])
        headers = {"Opentrons-Version": rng.choice(["3", "3", "*", "x", "-1"]), "Content-Type": kind}
        method = rng.choice(["GET", "POST", "PUT", "PATCH"])
        status, _, answer = flex.raw(method, rng.choice(paths), bytes(body), headers)
        assert isinstance(json.loads(answer), dict)
        assert status < 500 or b"labwareOffsets" in body, (method, bytes(body), answer)
    assert flex.ask("GET", "/health")[0] == 200


def test_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "sim.wire.opentrons", "--model", "ot2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        link.request("GET", "/health", headers={"Opentrons-Version": "*"})
        assert json.loads(link.getresponse().read())["robot_model"] == "OT-2 Standard"
        link.close()
        process.kill()
