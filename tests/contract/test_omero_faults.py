"""OMERO's driver with faults on any request, and killed at any moment."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from killing import Fuse, Killed, burning
from omero_rig import LINE, OPTIONS, SHOOT, OmeroLab, believe, opened, with_a_plate

from drivers import key_files, omero_take, omero_words, worker_memory
from drivers.deadline import Deadline
from drivers.http_wire import HttpWire
from drivers.omero_line import Account, OmeroLine
from drivers.ports import Report, Status
from nextplate.errors import Transient
from nextplate.imaging.watch import Due
from sim.wire.faults import Fault, WireFault
from sim.wire.http_server import HttpReply, HttpRequest

pytestmark = pytest.mark.usefixtures("no_power_cuts")
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 28) if n != 5]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[OmeroLab]:
    yield from with_a_plate(tmp_path)


# faults

LIE = b'{"data": [], "meta": {"offset": 0, "limit": 200, "maxLimit": 500, "totalCount": 0}}'


def fault(kind: WireFault, nth: int = 1, match: str = "") -> Fault:
    return Fault(kind, nth, match=match, wait_s=0.05, data=LIE if kind is WireFault.UNSOLICITED else b"")


HEARD = [kind for kind in WireFault if kind is not WireFault.GARBLED_REPLY]
"""A byte of a picture that is another has HTTP's own checks below it (TCP, TLS), and none of OMERO's."""


@pytest.mark.parametrize("kind", list(WireFault))
@pytest.mark.parametrize(
    "match", ["/token/", "/servers/", "/login/", "m/plates/[?]", "/wells/", "m/images/", "annot", "tiff"]
)
def test_a_fault_on_a_request(lab: OmeroLab, kind: WireFault, match: str):
    if kind is WireFault.GARBLED_REPLY and match == "tiff":
        lab.server.faults.add(Fault(kind, match=match, data=b"<html>a proxy</html>"))
    else:
        lab.server.faults.add(fault(kind, 1, match))
    report = lab.run()
    believe(lab, report)
    if match != "/login/" and kind is not WireFault.UNSOLICITED:
        assert report.status is not Status.FAILED or "nothing moved" in report.message, report
    if match in ("/wells/", "m/images/", "tiff"):
        assert report.status is Status.DONE, report


def test_a_list_that_lies_once_makes_no_old_plate_new(tmp_path: Path):
    lab = opened(tmp_path)
    lab.store.add_plate("P1")
    lab.server.faults.add(fault(WireFault.UNSOLICITED, 1, "m/plates/"))
    report = lab.run()
    assert report.status is Status.FAILED
    assert "only older plates of this name are there" in report.message
    believe(lab, report)
    lab.close()


@pytest.mark.parametrize("nth", [5, *LATER])
@pytest.mark.parametrize("kind", HEARD)
def test_a_fault_on_any_request(lab: OmeroLab, kind: WireFault, nth: int):
    lab.server.faults.add(fault(kind, nth))
    believe(lab, lab.run())


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (WireFault.REFUSED, b"502"),
        (WireFault.LOST_REPLY, b""),
        (WireFault.CUT_REPLY, b""),
        (WireFault.GARBLED_REPLY, b"{}"),
        (WireFault.GARBLED_REPLY, b'{"data": [{}], "meta": {"offset": 0, "totalCount": 1}}'),
        (WireFault.GARBLED_REPLY, b"\xff\xfe" * 1000),
    ],
)
def test_an_omero_that_only_fails_is_told_within_the_time(kind: WireFault, data: bytes, tmp_path: Path):
    lab = opened(tmp_path, line=replace(LINE, patience_s=0.3))
    lab.server.faults.add(Fault(kind, match="m/plates/", times=10**6, data=data, wait_s=0.01))
    began = time.monotonic()
    report = lab.run()
    assert report.status is Status.FAILED
    assert report.message.endswith("nothing moved")
    assert time.monotonic() - began < 10.0
    lab.close()


def test_an_omero_that_goes_away_while_a_plate_is_awaited_comes_back(lab: OmeroLab):
    lab.device.submit(SHOOT, "k")
    while not lab.imaged:
        lab.shoot("k")
    lab.server.power_cycle(0.3)
    believe(lab, report := lab.finish())
    assert report.status is Status.DONE


def test_a_flood_is_no_image(tmp_path: Path):
    lab = opened(tmp_path)
    lab.put("P1")
    handle = lab.emulator.handle

    def flood(request: HttpRequest) -> HttpReply:
        return HttpReply(200, b"\0" * 6_000_000) if "tiff" in request.path else handle(request)

    lab.emulator.handle = flood  # type: ignore[method-assign]
    report = lab.run()
    assert report.status is Status.FAILED, report
    assert "longer than" in report.message
    assert all(path.stat().st_size < 6_000_000 for path in lab.lab.rglob("*") if path.is_file())
    believe(lab, report)
    lab.close()


def test_every_call_ends_within_its_deadline(tmp_path: Path):
    lab = opened(tmp_path, line=replace(LINE, reply_s=0.2, patience_s=0.4))
    lab.server.faults.add(Fault(WireFault.LATE_REPLY, times=10**6, wait_s=1.0))
    line = OmeroLine(lab.wire, Account("lab", lambda: "x"), lab.line)
    for wait_s in (0.1, 0.3, 5.0):
        began = time.monotonic()
        with pytest.raises(Transient):
            line.get(omero_words.listed, "/api/v0/m/plates/?limit=1&offset=0", Deadline.after(wait_s))
        assert time.monotonic() - began < min(wait_s, 0.4) + 0.45
    for verb in (lab.device.poll, lambda key: lab.device.submit(SHOOT, key)):
        began = time.monotonic()
        verb("k")
        assert time.monotonic() - began < 0.2
    lab.close()


# killed

PARTS = [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 8))]


@pytest.mark.parametrize("part", PARTS)
def test_killed_at_any_moment_a_plate_is_taken_once(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fuse = Fuse()
    for module in (worker_memory, omero_take):
        monkeypatch.setattr(module, "write_whole", burning(fuse, key_files.write_whole))
    monkeypatch.setattr(HttpWire, "request", burning(fuse, HttpWire.request))
    monkeypatch.setattr(Path, "rename", burning(fuse, Path.rename))
    whole = _still(tmp_path / "whole")
    assert _imaged_at_once(whole).status is Status.DONE
    whole.close()
    n_all = min(fuse.n_moments, 160)
    assert n_all >= 100
    for moment in range(1 + part, n_all + 2, 8):
        lab = _still(tmp_path / f"{moment}")
        fuse.n_moments, fuse.at = 0, moment
        with suppress(Killed):
            _imaged_at_once(lab)
        lab.device.close()
        fuse.at = -1
        lab.open()
        if lab.device.lookup("k").status is Status.NOT_FOUND:
            lab.device.submit(SHOOT, "k")
        report = lab.finish()
        believe(lab, report)
        assert report.status is Status.DONE, (moment, report)
        assert len(lab.emulator.exports) <= 19, "what was brought whole is not brought again"
        lab.close()


def _still(folder: Path) -> OmeroLab:
    due = Due(frozenset({"A01", "A02"}), 9, 2)
    lab = OmeroLab(folder, options=replace(OPTIONS, due=due))
    lab.due = due
    lab.put("P1", image_s=0.0, n_fields=9)
    return lab


def _imaged_at_once(lab: OmeroLab) -> Report:
    """Run until the end, or until the worker dies."""
    lab.device.submit(SHOOT, "k")
    return lab.finish()
