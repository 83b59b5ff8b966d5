"""The Squid's driver on its emulator over HTTP: once for a key, with faults, killed at any request, and parsers."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import Fuse, Killed, burning
from squid_rig import PACE, SHOOT, SquidLab

from drivers import key_files, squid, squid_words, worker_memory
from drivers.http_wire import HttpWire
from drivers.ports import Report, Status
from drivers.wire import Garbled
from nextplate.errors import NeedsOperator, SettingsError, Transient
from nextplate.imaging.watch import inspect_plate
from sim.wire.faults import Fault, WireFault

pytestmark = pytest.mark.usefixtures("no_power_cuts")
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 16) if n != 4]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SquidLab]:
    lab = SquidLab(tmp_path)
    yield lab
    lab.close()


def believe(lab: SquidLab, report: Report) -> None:
    """Hold a report against the truth."""
    assert lab.runs() <= 1
    assert not lab.scope.violations
    assert not lab.emulator.gets
    if report.status is Status.DONE:
        stand = inspect_plate(lab.lab / report.result["folder"])
        assert (stand.state, stand.plate, stand.n_images) == ("whole", "P1", report.result["images"])
        assert lab.runs() == 1
    elif "nothing moved" in report.message or "nothing was imaged" in report.message:
        assert lab.runs() == 0


def test_a_plate_is_imaged_once_and_its_readout_is_handed_over(lab: SquidLab):
    for _ in range(3):
        lab.device.submit(SHOOT, "k")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(SHOOT, "other")
    report = lab.finish()
    assert report.status is Status.DONE, report
    believe(lab, report)
    lab.device.close()
    lab.open()
    lab.device.submit(SHOOT, "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    assert lab.runs() == 1
    assert lab.scope.place == "LOAD"
    assert {request.method for request in lab.server.requests} == {"POST"}
    seen = lab.device.inspect(5.0)
    assert (seen["up"], seen["idle"], seen["in loading position"]) == (True, True, True)


FORGED = b'{"value": {"interactive": true, "progress_bar_text": ""}, "log": []}'


def fault(kind: WireFault, nth: int = 1, match: str = "") -> Fault:
    return Fault(kind, nth, match=match, wait_s=0.05, data=FORGED if kind is WireFault.UNSOLICITED else b"")


@pytest.mark.parametrize("kind", list(WireFault))
@pytest.mark.parametrize("match", ['"acquire"', '"load_config"', '"status"'])
def test_a_fault_on_a_request(lab: SquidLab, kind: WireFault, match: str):
    lab.server.faults.add(fault(kind, 1, match))
    report = lab.run()
    if kind is not WireFault.GARBLED_REQUEST:  # another plate's name on the files; HTTP has its own checksums
        believe(lab, report)
    if match == '"acquire"' and kind in (WireFault.LOST_REPLY, WireFault.LATE_REPLY, WireFault.CUT_REPLY,
                                         WireFault.PORT_GONE):  # fmt: skip
        assert report.status is Status.DONE, report


@pytest.mark.parametrize("nth", [4, *LATER])
@pytest.mark.parametrize("kind", [kind for kind in WireFault if kind is not WireFault.GARBLED_REQUEST])
def test_a_fault_on_any_request(lab: SquidLab, kind: WireFault, nth: int):
    lab.server.faults.add(fault(kind, nth))
    believe(lab, lab.run())


def _lock(lab: SquidLab) -> None:
    lab.emulator.is_locked = True


def _busy(lab: SquidLab) -> None:
    lab.scope.phase = "RUNNING"


def _no_files(lab: SquidLab) -> None:
    lab.scope.writes_files = False


def _endless(lab: SquidLab) -> None:
    lab.scope.run_s = 1e9


@pytest.mark.parametrize(
    ("arrange", "status", "said"),
    [
        (_lock, Status.FAILED, "another client has the microscope"),
        (_busy, Status.FAILED, "busy with somebody else's work"),
        (_no_files, Status.FAILED, "no whole readout of P1"),
        (_endless, Status.UNKNOWN, "did not end within"),
        (lambda lab: lab.server.vanish(), Status.FAILED, "nothing moved"),
    ],
)
def test_a_microscope_that_fails(tmp_path: Path, arrange: Callable[[SquidLab], None], status: Status, said: str):
    lab = SquidLab(tmp_path, replace(PACE, run_s=0.6, folder_s=0.4, connect_s=0.6, stage_s=0.5))
    arrange(lab)
    report = lab.run()
    believe(lab, report)
    assert report.status is status, report
    assert said in report.message
    lab.close()


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_killed_at_any_moment_a_plate_is_imaged_once(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fuse = Fuse()
    monkeypatch.setattr(HttpWire, "request", burning(fuse, HttpWire.request))
    for module in (worker_memory, squid):
        monkeypatch.setattr(module, "write_whole", burning(fuse, key_files.write_whole))
    whole = SquidLab(tmp_path / "whole")
    whole.run()
    whole.close()
    n_all = min(fuse.n_moments, 60)
    for moment in range(1 + part, n_all + 2, 3):
        lab = SquidLab(tmp_path / f"{moment}")
        fuse.n_moments, fuse.at = 0, moment
        with suppress(Killed):
            lab.run()
        lab.wire.close()
        fuse.at = -1
        lab.open()
        if lab.device.lookup("k").status is Status.NOT_FOUND:
            lab.device.submit(SHOOT, "k")
        report = lab.finish()
        believe(lab, report)
        assert report.status is Status.DONE or (report.status is Status.UNKNOWN and lab.runs() == 0), (moment, report)
        lab.close()


def test_parsers_believe_only_what_is_of_the_protocol():
    rng = np.random.default_rng(1)
    good = [b'{"value": true, "log": []}', b'{"error": "x", "log": []}', FORGED, b'{"value": null}', b"[]", b"1"]
    n_good = 0
    for _ in range(10_000):
        text = bytearray(good[rng.integers(len(good))])
        for _ in range(rng.integers(0, 3)):
            text[rng.integers(len(text))] = rng.integers(256)
        try:
            body = json.loads(bytes(text))
        except (ValueError, RecursionError):
            continue
        for parse in (squid_words.value, squid_words.truth, squid_words.is_idle):
            try:
                parse(body, "q")
            except (Garbled, NeedsOperator, squid_words.Busy):
                continue
            n_good += 1
            assert isinstance(body, dict)
            assert "value" in body
            assert "error" not in body
    assert n_good > 100


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("shaker", {}, "driver 'squid' is for an imager"),
        ("imager", {"url": "http://h:1"}, "option 'config' is missing"),
        ("imager", {"url": "x", "config": "c", "project": "p", "watch": "."}, "option url"),
        ("imager", {"url": "http://h:1", "config": "c", "project": "p", "watch": ".", "machine": "a/b"}, "plain name"),
    ],
)
def test_a_wrong_option_is_named(kind: str, options: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        squid.make(kind, options, tmp_path)
    assert said in str(caught.value)
