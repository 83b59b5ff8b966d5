"""The Opentrons driver on the emulated robot: what works, what is refused, and what a run that failed is said to be."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentrons_rig import PACE, OpentronsLab, small_protocol, written, written_with_table

from drivers.deadline import Deadline
from drivers.http_wire import HttpWire
from drivers.opentrons import device_of, make
from drivers.opentrons_api import HEADERS, OpentronsApi
from drivers.ports import Status
from drivers.wire_log import read_log
from drivers.worker_memory import Memory
from nextplate.errors import SettingsError, Transient
from protocols.offsets import Offset
from sim.wire.opentrons import Firmware
from sim.wire.opentrons_http import Versions

pytestmark = [
    pytest.mark.usefixtures("no_power_cuts"),
    # the vendor's package leaves files and loops to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Open = Callable[..., OpentronsLab]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    labs: list[OpentronsLab] = []

    def lab(robot: str = "flex", **more: Any) -> OpentronsLab:
        labs.append(OpentronsLab(tmp_path / str(len(labs)), robot, **more))
        return labs[-1]

    yield lab
    for each in labs:
        each.close()


@pytest.mark.parametrize("robot", ["flex", "ot2"])
def test_a_load_is_run_once_and_told_transfer_by_transfer(opened: Open, robot: str) -> None:
    lab = opened(robot)
    lab.assert_done_once(lab.run())
    lab.device.submit(lab.command, "k")
    lab.assert_done_once(lab.device.lookup("k"))
    assert lab.device.inspect()["current_run"] is None
    assert lab.run("second").status is Status.DONE
    assert lab.n_plays == 2
    said = b"".join(chunk.data for path in lab.folder.glob("wire.log*") for chunk in read_log(path))
    assert b"errorRecoveryPolicy" in said or robot == "ot2"
    assert b"Opentrons-Version: 3" in said


def test_what_the_robot_says_of_itself(opened: Open) -> None:
    said = opened().device.inspect()
    assert (said["model"], said["software"], said["door"]) == ("OT-3 Standard", "8.8.2", "closed")
    assert said["emergency_stop"] == "disengaged"
    assert [tool["name"] for tool in said["pipettes"]] == ["p1000_single_flex", "p50_single_flex"]


def _wrong_pipette(lab: OpentronsLab) -> None:
    lab.robot.pipettes["right"].name = "p1000_single_flex"


def _uncalibrated(lab: OpentronsLab) -> None:
    lab.robot.pipettes["right"].is_calibrated = False


def _not_ok(lab: OpentronsLab) -> None:
    lab.robot.pipettes["right"].is_ok = False


def _wrong_robot(lab: OpentronsLab) -> None:
    lab.command = written(small_protocol("ot2"), lab.folder / "other")


def _changed_file(lab: OpentronsLab) -> None:
    path = lab.command.rendered_path
    assert path is not None
    path.write_text(path.read_text() + "# changed\n")


def _other_plan(lab: OpentronsLab) -> None:
    """A file that was proven for something else: the robot's own analysis gives it away."""
    path = lab.command.rendered_path
    assert path is not None
    text = path.read_text().replace("1.25,", "2.5,", 1)
    lab.command = written(lab.protocol, lab.folder / "other", text)


def _not_approved(lab: OpentronsLab) -> None:
    lab.command = replace(lab.command, protocol_digest="0" * 64)


def _bad_analysis(lab: OpentronsLab) -> None:
    lab.command = written(lab.protocol, lab.folder / "bad", _text(lab).replace("pick_up_tip", "pick_up_no_tip"))


def _text(lab: OpentronsLab) -> str:
    assert lab.command.rendered_path is not None
    return lab.command.rendered_path.read_text()


def _too_new(lab: OpentronsLab) -> None:
    lab.robot.firmware = Firmware(most_api=(2, 15))


def _strange_dialect(lab: OpentronsLab) -> None:
    lab.robot.firmware = Firmware(statuses={"idle": "warming-up"})


def _no_such_version(lab: OpentronsLab) -> None:
    lab.robot.firmware = Firmware(versions=Versions(5, 6))


def _token(lab: OpentronsLab) -> None:
    lab.robot.firmware = Firmware(token="secret")


