"""OMERO's driver on its emulator over HTTP: what it takes, what not, and what only a person can settle."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from omero_rig import (
    DUE,
    OPTIONS,
    SHOOT,
    OmeroLab,
    believe,
    identical,
    nothing_outside,
    opened,
    with_a_plate,
)

from drivers import omero_take
from drivers.ports import AcquirePlate, Status
from nextplate.errors import Transient
from nextplate.imaging import open_readout
from nextplate.imaging.pixels import read_image
from nextplate.imaging.watch import Due, inspect_plate
from sim.wire.http_server import HttpReply, HttpRequest

pytestmark = pytest.mark.usefixtures("no_power_cuts")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[OmeroLab]:
    yield from with_a_plate(tmp_path)


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
    end = time.monotonic() + 60.0
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
