"""The heartbeat on a real pipe; sd_notify on a real socket; the unit as systemd reads it."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from controller.nightly.pulse import PulseReader, PulseWriter
from controller.nightly.systemd import Notifier, unit_text


def test_pulses_arrive_in_order_and_once():
    mine, its = os.pipe()
    writer, reader = PulseWriter(its), PulseReader(mine)
    assert reader.read() == []
    writer.send("scan")
    writer.send("waiting", "µ" * 5000)
    writer.send("end", "bye", word="over")
    read = reader.read()
    assert [(p["n"], p["what"]) for p in read] == [(1, "scan"), (2, "waiting"), (3, "end")]
    assert read[1]["message"] == "µ" * 500
    os.write(its, b'{"n": 3, "what": "scan"}\nnot json\n[]\n{"n": 4, "what": "sc')
    assert reader.read() == [], "an old number, damage, and a line that is not whole"
    os.write(its, b'an"}\n')
    assert [p["n"] for p in reader.read()] == [4]
    os.close(its)
    assert reader.read() == []
    reader.close()


def test_a_keeper_that_does_not_read_or_is_gone_never_stops_the_night():
    mine, its = os.pipe()
    writer = PulseWriter(its)
    for _ in range(5000):
        writer.send("scan", "x" * 400)
    reader = PulseReader(mine)
    assert all(p["what"] == "scan" for p in reader.read()), "whole lines only"
    reader.close()
    writer.send("scan")
    os.close(its)


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_is_told(tmp_path: Path, kind: str):
    name = str(tmp_path / "notify") if kind == "path" else f"@nextplate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name if kind == "path" else "\0" + name[1:])
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())})
        notifier.say("READY=1", "STATUS=waits")
        assert systemd.recv(1000) == b"READY=1\nSTATUS=waits"
        assert notifier.watchdog_s == 60.0
    notifier.say("WATCHDOG=1")  # systemd is gone


@pytest.mark.parametrize("environment", [
    {}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, {"NOTIFY_SOCKET": ""},
])  # fmt: skip
def test_without_systemd_nothing_is_said(environment):
    notifier = Notifier(environment)
    assert notifier.watchdog_s is None
    notifier.say("READY=1")


def test_the_unit_names_lab_and_program_and_lets_nothing_else_be_written(tmp_path: Path):
    lab = tmp_path / "my lab 100%"
    lab.mkdir()
    text = unit_text(lab, 120, is_simulated=False)
    assert f"WorkingDirectory={tmp_path}/my lab 100%%\n" in text
    assert f'ReadWritePaths="{tmp_path}/my lab 100%%"\n' in text
    assert f"\nUser={lab.owner()}\n" in text
    for line in ("Type=notify", "ProtectSystem=strict", "NoNewPrivileges=yes", "KillMode=mixed", "TimeoutStopSec=150"):
        assert f"\n{line}\n" in text
    assert "DeviceAllow=char-ttyUSB rw" in text
    assert "PrivateDevices=yes" in unit_text(lab, 120, is_simulated=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("is_simulated", [True, False])
def test_systemd_accepts_the_unit(tmp_path: Path, is_simulated: bool):
    lab = tmp_path / "my lab"
    lab.mkdir()
    unit = tmp_path / "nextplate.service"
    unit.write_text(unit_text(lab, 120, is_simulated))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "nextplate.service" in line]
    assert ours == [], done.stderr
