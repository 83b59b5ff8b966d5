"""The work-list folder driver: one list per key, results of its own only, and what it says after a crash."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_files import echo_report
from worklist_rig import MAPPING, RobotSoftware, load_from, open_device

from drivers import worklist_folder
from drivers.ports import Status
from drivers.worklist_folder import make
from drivers.worklist_folder_memory import WorklistMemory
from nextplate.errors import NeedsOperator, SettingsError, Transient
from protocols.model import Protocol


def _shown(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "lab" / "out").iterdir() if not path.name.startswith("."))


def test_a_list_appears_whole_with_the_key_in_its_name(tmp_path: Path) -> None:
    open_device(tmp_path, "gwl").submit(load_from(tmp_path), "first.r0.run-0")
    assert _shown(tmp_path) == ["first.r0.run-0.gwl"]


def test_a_list_taken_away_is_never_written_again(tmp_path: Path) -> None:
    device = open_device(tmp_path)
    device.submit(load_from(tmp_path), "k")
    (tmp_path / "lab" / "out" / "k.csv").unlink()
    for again in (device, open_device(tmp_path)):
        again.submit(load_from(tmp_path), "k")
        assert _shown(tmp_path) == []
        assert again.lookup("k").status is Status.RUNNING


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["write", "remember", "rename", "never"])
def test_killed_at_any_step_one_list_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    device, command = open_device(tmp_path), load_from(tmp_path)

    def killed(*_: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        match step:
            case "write":
                patch.setattr(worklist_folder, "write_whole", killed)
            case "remember":
                patch.setattr(WorklistMemory, "remember", killed)
            case "rename":
                patch.setattr(worklist_folder.WorklistFolder, "_show", killed)
        if step == "never":
            device.submit(command, "k")
        else:
            with pytest.raises(_Killed):
                device.submit(command, "k")
    again = open_device(tmp_path)
    assert again.lookup("k").status is (Status.RUNNING if step == "never" else Status.NOT_FOUND)
    again.submit(command, "k")
    software = RobotSoftware(tmp_path / "lab", ".csv")
    software.work()
    again.submit(command, "k")
    software.work()
    assert software.effects() == 1
    assert again.lookup("k").status is Status.DONE


def test_a_result_that_goes_away_later_changes_nothing(tmp_path: Path) -> None:
    device = open_device(tmp_path)
    device.submit(load_from(tmp_path), "k")
    RobotSoftware(tmp_path / "lab", ".csv").work()
    report = device.poll("k")
    for path in (tmp_path / "lab" / "in").iterdir():
        path.unlink()
    assert open_device(tmp_path).lookup("k") == report
    assert report.status is Status.DONE


def _result(tmp_path: Path) -> Path:
    RobotSoftware(tmp_path / "lab", ".csv").work()
    (path,) = (tmp_path / "lab" / "in").iterdir()
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: raw.replace(b"P1", b"P2"), "other plates"),
        (lambda raw: raw.replace(b"SRC-001", b"SRC-002"), "other plates"),
        (lambda raw: raw[:-40], "cut"),
        (lambda raw: raw.replace(b",5,5,", b",4,4,"), "another plan"),
        (lambda raw: b"\x00" * 100, "control character"),
        (lambda raw: raw.replace(b"SRC-001,A3,P1,A4,5,5,ok\r\n", b""), "transfer 3"),
    ],
)
def test_what_is_no_result_of_the_list_is_never_done(tmp_path: Path, change: Any, says: str) -> None:
    device = open_device(tmp_path, settle_s=0)
    device.submit(load_from(tmp_path), "k")
    path = _result(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    report = device.poll("k")
    assert report.status is Status.UNKNOWN
    assert says in report.message


def test_a_half_written_result_is_waited_for(tmp_path: Path) -> None:
    device = open_device(tmp_path)
    device.submit(load_from(tmp_path), "k")
    path = _result(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert device.poll("k").status is Status.RUNNING
    path.write_bytes(whole)
    assert device.poll("k").status is Status.DONE


def test_patience_ends(tmp_path: Path) -> None:
    seconds = [0.0]
    device = open_device(tmp_path, patience_h=1.0)
    patient = worklist_folder.WorklistFolder(device._options, device._memory, lambda: seconds[0])
    patient.submit(load_from(tmp_path), "k")
    assert patient.poll("k").status is Status.RUNNING
    seconds[0] = 3_601.0
    assert "no result" in patient.poll("k").message
    RobotSoftware(tmp_path / "lab", ".csv").work()
    assert patient.poll("k").status is Status.DONE


def test_two_results_are_a_persons(tmp_path: Path) -> None:
    device = open_device(tmp_path)
    device.submit(load_from(tmp_path), "k")
    path = _result(tmp_path)
    path.with_name("k.csv").write_bytes(path.read_bytes())
    assert "2 results" in device.poll("k").message


def test_results_of_longer_names_are_left_to_them(tmp_path: Path) -> None:
    device = open_device(tmp_path)
    for key in ("k", "k.1", "k_2"):
        device.submit(load_from(tmp_path), key)
        RobotSoftware(tmp_path / "lab", ".csv").work()
        assert device.poll(key).status is Status.DONE


def test_a_result_before_its_list_is_refused(tmp_path: Path) -> None:
    device = open_device(tmp_path)
    (tmp_path / "lab" / "in" / "k.csv").write_text("x")
    with pytest.raises(NeedsOperator, match="before k was ever"):
        device.submit(load_from(tmp_path), "k")


def test_a_protocol_that_was_changed_is_refused(tmp_path: Path) -> None:
    command = load_from(tmp_path)
    with pytest.raises(NeedsOperator, match="not the one approved"):
        open_device(tmp_path).submit(replace(command, protocol_digest="0" * 64), "k")


def test_what_a_format_cannot_say_is_refused_with_the_well(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "e.toml").write_text("[echo]\ndroplet_nl = 25\n")
    device = make("liquid-handler", {"format": "echo", "out": "o", "in": "i", "mapping": "e.toml"}, tmp_path / "lab")
    command = load_from(tmp_path, is_sound=True)
    text = command.protocol_path.read_text().replace('"volume_nl":5000', '"volume_nl":5010', 1)
    command.protocol_path.write_text(text)
    with pytest.raises(NeedsOperator, match=r"into A03 of P1|into A02 of P1"):
        device.submit(replace(command, protocol_digest=Protocol.from_json(text).digest), "k")
    assert device.lookup("k").status is Status.NOT_FOUND


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "gwl", "out": "out"}, "'in' is missing"),
        ({"format": "xml", "out": "out", "in": "in"}, "allowed are gwl, echo, csv"),
        ({"format": "gwl", "out": "x", "in": "x"}, "one folder"),
        ({"format": "gwl", "out": "out", "in": "in", "mapping": "none.toml"}, "none.toml"),
        ({"format": "gwl", "out": "out", "in": "in", "patience_h": -1.0}, "patience_h"),
        ({"format": "gwl", "out": "out", "in": "in", "result": "pdf"}, "allowed are echo, table"),
        ({"format": "gwl", "out": "/nowhere/out", "in": "in"}, "there is no folder"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        make("liquid-handler", options, tmp_path)


def test_another_kind_and_another_lab_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="liquid-handler, not a imager"):
        make("imager", {}, tmp_path)
    open_device(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    options = {"format": "csv", "out": str(tmp_path / "lab" / "out"), "in": str(tmp_path / "lab" / "in")}
    with pytest.raises(SettingsError, match="belongs to another lab"):
        make("liquid-handler", options, other)


def test_a_busy_robot_takes_no_second_list(tmp_path: Path) -> None:
    device = open_device(tmp_path)
    device.submit(load_from(tmp_path), "k")
    with pytest.raises(Transient, match="busy with k"):
        device.submit(load_from(tmp_path), "other")
    assert MAPPING


ECHO = {"format": "echo", "out": "out", "in": "in", "settle_s": 0.0}


@pytest.mark.parametrize(
    ("faults", "skip", "status", "moved"),
    [
        ({}, frozenset(), Status.DONE, [5_000] * 6),
        ({2: ("0", "no liquid"), 4: ("2500", "low")}, frozenset(), Status.DONE, [5_000, 0, 5_000, 2_500, 5_000, 5_000]),
        ({2: ("0", "skipped")}, frozenset(), Status.DONE, [5_000, 0, *[5_000] * 4]),
        ({}, frozenset({3}), Status.UNKNOWN, [5_000] * 5),
        ({3: ("", "fault")}, frozenset(), Status.UNKNOWN, [5_000] * 5),
    ],
)
def test_an_echo_tells_its_exceptions(
    tmp_path: Path, faults: dict[int, tuple[str, str]], skip: frozenset[int], status: Status, moved: list[int]
) -> None:
    device, command = make("liquid-handler", ECHO, tmp_path), load_from(tmp_path, is_sound=True)
    device.submit(command, "first.r0.run-0")
    assert (tmp_path / "out" / "first.r0.run-0.csv").exists()
    report = echo_report(Protocol.from_json(command.protocol_path.read_text()), faults, skip)
    (tmp_path / "in" / "FIRST.R0.RUN-0_report.csv").write_bytes(report)
    told = device.poll("first.r0.run-0")
    assert told.status is status
    assert [nl for _, nl in told.result["transfers"]] == moved
    assert told.result["drawn"] == told.result["transfers"]


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_survived_and_are_never_done(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    device = open_device(folder, settle_s=0)
    device.submit(load_from(folder), "k")
    (folder / "lab" / "in" / "k.csv").write_bytes(raw)
    assert device.poll("k").status is Status.UNKNOWN