REFUSED: dict[str, tuple[Callable[[OpentronsLab], Any], str]] = {
    "wrong pipette": (_wrong_pipette, "right mount has p1000_single_flex, and the protocol needs p50_single_flex"),
    "not calibrated": (_uncalibrated, "not calibrated"),
    "firmware update pending": (_not_ok, "update its firmware"),
    "wrong robot": (_wrong_robot, "the protocol is for a ot2"),
    "changed file": (_changed_file, "was changed after it was proven"),
    "other plan": (_other_plan, "the robot would do another thing than was planned: transfer 1"),
    "not approved": (_not_approved, "not the one approved"),
    "analysis not ok": (_bad_analysis, "analysis ended 'not-ok'"),
    "apiLevel": (_too_new, "takes 2.0 to 2.15"),
    "dialect": (_strange_dialect, "warming-up"),
    "versions": (_no_such_version, "OutdatedAPIVersion"),
    "token": (_token, "token"),
    "door": (lambda lab: lab.robot.set_door(is_open=True), "door is open"),
    "e-stop": (lambda lab: lab.robot.press_estop(), "emergency stop is physicallyEngaged"),
    "idle stranger": (lambda lab: lab.robot.somebody_runs(None), "of somebody else"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused_and_nothing_moved(opened: Open, case: str) -> None:
    lab = opened(pace=replace(PACE, patience_s=2.0))
    spoil, said = REFUSED[case]
    spoil(lab)
    report = lab.run()
    assert report.status is Status.FAILED
    assert said in report.message
    assert "nothing moved" in report.message
    assert lab.n_plays == 0
    assert lab.given() == []


def test_a_full_disk_is_told(opened: Open) -> None:
    lab = opened(pace=replace(PACE, patience_s=0.3))
    lab.robot.shelf.is_disk_full = True
    report = lab.run()
    assert report.status is Status.FAILED
    assert "answered 500" in report.message
    lab.robot.shelf.is_disk_full = False
    lab.pace = PACE
    lab.restart()
    lab.assert_done_once(lab.run("again"))


def test_somebody_elses_run_goes_on_undisturbed(opened: Open) -> None:
    lab = opened()
    theirs = lab.robot.somebody_runs(None)  # one that runs: test_another_labs_run_is_somebody_elses
    report = lab.run()
    assert report.status is Status.FAILED
    assert theirs.id in report.message
    assert lab.robot.book.current is theirs
    assert not lab.robot.log.acts


def test_an_ot2_whose_pipette_is_not_calibrated(opened: Open) -> None:
    lab = opened("ot2")
    lab.robot.pipettes["right"].is_calibrated = False
    assert "not calibrated" in lab.run().message


def test_a_wrong_model_at_the_url(opened: Open) -> None:
    lab = opened("ot2")
    lab.name, lab.command = "flex", written(small_protocol("flex"), lab.folder / "other")
    lab.restart()
    assert "correct option url or robot" in lab.run().message


def test_a_token_is_sent_and_never_logged(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = opened(firmware=Firmware(token="sesame-1"))
    lab.device.close()
    monkeypatch.setenv("FLEX_TOKEN", "sesame-1")
    options = {"url": lab.server.url, "robot": "flex", "token_env": "FLEX_TOKEN", "poll_s": 0.01}
    lab.device = make("liquid-handler", options, tmp_path / "made")
    lab.assert_done_once(lab.run())
    logs = list((tmp_path / "made" / "logs" / "wire").glob("liquid-handler.log*"))
    assert logs
    assert not any("sesame" in path.read_text() for path in logs)
    lab.device.close()
    monkeypatch.setenv("FLEX_TOKEN", "sesame-2")
    lab.device = make("liquid-handler", options, tmp_path / "made")
    report = lab.run("second")
    assert report.status is Status.FAILED
    assert "token_env" in report.message


def test_offsets_go_to_the_run(opened: Open) -> None:
    lab = opened()
    slot = next(item.slot for item in lab.protocol.loads[0].deck if item.labware.startswith("corning_96"))
    lab.device.close()
    offset = Offset("corning_96_wellplate_360ul_flat", slot, 0.1, 0.0, -0.2)
    lab.device = device_of(OpentronsApi(lab.wire, PACE), Memory(lab.folder / "memory"), "flex", (offset,))
    lab.assert_done_once(lab.run())
    said = b"".join(chunk.data for path in lab.folder.glob("wire.log*") for chunk in read_log(path))
    assert b'"labwareOffsets":[{"definitionUri":"opentrons/corning_96_wellplate_360ul_flat/' in said


def _offset(lab: OpentronsLab) -> Offset:
    slot = next(item.slot for item in lab.protocol.loads[0].deck if item.labware.startswith("corning_96"))
    return Offset("corning_96_wellplate_360ul_flat", slot, 0.1, 0.0, -0.2)


@pytest.mark.parametrize("robot", ["flex", "ot2"])
def test_the_table_and_the_offsets_of_a_load_go_to_the_robot(opened: Open, robot: str) -> None:
    lab = opened(robot)
    command = written_with_table(lab.protocol, lab.folder / "tables", (_offset(lab),))
    lab.assert_done_once(lab.run(command=command))
    (file,) = lab.robot.shelf.files.values()
    assert file.path.read_bytes() == command.tables[0].path.read_bytes()
    said = b"".join(chunk.data for path in lab.folder.glob("wire.log*") for chunk in read_log(path))
    assert f'"runTimeParameterFiles":{{"steps":"{file.id}"}}'.encode() in said
    assert b'"labwareOffsets":[{"definitionUri":"opentrons/corning_96_wellplate_360ul_flat/' in said
    (run,) = lab.robot.book.runs.values()
    assert run.to_json()["labwareOffsets"][0]["vector"] == {"x": 0.1, "y": 0.0, "z": -0.2}
    lab.restart()
    lab.device.submit(command, "k")
    lab.assert_done_once(lab.device.lookup("k"))
    assert lab.run("second", command).status is Status.DONE
    assert len(lab.robot.shelf.files) == 1, "the same table is the same file"


@pytest.mark.parametrize("which", ["table", "offsets"])
def test_a_table_or_offsets_changed_after_the_proof_are_refused(opened: Open, which: str) -> None:
    lab = opened()
    command = written_with_table(lab.protocol, lab.folder / "tables", (_offset(lab),))
    name = {"table": "load-0.csv", "offsets": "offsets.json"}[which]
    path = lab.folder / "tables" / name
    path.write_bytes(path.read_bytes().replace(b"1.25", b"1.26") if which == "table" else b"[]")
    report = lab.run(command=command)
    assert report.status is Status.FAILED
    assert f"{name} was changed after it was proven" in report.message
    assert lab.n_plays == 0
    assert not lab.robot.shelf.files or which == "offsets"


def test_a_table_of_another_load_is_found_by_the_robots_own_analysis(opened: Open) -> None:
    lab = opened()
    other = written_with_table(small_protocol("flex", 3), lab.folder / "other")
    command = replace(written_with_table(lab.protocol, lab.folder / "tables"), tables=other.tables)
    report = lab.run(command=command)
    assert report.status is Status.FAILED
    assert "the robot would do another thing than was planned" in report.message
    assert lab.n_plays == 0


def test_slow_analysis_is_waited_for(opened: Open) -> None:
    lab = opened()
    lab.robot.shelf.analysis_s = 0.4
    lab.assert_done_once(lab.run())


@pytest.mark.parametrize("which", [1, 3])
def test_a_tip_is_missing(opened: Open, which: int) -> None:
    lab = opened()
    lab.robot.mechanics.tips_to_miss = {which}
    report = lab.run()
    assert report.status is Status.FAILED
    assert report.result["transfers"] == lab.whole()[: which - 1]
    assert lab.given() == lab.planned(until=which - 1)
    assert "tipPhysicallyMissing" in report.message
    assert lab.device.inspect()["current_run"] is None


def test_the_door_is_opened_in_a_run_and_the_run_ends_after_it_was_closed(opened: Open) -> None:
    lab = opened()
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    lab.robot.set_door(is_open=True)
    lab.wait(lambda: any(run.status == "blocked-by-open-door" for run in _runs(lab)))
    assert lab.device.poll("k").status is Status.RUNNING
    lab.robot.set_door(is_open=False)
    _act(lab, "play")  # the person at the robot
    report = lab.finish()
    assert report.status is Status.DONE
    assert lab.given() == lab.planned()


def test_the_emergency_stop_in_a_run(opened: Open) -> None:
    lab = opened()
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    lab.robot.press_estop()
    report = lab.finish()
    assert report.status in (Status.FAILED, Status.UNKNOWN)
    lab.assert_honest(report)


def test_a_run_that_does_not_end_is_stopped(opened: Open) -> None:
    lab = opened(pace=replace(PACE, load_s=0.5), n=6)
    lab.robot.mechanics.command_s = 0.05
    report = lab.run()
    assert report.status is Status.FAILED
    assert "(stopped)" in report.message
    lab.assert_honest(report)


def test_power_lost_in_a_run_is_unknown(opened: Open) -> None:
    lab = opened()
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    lab.server.power_cycle()
    report = lab.finish()
    assert report.status is Status.UNKNOWN
    assert "look at the deck" in report.message.lower()
    lab.restart()
    lab.device.submit(lab.command, "k")
    assert lab.device.lookup("k").status is Status.UNKNOWN
    assert lab.n_plays == 1


def test_two_controllers_on_one_robot(opened: Open, tmp_path: Path) -> None:
    lab = opened()
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.n_plays)
    second = make("liquid-handler", {"url": lab.server.url, "robot": "flex", "patience_s": 0.3}, tmp_path / "second")
    second.submit(lab.command, "k")
    lab.wait(lambda: second.poll("k").status is not Status.RUNNING)
    assert "two controllers" in second.poll("k").message
    second.close()
    lab.assert_done_once(lab.finish())


def test_a_strangers_run_that_has_ended_is_no_obstacle(opened: Open) -> None:
    """The app keeps a stopped run current until somebody closes it; the robot lets another one replace it."""
    lab = opened()
    stranger = lab.robot.somebody_runs(None)  # not played: one of no commands ends by itself
    with lab.robot.lock:
        assert stranger.engine is not None
        stranger.engine.stop()
    lab.wait(lambda: stranger.to_json()["status"] == "stopped")
    assert lab.robot.book.current is stranger
    lab.assert_done_once(lab.run())


def test_another_labs_run_is_somebody_elses(opened: Open, tmp_path: Path) -> None:
    """On another machine no lock helps; the robot's current run does."""
    lab = opened()
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.n_plays)
    lab.wire.close()
    second = OpentronsLabOf(lab, tmp_path / "second")
    report = second.run()
    assert report.status is Status.FAILED
    assert "somebody else" in report.message
    second.device.close()
    lab.assert_done_once(lab.finish())


class OpentronsLabOf(OpentronsLab):
    """A second lab with the robot of another."""

    def __init__(self, other: OpentronsLab, folder: Path) -> None:
        self.folder, self.name, self.pace = folder, other.name, other.pace
        self.robot, self.server, self.protocol, self.command = other.robot, other.server, other.protocol, other.command
        self.open(is_exclusive=False)


def test_busy_and_foreign_commands(opened: Open) -> None:
    lab = opened()
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(lab.command, "other")
    lab.assert_done_once(lab.finish())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "http://h"}, "'robot' is missing"),
        ({"url": "http://h", "robot": "evo"}, "flex, ot2"),
        ({"url": "h", "robot": "flex"}, "url"),
        ({"url": "http://h", "robot": "flex", "load_s": -1}, "above 0"),
        ({"url": "http://h", "robot": "flex", "token": "x"}, "no option"),
        ({"url": "http://h", "robot": "flex", "offsets": "none.json"}, "offsets"),
    ],
)
def test_options(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        make("liquid-handler", options, tmp_path)
    with pytest.raises(SettingsError, match="liquid-handler"):
        make("imager", {"url": "http://h", "robot": "flex"}, tmp_path)


def _api(lab: OpentronsLab) -> OpentronsApi:
    return OpentronsApi(HttpWire(lab.server.url, headers=HEADERS, is_exclusive=False), PACE)


def _runs(lab: OpentronsLab) -> Any:
    return _api(lab).runs(Deadline.after(10)).runs


def _act(lab: OpentronsLab, action: str) -> None:
    api = _api(lab)
    api.act(api.runs(Deadline.after(10)).current, action, Deadline.after(10))
