"""The SiLA 2 bridge against a real SiLA 2 server in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sila_process
from sila_rig import MAPPINGS, SHARED, Hotel
from sila_server import HOTEL_UUID

from drivers.ports import (
    FetchPlate,
    Move,
    MovePlates,
    ReadBarcode,
    Report,
    ShakePlate,
    Status,
    StorePlate,
)
from drivers.sila import make
from drivers.worker import WorkerDevice
from drivers.worker_memory import Memory
from nextplate.errors import SettingsError, Transient

pytest.importorskip("sila2", reason="the extra sila (sila2) is not installed")
pytestmark = [
    pytest.mark.usefixtures("no_power_cuts"),
    # gRPC ends its own sockets late; the driver's are closed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def hotel(tmp_path: Path) -> Iterator[Hotel]:
    """One server for all tests, and a lab for each."""
    shared = SHARED.hotel()
    (shared.folder / "effects.log").unlink(missing_ok=True)
    shared.lab, shared.devices = tmp_path, []
    yield shared
    (shared.folder / "slow").unlink(missing_ok=True)
    for device in shared.devices:
        device.close()
    shared.devices = []


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Hotel]:
    """A server that the test may kill."""
    hotel = Hotel(tmp_path)
    yield hotel
    hotel.close()


def finish(device: WorkerDevice, key: str = "k") -> Report:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (report := device.poll(key)).status is not Status.RUNNING:
            return report
        time.sleep(0.01)
    raise AssertionError(f"{key} never ends")


def done(device: WorkerDevice, command: Any, key: str = "k") -> Report:
    device.submit(command, key)
    return finish(device, key)


def wait_for(hotel: Hotel, n_effects: int) -> None:
    end = time.monotonic() + 60
    while len(hotel.effects()) < n_effects:
        assert time.monotonic() < end
        time.sleep(0.01)


MOVES = MovePlates((Move("P1", "stack/new", "deck/A1"), Move("P2", "stack/new", "deck/A1")))


@pytest.mark.parametrize(
    ("kind", "command", "result", "effects"),
    [
        ("incubator", StorePlate("P1"), {"slot": "17"}, ["store P1"]),
        ("incubator", FetchPlate("P1"), {}, ["fetch P1"]),
        ("plate-mover", MOVES, {"moved": ["P1", "P2"]}, ["move P1 Stack1 to Nest7", "move P2 Stack1 to Nest7"]),
        ("shaker", ShakePlate("P1", 900, 3), {"shaken_s": 3}, ["shake 900 3"]),
        ("barcode-reader", ReadBarcode("P1"), {"barcode": "P1"}, []),
    ],
)
def test_a_command_of_the_port_is_one_of_the_server(
    hotel: Hotel, kind: str, command: Any, result: dict[str, Any], effects: list[str]
) -> None:
    device = hotel.device(kind)
    report = done(device, command)
    assert (report.status, report.result) == (Status.DONE, result), report
    device.submit(command, "k")
    assert (finish(device), device.lookup("k")) == (report, report)
    assert hotel.effects() == effects


@pytest.mark.parametrize(
    ("kind", "command", "said", "effects"),
    [
        ("incubator", StorePlate("STUCK"), "PlateStuck: it is stuck", 1),
        ("incubator", FetchPlate("STUCK"), "PlateStuck: it is stuck", 1),
        ("incubator", StorePlate("BUG"), "undefined error.*servo 7", 1),
        ("plate-mover", MovePlates((*MOVES.moves, Move("STUCK", "stack/new", "deck/A1"))), "PlateStuck", 3),
        ("plate-mover", MovePlates((Move("P1", "stack/new", "deck/D9"),)), "deck/D9", 0),
        ("barcode-reader", ReadBarcode("P2"), "read 'P1', expected 'P2'", 0),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_execution_error_is_failed_with_what_it_left(
    hotel: Hotel, kind: str, command: Any, said: str, effects: int
) -> None:
    report = done(hotel.device(kind), command)
    assert report.status is Status.FAILED
    assert len(hotel.effects()) == effects
    match = pytest.raises(AssertionError, match=said)
    with match:
        raise AssertionError(report.message)
    if kind == "incubator":
        assert report.result["state"] == {"plate on the gate": command.barcode}
    if effects == 3:
        assert report.result["moved"] == ["P1", "P2"]


def killed_process(hotel: Hotel, barcode: str, n_effects: int) -> None:
    """Have a process hand over a command, and kill it when the server has begun."""
    arguments = [sys.executable, sila_process.__file__, str(hotel.lab), str(hotel.port), barcode, "k"]
    hotel.device("incubator")
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": _path()})
    wait_for(hotel, n_effects)
    executions = hotel.lab / "logs" / "devices" / "incubator" / "executions"
    end = time.monotonic() + 60
    while not any('"execution": "' in p.read_text() for p in executions.glob("*.json")):
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def _path() -> str:
    return os.pathsep.join(p for p in sys.path if p)


@pytest.mark.parametrize(("barcode", "status"), [("P1", Status.DONE), ("STUCK", Status.FAILED)])
def test_a_killed_driver_finds_the_same_execution(hotel: Hotel, barcode: str, status: Status) -> None:
    hotel.hold()
    killed_process(hotel, barcode, 1)
    device = hotel.device("incubator")
    assert device.poll("k").status is Status.RUNNING
    with pytest.raises(Transient, match="busy"):
        device.submit(StorePlate("P9"), "other")
    hotel.release()
    assert finish(device).status is status
    device.submit(StorePlate(barcode), "k")
    assert finish(device).status is status
    assert hotel.effects() == [f"store {barcode}"]


def test_a_reply_that_never_told_the_execution_is_unknown(hotel: Hotel) -> None:
    hotel.hold()
    killed_process(hotel, "P1", 1)
    (record,) = (hotel.lab / "logs" / "devices" / "incubator" / "executions").glob("*.json")
    record.write_text('{"steps": [{"execution": null, "responses": null, "failure": ""}]}')
    device = hotel.device("incubator")
    device.poll("k")
    report = finish(device)
    assert report.status is Status.UNKNOWN
    assert "reply is lost" in report.message
    assert hotel.effects() == ["store P1"]


DONE_STEP = {"execution": None, "responses": {}, "failure": ""}


@pytest.mark.parametrize(
    ("steps", "status", "result", "said"),
    [
        ([], Status.NOT_FOUND, {}, ""),
        ([DONE_STEP], Status.FAILED, {"moved": ["P1"]}, "the rest was not sent"),
        ([DONE_STEP, {**DONE_STEP, "responses": None}], Status.UNKNOWN, {}, "reply is lost"),
        ([DONE_STEP, {**DONE_STEP, "responses": None, "failure": "stuck"}], Status.FAILED, {"moved": ["P1"]}, "stuck"),
        ([DONE_STEP, DONE_STEP], Status.DONE, {"moved": ["P1", "P2"]}, ""),
        ([DONE_STEP, DONE_STEP, DONE_STEP], Status.UNKNOWN, {}, "not of this command"),
        (
            [{**DONE_STEP, "responses": None, "execution": HOTEL_UUID}],
            Status.UNKNOWN,
            {},
            "does not know the execution",
        ),
    ],
)
def test_moves_that_a_killed_process_left_are_told_and_not_gone_on_with(
    hotel: Hotel, steps: list[dict[str, Any]], status: Status, result: dict[str, Any], said: str
) -> None:
    memory = Memory(hotel.lab / "logs" / "devices" / "plate-mover")
    memory.prepare()
    memory.ask("k", MOVES)
    memory.begin("k", {"ticket": "t"})
    if steps:
        (memory.place / "executions").mkdir()
        (memory.place / "executions" / "t.json").write_text(json.dumps({"steps": steps}))
    report = hotel.device("plate-mover").lookup("k")
    assert (report.status, report.result) == (status, result), report
    assert said in report.message
    assert hotel.effects() == []


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"steps": [{"execution": "x", "responses": null, "failure": ""}]}'])
def test_a_damaged_record_is_unknown(hotel: Hotel, damage: str) -> None:
    hotel.hold()
    killed_process(hotel, "P1", 1)
    (record,) = (hotel.lab / "logs" / "devices" / "incubator" / "executions").glob("*.json")
    record.write_text(damage)
    device = hotel.device("incubator")
    device.poll("k")
    assert finish(device).status is Status.UNKNOWN
    assert hotel.effects() == ["store P1"]


def test_a_server_that_lost_the_execution_is_unknown_and_sent_nothing_again(own: Hotel) -> None:
    own.hold()
    device = own.device("incubator", insecure=True, command_s=30.0)
    device.submit(StorePlate("P1"), "k")
    wait_for(own, 1)
    own.kill()
    own.start()
    report = finish(device)
    assert report.status is Status.UNKNOWN
    assert "does not know the execution" in report.message
    assert own.effects() == ["store P1"]


def test_an_execution_that_nobody_will_ever_know_of_is_settled_and_the_device_is_free(own: Hotel) -> None:
    own.hold()
    killed_process(own, "P1", 1)
    own.kill()
    own.start()
    device = own.device("incubator", insecure=True, command_s=30.0)
    device.poll("k")
    assert finish(device).status is Status.UNKNOWN
    own.release()
    assert done(device, StorePlate("P2"), "next").status is Status.DONE
    assert own.effects() == ["store P1", "store P2"]


def test_a_lost_connection_is_unknown_and_ends_in_time(own: Hotel) -> None:
    own.hold()
    device = own.device("incubator", insecure=True, command_s=5.0)
    device.submit(StorePlate("P1"), "k")
    wait_for(own, 1)
    own.kill()
    assert finish(device).status is Status.UNKNOWN
    # now it is away before anything is sent
    report = done(own.device("shaker", insecure=True, command_s=2.0, reply_s=1.0), ShakePlate("P1", 1, 1))
    assert report.status is Status.FAILED
    assert "nothing moved" in report.message


def test_a_server_that_hangs_is_given_up(own: Hotel) -> None:
    own.process.send_signal(signal.SIGSTOP)
    report = done(own.device("incubator", insecure=True, command_s=2.0, reply_s=0.5), StorePlate("P1"))
    own.process.send_signal(signal.SIGCONT)
    assert report.status is Status.FAILED
    assert "nothing moved" in report.message


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate, and is not installed")
def test_tls_and_the_right_server(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, "tls")
    try:
        (hotel.lab / "ca.pem").write_bytes((hotel.folder / "ca.pem").read_bytes())
        right = hotel.device("incubator", root_certificates="ca.pem", server_uuid=HOTEL_UUID)
        assert done(right, StorePlate("P1")).status is Status.DONE
        assert right.inspect()["ServerName"] == "hotel"
        wrong = hotel.device("shaker", root_certificates="ca.pem", server_uuid=HOTEL_UUID.replace("7", "8"))
        report = done(wrong, ShakePlate("P1", 1, 1))
        assert report.status is Status.FAILED
        assert "is 7b8b1d94" in report.message
        plain = hotel.device("barcode-reader", insecure=True, command_s=2.0)
        assert done(plain, ReadBarcode()).status is Status.FAILED
        assert hotel.effects() == ["store P1"]
    finally:
        hotel.close()


WRONG_MAPPINGS = {
    "no such feature": (
        '"PlateHotel"\n        command = "Store"',
        '"Garage"\n        command = "Store"',
        "no feature Garage",
    ),
    "no such command": ('"Store"', '"Put"', "no command Put"),
    "a missing parameter": (", Gate = 1", "", "Gate"),
    "a parameter too many": ("Gate = 1", "Gate = 1, Lid = true", "Lid"),
    "a value of another type": ("Gate = 1", 'Gate = "one"', "does not take"),
    "no such response": ('"Site"', '"Place"', "Place"),
}


@pytest.mark.parametrize("wrong", sorted(WRONG_MAPPINGS))
def test_a_mapping_that_the_server_does_not_know_moves_nothing(
    hotel: Hotel, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, said = WRONG_MAPPINGS[wrong]
    assert old in MAPPINGS["incubator"]
    monkeypatch.setitem(MAPPINGS, "incubator", MAPPINGS["incubator"].replace(old, new, 1))
    report = done(hotel.device("incubator"), StorePlate("P1"))
    assert report.status is Status.FAILED
    assert said in report.message
    assert "nothing moved" in report.message
    assert hotel.effects() == []


def test_inspect_reads_who_it_is_and_the_state(hotel: Hotel) -> None:
    found = hotel.device("incubator").inspect()
    assert found["ServerType"] == "Hotel"
    assert "plate on the gate" in found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"insecure": True, "address": "10.0.0.7"}, "this machine only"),
        ({}, "root_certificates"),
        ({"root_certificates": "none.pem"}, "none.pem"),
        ({"insecure": True, "root_certificates": "ca.pem"}, "leave one"),
        ({"insecure": True, "poll_s": 0.0}, "above 0"),
        ({"insecure": True, "port": 70000}, "port"),
        ({"insecure": True, "tls": True}, "'tls' is no option"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    (tmp_path / "hotel.toml").write_text(MAPPINGS["incubator"])
    with pytest.raises(SettingsError, match=said):
        make("incubator", {"address": "127.0.0.1", "port": 5, "mapping": "hotel.toml", **options}, tmp_path)
