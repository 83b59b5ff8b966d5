"""OMERO's driver on its emulator over HTTP: what it takes and what not, with faults, killed at any request, parsers."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import Fuse, Killed, burning
from omero_rig import DUE, LINE, OPTIONS, PACE, OmeroLab, nothing_outside

from drivers import key_files, omero, omero_take, omero_words, worker_memory
from drivers.deadline import Deadline
from drivers.http_body import as_json
from drivers.http_wire import HttpWire
from drivers.omero_line import Account, OmeroLine
from drivers.omero_plate import Options
from drivers.ports import AcquirePlate, Report, Status
from drivers.wire import Garbled
from nextplate.errors import NeedsOperator, SettingsError, Transient
from nextplate.imaging import open_readout
from nextplate.imaging.pixels import read_image
from nextplate.imaging.watch import Due, check_taken, inspect_plate
from sim.wire.faults import Fault, WireFault
from sim.wire.http_server import HttpReply, HttpRequest

pytestmark = pytest.mark.usefixtures("no_power_cuts")
SHOOT = AcquirePlate("P1")
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 28) if n != 5]
BRISK = replace(PACE, timeout_s=0.6)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[OmeroLab]:
    lab = OmeroLab(tmp_path)
    lab.put("P1")
    yield lab
    lab.close()


def opened(folder: Path, **said: Any) -> OmeroLab:
    """Open a lab for a test that awaits no plate for long."""
    return OmeroLab(folder, **{"pace": BRISK, **said})


def believe(lab: OmeroLab, report: Report) -> None:
    """Hold a report, and all that lies in the lab, against the truth."""
    assert not lab.emulator.violations
    assert {r.method for r in lab.server.requests if not r.path.endswith("/login/")} <= {"GET"}
    assert lab.runs() <= 1
    for folder in lab.readouts():
        identical(lab, folder)
    if report.status is Status.DONE:
        folder = lab.lab / report.result["folder"]
        stand = inspect_plate(folder, lab.due, is_thorough=True)
        assert (stand.state, stand.plate, stand.n_images) == ("whole", "P1", report.result["images"]), stand.reasons
        assert lab.runs() == 1
        check_taken(folder)
    elif report.status is Status.FAILED:
        assert report.result == {"folder": "readouts/P1", "images": 0} or "nothing moved" in report.message
        assert lab.runs() == 0
    nothing_outside(lab)


def identical(lab: OmeroLab, folder: Path) -> None:
    """Hold every pixel that a reader gives against what was imaged."""
    plate = lab.imaged[-1] if lab.imaged else next(iter(lab.store.plates.values()))
    readout = open_readout(folder)
    stacks = {
        (f"{chr(65 + well.row)}{well.column + 1:02d}", n): image
        for well in plate.wells
        for n, image in enumerate(well.images, 1)
    }
    assert len(readout.images) == sum(len(image.channels) for image in stacks.values())
    for found in readout.images:
        truth = stacks[found.well, found.field]
        c = truth.channels.index(found.channel)
        assert np.array_equal(read_image(found), truth.stack[0, c, 0])


def test_a_plate_comes_with_its_pixels_and_key_values_and_their_origin(lab: OmeroLab):
    lab.put("P1", n_fields=3, channels=("DNA", "Actin", "ER"), dtype="uint8", wells=((0, 0), (7, 11), (1, 0)))
    lab.options = replace(OPTIONS, due=Due(frozenset({"A01", "B01", "H12"}), 3, 3))
    lab.due = lab.options.due
    lab.restart()
    lab.device.submit(SHOOT, "k")
    while not lab.imaged:
        lab.shoot("k")
    plate = lab.imaged[0]
    lab.store.annotate("PlateI", plate.id, ("Barcode", "P1"), ("Cell line", "U2OS µ"))
    lab.store.annotate("WellI", plate.wells[1].id, ("Compound", "<&\"'>"))
    lab.store.annotate("ImageI", plate.wells[0].images[2].id, ("focus", "1.5"))
    report = lab.finish()
    believe(lab, report)
    assert report.result == {"folder": "readouts/P1", "images": 27}
    origin = json.loads((lab.lab / "readouts/P1/omero.json").read_bytes())
    assert (origin["server"], origin["plate"]["id"], origin["user"]) == (lab.server.url, plate.id, "lab")
    told = {(n["on"], n["on_id"], n["well"]): n["values"] for n in origin["annotations"]}
    assert told == {
        ("plate", plate.id, None): [["Barcode", "P1"], ["Cell line", "U2OS µ"]],
        ("well", plate.wells[1].id, "H12"): [["Compound", "<&\"'>"]],
        ("image", plate.wells[0].images[2].id, None): [["focus", "1.5"]],
    }
    images = {image["image"]: image for image in origin["images"]}
    for well in plate.wells:
        for image in well.images:
            said = images[image.id]
            content = (lab.lab / "readouts/P1" / said["file"]).read_bytes()
            assert (said["bytes"], said["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
            assert said["url"] == f"{lab.server.url}/api/v0/m/images/{image.id}/"


def test_a_restart_takes_nothing_twice_and_a_busy_one_takes_no_other(lab: OmeroLab):
    for _ in range(3):
        lab.device.submit(SHOOT, "k")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(SHOOT, "other")
    report = lab.finish()
    believe(lab, report)
    n_exports = len(lab.emulator.exports)
    assert n_exports == 2
    lab.restart()
    lab.device.submit(SHOOT, "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    seen = lab.device.inspect(5.0)
    assert (seen["user"], seen["plates"]) == ("lab", 1)
    assert len(lab.emulator.exports) == n_exports


def test_two_readouts_of_one_barcode_lie_beside_each_other(lab: OmeroLab):
    assert lab.run().result["folder"] == "readouts/P1"
    lab.put("P1")
    assert lab.run("again").result["folder"] == "readouts/P1_2"
    identical(lab, lab.lab / "readouts/P1_2")


def test_no_secret_is_in_a_log_or_on_the_disk(lab: OmeroLab):
    believe(lab, lab.run())
    secrets = {lab.password.encode(), b"se+cret", b"se%20cret", *(s.encode() for s in lab.emulator._sessions)}
    for path in lab.folder.rglob("*"):
        if path.is_file():
            assert not [s for s in secrets if s in path.read_bytes()], path


def test_a_session_that_ends_is_opened_anew(lab: OmeroLab):
    handle, n = lab.emulator.handle, [0]

    def forgetful(request: HttpRequest) -> HttpReply:
        n[0] += 1
        if n[0] % 7 == 0:
            lab.emulator.forget_sessions()
        return handle(request)

    lab.emulator.handle = forgetful  # type: ignore[method-assign]
    believe(lab, report := lab.run())
    assert report.status is Status.DONE
    assert lab.emulator.n_logins >= 3


def test_an_export_that_lies_in_a_file_of_the_server_is_fetched_there(lab: OmeroLab):
    lab.emulator.has_temp_files = True
    believe(lab, report := lab.run())
    assert report.status is Status.DONE


def test_a_way_to_the_login_page_means_a_lost_session(lab: OmeroLab):
    handle, lost = lab.emulator.handle, [True]

    def page(request: HttpRequest) -> HttpReply:
        if request.path.startswith("/webgateway/") and lost:
            lost.clear()
            return HttpReply(302, b"", {"Location": "/webclient/login/?url=/webgateway/"})
        return handle(request)

    lab.emulator.handle = page  # type: ignore[method-assign]
    believe(lab, report := lab.run())
    assert report.status is Status.DONE
    assert lab.emulator.n_logins == 2


def test_a_way_to_another_server_is_not_followed(tmp_path: Path):
    lab = opened(tmp_path)
    lab.put("P1")
    handle = lab.emulator.handle

    def elsewhere(request: HttpRequest) -> HttpReply:
        if request.path.startswith("/webgateway/"):
            return HttpReply(302, b"", {"Location": "http://169.254.169.254/latest/meta-data"})
        return handle(request)

    lab.emulator.handle = elsewhere  # type: ignore[method-assign]
    report = lab.run()
    assert report.status is Status.UNKNOWN
    assert "no place of this url" in report.message
    believe(lab, report)
    lab.close()


def test_many_plates_and_wells_come_page_by_page(tmp_path: Path):
    wells = tuple((row, column) for row in range(8) for column in range(12))
    due = Due(frozenset(f"{chr(65 + r)}{c + 1:02d}" for r, c in wells), 1, 2)
    lab = OmeroLab(tmp_path, options=replace(OPTIONS, due=due))
    lab.due = due
    for n in range(450):
        lab.store.add_plate(f"X{n:04d}", wells=())
    lab.put("P1", wells=wells, image_s=0.001, shape=(4, 4))
    report = lab.run()
    believe(lab, report)
    assert report.result["images"] == 192
    assert {r.query["offset"][0] for r in lab.server.requests if r.path == "/api/v0/m/plates/"} == {"0", "200", "400"}
    lab.close()


# what is taken, and what is not


def _older(lab: OmeroLab) -> None:
    lab.store.add_plate("P1")


def _another(lab: OmeroLab) -> None:
    lab.put("P1", name="P10")


def _acquired_before(lab: OmeroLab) -> None:
    lab.put("P1", acquired_ms=int((datetime.now(UTC) - timedelta(hours=2)).timestamp() * 1000))


def _well_absent(lab: OmeroLab) -> None:
    lab.put("P1", wells=((0, 0),))


def _well_surplus(lab: OmeroLab) -> None:
    lab.put("P1", wells=((0, 0), (0, 1), (0, 2)))


def _channel_absent(lab: OmeroLab) -> None:
    lab.put("P1", channels=("DNA",))


def _never_ready(lab: OmeroLab) -> None:
    lab.put("P1", image_s=1e9)


def _in_another_group(lab: OmeroLab) -> None:
    lab.options = replace(lab.options, group="Screening")
    lab.restart()
    lab.put("P1", group=6)


def _in_no_screen(lab: OmeroLab) -> None:
    lab.store.add_screen("Ours")
    lab.options = replace(lab.options, screen="Ours")
    lab.restart()
    lab.put("P1", screens=(999,))


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        (_older, "only older plates of this name are there, not taken: 1001"),
        (_another, "no plate of this barcode is there"),
        (_acquired_before, "before it was asked for"),
        (_well_absent, "1 wells have no image: A02"),
        (_well_surplus, "1 wells are of no plate of 2: A03"),
        (_channel_absent, "it has 1 channels, 2 are due"),
        (_never_ready, "it holds no image yet"),
        (_in_another_group, "no plate of this barcode is there"),
        (_in_no_screen, "no plate of this barcode is there"),
    ],
)
def test_what_is_no_whole_readout_of_this_request_is_not_taken(
    arrange: Callable[[OmeroLab], None], said: str, tmp_path: Path
):
    lab = opened(tmp_path)
    arrange(lab)
    report = lab.run()
    believe(lab, report)
    assert report.status is Status.FAILED, report
    assert said in report.message
    assert "no whole readout of P1" in report.message
    lab.close()


def _twice(lab: OmeroLab) -> None:
    lab.imaged.append(lab.store.add_plate("P1"))


def _two_runs(lab: OmeroLab) -> None:
    lab.stage["P1"] = {"runs": (71, 72), "n_fields": 2}


def _floats(lab: OmeroLab) -> None:
    lab.stage["P1"] = {"dtype": "float32"}


def _wrong_password(lab: OmeroLab) -> None:
    lab.emulator.password = "changed"
    lab.emulator.forget_sessions()


def _too_large(lab: OmeroLab) -> None:
    lab.emulator.pyramids |= {
        image.id for plate in lab.store.plates.values() for w in plate.wells for image in w.images
    }


@pytest.mark.parametrize(
    ("begin", "then", "said"),
    [
        (None, _twice, "OMERO has 2 new plates of barcode P1: 1001 (P1) and 1006 (P1)"),
        (_two_runs, None, "plate 1001 holds 2 runs: 71, 72"),
        (_floats, None, "pixels of type float; nextplate reads uint8 and uint16"),
        (None, _wrong_password, "OMERO refuses user lab (403: Connection not available"),
        (None, _too_large, "render_ome_tiff/i/1003/ was answered 404"),
    ],
)
def test_what_only_a_person_can_settle_is_a_question(
    begin: Callable[[OmeroLab], None] | None, then: Callable[[OmeroLab], None] | None, said: str, lab: OmeroLab
):
    lab.emulator.time.run_at(0.0)
    if begin is not None:
        begin(lab)
    lab.device.submit(SHOOT, "k")
    while not lab.imaged:
        lab.shoot("k")
        time.sleep(0.001)
    if then is not None:
        then(lab)
    lab.emulator.time.run_at(100.0)
    report = lab.finish()
    assert report.status is Status.UNKNOWN, report
    assert said in report.message
    assert lab.runs() == 0
    words = Path(report.message.rpartition("into ")[2])
    words.write_text("give up\n", encoding="utf-8")
    end = time.monotonic() + 10.0
    while (report := lab.device.poll("k")).status is not Status.FAILED and time.monotonic() < end:
        time.sleep(0.002)
    assert report.message == "a person gave it up"
    believe(lab, report)


def test_a_person_names_the_plate(lab: OmeroLab):
    lab.emulator.time.run_at(0.0)
    lab.device.submit(SHOOT, "k")
    while not lab.imaged:
        lab.shoot("k")
    _twice(lab)
    lab.emulator.time.run_at(100.0)
    report = lab.finish()
    words = Path(report.message.rpartition("into ")[2])
    words.write_text("999", encoding="utf-8")
    while "999" not in (report := lab.device.poll("k")).message:
        time.sleep(0.002)
    assert "a person named the plate '999', which OMERO does not have here" in report.message
    words.write_text(str(lab.imaged[1].id), encoding="utf-8")
    while (report := lab.device.poll("k")).status is not Status.DONE:
        time.sleep(0.002)
    believe(lab, report)
    assert lab.emulator.exports == [image.id for well in lab.imaged[1].wells for image in well.images]


def test_a_question_that_settles_itself_is_asked_no_more(lab: OmeroLab):
    lab.emulator.time.run_at(0.0)
    lab.device.submit(SHOOT, "k")
    while not lab.imaged:
        lab.shoot("k")
    _twice(lab)
    lab.emulator.time.run_at(100.0)
    assert lab.finish().status is Status.UNKNOWN
    with lab.emulator.lock:
        del lab.store.plates[lab.imaged.pop().id]
    while (report := lab.device.poll("k")).status is not Status.DONE:
        time.sleep(0.002)
    believe(lab, report)


def test_an_annotation_may_hold_the_barcode_and_one_that_contradicts_the_name_is_told(lab: OmeroLab):
    lab.put("P1", name="2026-01-05_scan 7")
    lab.device.submit(SHOOT, "k")
    while not lab.imaged:
        lab.shoot("k")
    lab.store.annotate("PlateI", lab.imaged[0].id, ("Barcode", "P1"))
    believe(lab, report := lab.finish())
    assert report.status is Status.DONE
    lab.put("P3")
    lab.device.submit(AcquirePlate("P3"), "other")
    while len(lab.imaged) < 2:
        lab.shoot("other")
    lab.store.annotate("PlateI", lab.imaged[1].id, ("Barcode", "P4"))
    while (report := lab.device.poll("other")).status is Status.RUNNING:
        time.sleep(0.002)
    if report.status is Status.UNKNOWN:
        assert f"plate {lab.imaged[1].id} is named P3, and its annotation Barcode says P4" in report.message


def test_a_screen_and_a_group_are_known_by_name_and_by_number(tmp_path: Path):
    for n, (group, by_id) in enumerate((("Screening", False), ("5", True))):
        lab = OmeroLab(tmp_path / f"{n}")
        screen = lab.store.add_screen("Ours")
        lab.store.add_screen("Ours too")
        lab.options = replace(OPTIONS, group=group, screen=str(screen) if by_id else "Ours")
        lab.restart()
        lab.put("P1", screens=(screen,))
        believe(lab, report := lab.run())
        assert report.status is Status.DONE
        lab.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"group": "Nobody"}, "of the experimentergroups in OMERO, none is named 'Nobody'"),
        ({"screen": "Ours"}, "of the screens in OMERO, 2 ("),
    ],
)
def test_a_group_or_screen_that_is_not_one_is_told_at_once(options: dict[str, str], said: str, tmp_path: Path):
    lab = opened(tmp_path, options=replace(OPTIONS, **options))
    lab.store.add_screen("Ours")
    lab.store.add_screen("Ours")
    report = lab.run()
    assert report.status is Status.FAILED
    assert said in report.message
    assert report.message.endswith("nothing moved")
    lab.close()


def test_public_data_need_no_login(tmp_path: Path):
    lab = OmeroLab(tmp_path)
    lab.emulator.is_public, lab.user = True, ""
    lab.restart()
    lab.put("P1")
    believe(lab, report := lab.run())
    assert report.status is Status.DONE
    assert lab.emulator.n_logins == 0
    lab.close()


@pytest.mark.parametrize("barcode", ["../../escape", "/etc/passwd", "a/b", ".", "..", "P 1", "Ä\u202e1", "x" * 300])
def test_no_name_leads_out_of_the_lab(barcode: str, tmp_path: Path):
    lab = OmeroLab(tmp_path)
    lab.put(barcode, wells=((0, 0), (0, 1)))
    lab.device.submit(AcquirePlate(barcode), "k")
    while not lab.imaged:
        lab.shoot("k")
    for well in lab.imaged[0].wells:
        for image in well.images:
            image.name, image.channels = "../../../tmp/x\0\n<evil&>", ("../c", "../c")
    report = lab.finish()
    assert report.status is Status.DONE, report
    assert Path(report.result["folder"]).parts[0] == "readouts"
    assert inspect_plate(lab.lab / report.result["folder"], DUE).state == "whole"
    nothing_outside(lab)
    lab.close()


@pytest.mark.parametrize("barcode", ["", "  ", "a\0b"])
def test_a_barcode_that_is_none_is_refused(barcode: str, lab: OmeroLab):
    report = lab.run(barcode=barcode)
    assert report.status is Status.FAILED
    assert "a readout needs a barcode" in report.message


def test_a_stack_of_steps_keeps_its_order(lab: OmeroLab):
    lab.put("P1", n_z=3)
    report = lab.run()
    assert report.result["images"] == 12
    for z in (1, 2, 3):
        for found in open_readout(lab.lab / "readouts/P1", z=z).images:
            well = lab.imaged[0].wells[("A01", "A02").index(found.well)]
            c = ("DNA", "Reporter").index(found.channel)
            assert np.array_equal(read_image(found), well.images[0].stack[0, c, z - 1])


def test_a_full_disk_is_told_and_nothing_half_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lab = OmeroLab(tmp_path)
    lab.put("P1")
    monkeypatch.setattr(omero_take, "_SPARE", 10**18)
    report = lab.run()
    assert report.status is Status.UNKNOWN
    assert "are free" in report.message
    believe(lab, report)
    monkeypatch.setattr(omero_take, "_SPARE", 0)
    while (report := lab.device.poll("k")).status is not Status.DONE:
        time.sleep(0.002)
    believe(lab, report)
    lab.close()


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


# parsers

COUNT = pytest.mark.parametrize("n", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
READ: dict[str, Callable[[Any, str], Any]] = {
    "/api/v0/m/plates/?limit=5": omero_words.listed,
    "/api/v0/m/plates/{plate}/wells/": omero_words.listed,
    "/api/v0/m/images/{image}/": omero_words.image,
    "/webclient/api/annotations/?type=map&plate={plate}": omero_words.notes,
    "/api/v0/token/": omero_words.token,
    "/api/v0/servers/": lambda body, asked: omero_words.server_id(body, "", asked),
}


@COUNT
@pytest.mark.parametrize("target", list(READ))
def test_parsers_believe_only_what_is_of_the_api(target: str, n: int, lab: OmeroLab):
    lab.emulator.is_public = True
    plate = lab.store.add_plate("P1", n_fields=2, runs=(71,), acquired_ms=1_767_600_000_000)
    lab.store.annotate("PlateI", plate.id, ("Barcode", "P1"))
    path = target.format(plate=plate.id, image=plate.wells[0].images[0].id)
    good = lab.wire.request("GET", path, Deadline.after(5.0)).body
    read, rng, n_good, n_bad = READ[target], np.random.default_rng(1), 0, 0
    read(as_json(good, "q"), "q")
    for k in range(n):
        try:
            body = as_json(_mutated(good, rng) if k % 10 else rng.bytes(int(rng.integers(200))), "q")
            said = read(body, "q")
            if target.endswith("/wells/"):
                said = [omero_words.well(item, "q") for item in said.items]
            elif "plates" in target and "wells" not in target and isinstance(said, omero_words.Listed):
                said = [omero_words.plate(item, "q") for item in said.items]
        except (Garbled, NeedsOperator):
            n_bad += 1
            continue
        n_good += 1
        _plausible(said)
    assert n_good > n // 50
    assert n_bad > n // 10


def _mutated(good: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.5:
        text = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            text[rng.integers(len(text))] = rng.integers(256)
        return bytes(text[: rng.integers(len(text))]) if rng.random() < 0.2 else bytes(text)
    body = json.loads(good)
    holder: Any = body
    while True:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        if not keys:
            break
        key = keys[rng.integers(len(keys))]
        if isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.8:
            holder = holder[key]
            continue
        odd = (None, -1, 0, 2**70, True, "x", [], {}, 1.5, [[]], "\u202e", 10**9, [None])
        holder[key] = odd[rng.integers(len(odd))]
        break
    return json.dumps(body).encode()


def _plausible(said: Any) -> None:
    """Hold what was believed against what can be."""
    match said:
        case omero_words.Listed():
            assert said.total >= 0
            assert said.offset >= 0
        case omero_words.Image():
            assert said.id >= 1
            if said.kind is not None:
                assert min(said.kind.width, said.kind.height, said.kind.n_planes) >= 1
                assert len(set(said.kind.channels)) == len(said.kind.channels)
        case list():
            for each in said:
                assert each.id >= 1
                if isinstance(each, omero_words.Well):
                    assert 0 <= each.row < 32
                    assert 0 <= each.column < 48
        case tuple():
            for note in said:
                assert all(isinstance(text, str) for pair in note.values for text in pair)
        case str():
            assert said.isalnum()
        case _:
            assert isinstance(said, int)


# options


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("shaker", {}, "driver 'omero' is for an imager"),
        ("imager", {}, "option 'url' is missing"),
        ("imager", {"url": "ftp://h"}, "option url"),
        ("imager", {"url": "http://lab:pw@h"}, "belong in no settings"),
        ("imager", {"url": "http://h", "user": "lab"}, "password_env"),
        ("imager", {"url": "http://h", "user": "lab", "password_env": "A", "password_file": "b"}, "password_env"),
        ("imager", {"url": "http://h", "password_env": "A"}, "no user"),
        ("imager", {"url": "http://h", "password": "secret"}, "'password' is no option"),
        ("imager", {"url": "http://h", "wells": 97}, "option wells = 97"),
        ("imager", {"url": "http://h", "settle_s": -1.0}, "option settle_s"),
        ("imager", {"url": "http://h", "timeout_h": float("nan")}, "option timeout_h"),
    ],
)
def test_a_wrong_option_is_named(kind: str, options: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        omero.make(kind, options, tmp_path)
    assert said in str(caught.value)


def test_the_driver_is_made_from_a_table_of_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lab = OmeroLab(tmp_path)
    monkeypatch.setenv("OMERO_PASSWORD", lab.password)
    said = {"url": lab.server.url, "user": "lab", "password_env": "OMERO_PASSWORD", "group": "Screening", "wells": 96}
    device = omero.make("imager", said, lab.lab)
    assert device.inspect(5.0)["plates"] == 0
    monkeypatch.delenv("OMERO_PASSWORD")
    lab.emulator.forget_sessions()
    with pytest.raises(NeedsOperator, match="OMERO_PASSWORD"):
        device.inspect(5.0)
    device.close()
    lab.close()


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        ({"dtype": "float32"}, "pixels of type float"),
        ({"wells": ()}, "has the pixels of 0 of 0 images"),
        ({"image_s": 1e9}, "has the pixels of 0 of 0 images"),
        ({"shape": (400, 400)}, "option max_image_mb allows fewer"),
    ],
)
def test_a_plate_that_is_asked_for_by_number_is_whole_or_refused(arrange: dict[str, Any], said: str, tmp_path: Path):
    lab = OmeroLab(tmp_path)
    lab.emulator.is_public = True
    plate = lab.store.add_plate("P1", **arrange)
    device = omero.make("imager", {"url": lab.server.url, "max_image_mb": 0.1}, lab.lab)
    with pytest.raises(NeedsOperator, match=said):
        device.fetch(plate.id, 5.0)
    with pytest.raises(NeedsOperator, match="there is no plate 7 in OMERO that the public may see"):
        device.fetch(7, 5.0)
    assert lab.runs() == 0
    device.close()
    lab.close()


def test_a_password_file_that_others_may_read_is_not_read(tmp_path: Path):
    lab = OmeroLab(tmp_path)
    secret = lab.lab / "omero.password"
    secret.write_text(lab.password + "\n", encoding="utf-8")
    secret.chmod(0o644)
    device = omero.make("imager", {"url": lab.server.url, "user": "lab", "password_file": "omero.password"}, lab.lab)
    with pytest.raises(NeedsOperator, match="chmod 600"):
        device.inspect(5.0)
    secret.chmod(0o600)
    assert device.inspect(5.0)["user"] == "lab"
    device.close()
    lab.close()


def test_where_nothing_is_said_of_a_whole_plate_it_rests_longer():
    assert Options(settle_s=60.0).rest_s == 600.0
    assert replace(OPTIONS, settle_s=60.0).rest_s == 60.0
