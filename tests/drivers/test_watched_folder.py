"""The watched folder: which folder is a plate's readout, when it is taken, and what is put before a person."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watched_lab import SETTLE_S, WatchedLab, plate_files, set_times, write_image, write_plate

from drivers.ports import AcquirePlate, Status
from drivers.watched_folder import HANGS_S, make
from drivers.watched_look import belongs
from drivers.watched_options import read_options
from drivers.watched_take import Arriving, bring_in
from nextplate.errors import DataError, NeedsOperator, SettingsError, Transient
from nextplate.imaging import open_readout
from nextplate.imaging.watch import check_taken, take_inventory

BARCODE = "NP-0001"
LONG_S = 11 * SETTLE_S


@pytest.fixture
def lab(tmp_path: Path) -> WatchedLab:
    return WatchedLab(tmp_path / "lab")


def awaited(lab: WatchedLab, barcode: str = BARCODE, key: str = "k") -> WatchedLab:
    lab.device.submit(AcquirePlate(barcode), key)
    return lab


# When a plate is taken


def test_a_whole_plate_is_taken_after_it_has_rested(lab: WatchedLab):
    awaited(lab)
    assert lab.wait().status is Status.RUNNING
    folder = write_plate(lab.share / "NP-0001_2026-01-05", BARCODE)
    assert lab.wait(seconds=SETTLE_S - 20).status is Status.RUNNING
    report = lab.wait()
    assert (report.status, dict(report.result)) == (Status.DONE, {"folder": f"readouts/{BARCODE}", "images": 4})
    inside = lab.lab / report.result["folder"]
    assert inside.resolve() == folder.resolve()
    assert len(open_readout(inside).images) == 4
    check_taken(inside)


def test_a_file_that_grows_keeps_the_plate_from_being_taken(lab: WatchedLab):
    awaited(lab)
    folder = write_plate(lab.share / BARCODE, BARCODE)
    last = folder / plate_files(BARCODE)[-1]
    whole = last.read_bytes()
    for n in range(5):
        last.write_bytes(whole[: 20 + n])
        assert lab.wait(seconds=SETTLE_S - 10).status is Status.RUNNING
    last.write_bytes(whole)
    assert lab.wait(seconds=SETTLE_S + 20).status is Status.DONE


HALF: dict[str, Any] = {
    "an image is absent": lambda f: (f / plate_files(BARCODE)[0]).unlink(),
    "an image is empty": lambda f: (f / plate_files(BARCODE)[1]).write_bytes(b""),
    "an image is cut short": lambda f: os.truncate(f / plate_files(BARCODE)[2], 150),
    "an image is no image": lambda f: (f / plate_files(BARCODE)[2]).write_bytes(b"x" * 999),
    "a well is absent": lambda f: [(f / n).unlink() for n in plate_files(BARCODE)[:2]],
    "the HTD has no end": lambda f: os.truncate(f / f"{BARCODE}.HTD", (f / f"{BARCODE}.HTD").stat().st_size - 12),
    "the HTD is half there": lambda f: os.truncate(f / f"{BARCODE}.HTD", 60),
    "the HTD is not there": lambda f: (f / f"{BARCODE}.HTD").unlink(),
    "a copy is under way": lambda f: (f / "TimePoint_1" / "x.TIF.part").write_bytes(b""),
    "rsync is under way": lambda f: (f / "TimePoint_1" / f".{BARCODE}_A02_s1_w2.TIF.aB3dE6").write_bytes(b"II"),
    "an image leads out": lambda f: _link_out(f / plate_files(BARCODE)[0]),
}


def _link_out(path: Path) -> None:
    outside = path.parents[3] / "outside.TIF"
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("what", HALF)
def test_half_a_plate_is_never_taken_and_the_end_says_why(tmp_path: Path, what: str):
    lab = awaited(WatchedLab(tmp_path / "lab", timeout_h=1.0))
    whole = write_plate(tmp_path / "whole", BARCODE)
    spoiled = write_plate(lab.share / BARCODE, BARCODE)
    HALF[what](spoiled)
    report = lab.wait(seconds=3600 + SETTLE_S, step=30)
    assert report.status is Status.FAILED, what
    assert f"no whole readout of {BARCODE} in 1 h: {BARCODE}: " in report.message
    assert dict(report.result) == {"folder": f"readouts/{BARCODE}", "images": 0}
    assert not list((lab.lab / "readouts").glob("*")) if (lab.lab / "readouts").exists() else True
    assert whole.exists()


def test_an_incomplete_plate_is_taken_late_where_the_lab_says_so(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab", incomplete="take"))
    HALF["a well is absent"](write_plate(lab.share / BARCODE, BARCODE))
    assert lab.wait(seconds=LONG_S - 2 * SETTLE_S).status is Status.RUNNING
    report = lab.wait(seconds=3 * SETTLE_S)
    assert (report.status, report.result["images"]) == (Status.DONE, 2)


def test_a_channel_that_no_well_has_is_waited_for_longer(lab: WatchedLab):
    awaited(lab)
    folder = write_plate(lab.share / BARCODE, BARCODE)
    for name in plate_files(BARCODE, waves=[2]):
        (folder / name).unlink()
    assert lab.wait(seconds=5 * SETTLE_S).status is Status.RUNNING
    assert lab.wait(seconds=6 * SETTLE_S).status is Status.DONE


def test_a_format_that_does_not_say_its_wells_needs_them_from_the_options(tmp_path: Path):
    names = [f"{row}{column}_01_1_1_DAPI_001.tif" for row in "ABCDEFGH" for column in range(1, 13)]
    for wells, status in ((None, Status.FAILED), (96, Status.DONE), (384, Status.FAILED)):
        options = {} if wells is None else {"wells": wells}
        lab = awaited(WatchedLab(tmp_path / f"lab-{wells}", timeout_h=1.0, **options))
        for name in names:
            write_image(lab.share / BARCODE / name)
        report = lab.wait(seconds=3700, step=30)
        assert report.status is status
        if status is Status.FAILED:
            assert "wells = 96" in report.message or "288 images are not there" in report.message


# Which folder


@pytest.mark.parametrize(
    ("name", "barcode", "is_it"),
    [
        ("NP-0001", "NP-0001", True),
        ("np-0001", "NP-0001", True),
        ("2026-01-05_NP-0001_run7", "NP-0001", True),
        ("NP-00012", "NP-0001", False),
        ("XNP-0001", "NP-0001", False),
        ("NP-0001", "NP-000", False),
        ("P10", "P1", False),
        ("P1.10x", "P1", True),
        ("a_b", "a/b", True),
        ("x.y", "xzy", False),
        ("a+b (2)", "a+b", True),
        ("Pl\u00e4ttchen", "Pla\u0308ttchen", True),
        ("[P1]*", "P1]*", True),
    ],
)
def test_a_name_holds_a_barcode_as_a_whole_word(tmp_path: Path, name: str, barcode: str, is_it: bool):
    assert belongs(read_options({"watch": str(tmp_path)}, tmp_path), name, barcode) is is_it


@given(st.text(min_size=1, max_size=40).filter(lambda t: "\0" not in t))
def test_any_barcode_is_found_in_its_own_name_and_needs_no_regular_expression(barcode: str):
    options = read_options({"watch": "/"}, Path("/"))
    belongs(options, f"x {barcode} y", barcode)
    if barcode.strip() and "/" not in barcode:
        assert belongs(options, f"x {barcode.strip()} y", barcode) or not barcode.strip().isprintable()


@pytest.mark.parametrize(
    "barcode", ["NP 1/2", "../../etc", "a\nb", "Plättchen", "%41", ".hidden", "x" * 300, "-rf", "\ud800"]
)
def test_a_barcode_of_odd_characters_never_leaves_the_readouts(lab: WatchedLab, barcode: str):
    awaited(lab, barcode)
    folder = write_plate(lab.share / "odd", "odd")
    (folder / "barcode.txt").write_bytes(barcode.strip().encode("utf-8", "surrogatepass"))
    report = lab.wait(seconds=LONG_S)
    if barcode == "\ud800":  # no file can say that
        assert report.status is Status.RUNNING
        return
    assert report.status is Status.DONE
    (made,) = [p for p in (lab.lab / "readouts").iterdir() if p.is_symlink()]
    assert (lab.lab / report.result["folder"]) == made
    assert json.dumps(report.result).isascii()


def test_the_microscopes_own_description_names_the_plate_too(lab: WatchedLab):
    awaited(lab)
    write_plate(lab.share / "Acquisition 17", BARCODE)
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE


def test_another_plates_folder_is_left_alone(lab: WatchedLab):
    awaited(lab)
    write_plate(lab.share / "NP-0002", "NP-0002")
    assert lab.wait(seconds=LONG_S).status is Status.RUNNING


def test_barcode_txt_and_the_pattern_overrule_the_name(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab", barcode_pattern=r".*_(?P<barcode>[^_]+)"))
    write_plate(lab.share / "NP-0001_NP-0002", "a")
    (write_plate(lab.share / "x_NP-0001", "b") / "barcode.txt").write_text("NP-0003\n")
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.RUNNING
    write_plate(lab.share / "NP-0002_NP-0001", "c")
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE


def test_plates_deeper_down_are_found_where_depth_says(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab", depth=3))
    write_plate(lab.share / "NP-0001" / "2026" / "run", BARCODE)
    assert lab.wait(seconds=LONG_S).status is Status.DONE


def test_a_link_in_the_watched_folder_is_not_followed(lab: WatchedLab, tmp_path: Path):
    awaited(lab)
    (lab.share / BARCODE).symlink_to(write_plate(tmp_path / "elsewhere", BARCODE))
    assert lab.wait(seconds=LONG_S).status is Status.RUNNING


# Older readouts, and several


def test_an_older_readout_does_not_pass_for_this_one(tmp_path: Path):
    lab = WatchedLab(tmp_path / "lab", timeout_h=1.0)
    write_plate(lab.share / BARCODE, BARCODE)
    awaited(lab)
    report = lab.wait(seconds=3700, step=30)
    assert report.status is Status.FAILED
    assert f"there before it was asked for, so not taken: {BARCODE}" in report.message


def test_an_older_readout_is_taken_where_the_lab_or_a_person_says_so(tmp_path: Path):
    lab = WatchedLab(tmp_path / "lab", older="take")
    write_plate(lab.share / BARCODE, BARCODE)
    assert awaited(lab).wait(seconds=2 * SETTLE_S).status is Status.DONE
    lab = WatchedLab(tmp_path / "other")
    write_plate(lab.share / BARCODE, BARCODE)
    awaited(lab)
    (lab.lab / "logs" / "watched-folder" / "words" / "k.txt").write_text(f"{BARCODE}/\n")
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE


def test_an_older_readout_that_grows_by_new_images_still_does_not_pass(lab: WatchedLab):
    folder = write_plate(lab.share / BARCODE, BARCODE)
    set_times(folder, 1_000_000.0)
    awaited(lab)
    write_image(folder / plate_files(BARCODE)[0], 9)
    assert lab.wait(seconds=LONG_S).status is Status.RUNNING
    write_plate(folder, BARCODE)
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE, "every file is newer than the newest before"


def test_an_empty_folder_made_before_the_request_is_no_readout_yet(lab: WatchedLab):
    (lab.share / BARCODE).mkdir()
    awaited(lab)
    write_plate(lab.share / BARCODE, BARCODE)
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE


def test_of_two_whole_readouts_a_person_says_which(lab: WatchedLab):
    awaited(lab)
    for name in ("NP-0001 first", "NP-0001 again"):
        write_plate(lab.share / name, BARCODE)
    report = lab.wait(seconds=2 * SETTLE_S)
    assert report.status is Status.UNKNOWN
    words = lab.lab / "logs" / "watched-folder" / "words" / "k.txt"
    assert report.message.endswith(f"write the name of the one to take into {words}")
    assert "2 folders hold a whole readout of this plate: NP-0001 again (4 images), NP-0001 first" in report.message
    words.write_text("nothing like it\n")
    assert "which is not in" in lab.wait().message
    words.write_text("NP-0001 again\n")
    report = lab.wait(seconds=2 * SETTLE_S)
    assert (lab.lab / report.result["folder"]).resolve() == (lab.share / "NP-0001 again").resolve()


def test_folders_of_any_name_are_told_in_words_that_can_be_kept(lab: WatchedLab):
    awaited(lab)
    for name in (b"NP-0001 \xff\xfe", b"NP-0001 \x1b[31m"):
        write_plate(lab.share / os.fsdecode(name), BARCODE)
    message = lab.wait(seconds=2 * SETTLE_S).message
    assert message.isprintable()
    assert "2 folders hold a whole readout" in message.encode().decode()
    (lab.lab / "logs" / "watched-folder" / "words" / "k.txt").write_text("give up")
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.FAILED


def test_of_two_whole_readouts_the_newest_where_the_lab_says_so(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab", several="newest"))
    for n, name in enumerate(("NP-0001 b", "NP-0001 a")):
        set_times(write_plate(lab.share / name, BARCODE), 2e9 + n)
    report = lab.wait(seconds=2 * SETTLE_S)
    assert (lab.lab / report.result["folder"]).resolve() == (lab.share / "NP-0001 a").resolve()


def test_an_aborted_try_beside_a_whole_readout_does_not_matter_once_it_rests(lab: WatchedLab):
    awaited(lab)
    write_plate(lab.share / "NP-0001 aborted", BARCODE, htd=False)
    write_plate(lab.share / "NP-0001 whole", BARCODE)
    assert lab.wait(seconds=5 * SETTLE_S).status is Status.RUNNING
    report = lab.wait(seconds=6 * SETTLE_S)
    assert (lab.lab / report.result["folder"]).resolve() == (lab.share / "NP-0001 whole").resolve()


def test_a_second_readout_of_a_plate_gets_a_name_of_its_own(lab: WatchedLab):
    awaited(lab)
    write_plate(lab.share / "NP-0001 a", BARCODE)
    assert lab.wait(seconds=2 * SETTLE_S).result["folder"] == "readouts/NP-0001"
    awaited(lab, key="again")
    assert lab.wait("again", seconds=2 * SETTLE_S).status is Status.RUNNING
    write_plate(lab.share / "NP-0001 b", BARCODE)
    assert lab.wait("again", seconds=2 * SETTLE_S).result["folder"] == "readouts/NP-0001_2"


def test_a_plate_that_comes_after_its_try_failed_serves_the_next_try(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab", timeout_h=1.0))
    assert lab.wait(seconds=3700, step=60).status is Status.FAILED
    write_plate(lab.share / BARCODE, BARCODE)
    awaited(lab, key="again")
    assert lab.wait("again", seconds=2 * SETTLE_S).status is Status.DONE


# What changes, vanishes, or goes wrong afterwards


def test_a_plate_that_gets_more_images_after_it_was_taken_is_told_and_not_measured(lab: WatchedLab):
    awaited(lab)
    folder = write_plate(lab.share / BARCODE, BARCODE)
    inside = lab.lab / lab.wait(seconds=2 * SETTLE_S).result["folder"]
    write_image(folder / "TimePoint_1" / f"{BARCODE}_A03_s1_w1.TIF")
    lab.reopen()
    report = lab.device.lookup("k")
    assert report.status is Status.UNKNOWN
    assert "changed after it was taken at 2026-01-05" in report.message
    assert "it held 5 files and holds 6 now" in report.message
    with pytest.raises(DataError, match=r"to measure it as it is now delete .*NP-0001\.taken\.json"):
        check_taken(inside)
    inside.with_name("NP-0001.taken.json").unlink()
    check_taken(inside)


def test_an_image_that_comes_while_the_plate_is_linked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "lab").mkdir()
    source = write_plate(tmp_path / "share" / BARCODE, BARCODE)
    readout = Arriving(source, take_inventory(source), BARCODE, is_copied=False)

    def linked(place: Path, target: Path) -> bool:
        write_image(place / "late.TIF")
        target.symlink_to(place, target_is_directory=True)
        return True

    monkeypatch.setattr("drivers.watched_take._linked", linked)
    folder = bring_in(readout, tmp_path / "lab", lambda: None)
    with pytest.raises(DataError, match="changed after it was taken: it held 5 files and holds 6 now"):
        check_taken(tmp_path / "lab" / folder)


def test_clutter_of_desktops_is_no_change(lab: WatchedLab):
    awaited(lab)
    folder = write_plate(lab.share / BARCODE, BARCODE)
    lab.wait(seconds=2 * SETTLE_S)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", f"._{BARCODE}.HTD"):
        (folder / name).write_bytes(b"x")
    assert lab.device.lookup("k").status is Status.DONE


def test_a_share_that_vanishes_and_comes_back(lab: WatchedLab, tmp_path: Path):
    awaited(lab)
    folder = write_plate(lab.share / BARCODE, BARCODE)
    lab.wait(seconds=SETTLE_S / 2)
    lab.share.rename(tmp_path / "away")
    assert lab.wait(seconds=HANGS_S - 20).status is Status.RUNNING
    report = lab.wait(seconds=60)
    assert report.status is Status.UNKNOWN
    assert "is the share mounted?" in report.message
    assert "No such file" in report.message
    with pytest.raises(Transient, match="is the share mounted"):
        lab.device.submit(AcquirePlate("NP-0002"), "other")
    (tmp_path / "away").rename(lab.share)
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE
    assert folder.exists()


def test_an_empty_mount_point_is_no_share_without_plates(lab: WatchedLab, tmp_path: Path):
    awaited(lab)
    folder = write_plate(lab.share / BARCODE, BARCODE)
    report = lab.wait(seconds=2 * SETTLE_S)
    lab.share.rename(tmp_path / "away")
    lab.share.mkdir()
    lab.reopen()
    assert lab.device.lookup("k") == report, "what was taken was taken"
    with pytest.raises(DataError, match="is not there any more"):
        check_taken(lab.lab / report.result["folder"])
    assert not folder.exists()


def test_a_share_that_hangs_is_told_and_holds_nobody_up(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab"))
    lab.device._run = lambda function: None  # a thread that never comes back
    assert lab.wait(seconds=HANGS_S + 20).status is Status.UNKNOWN
    assert "does not answer" in lab.device.poll("k").message


def test_a_copy_is_whole_verified_and_survives_its_source(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab", copy=True))
    folder = write_plate(lab.share / BARCODE, BARCODE)
    report = lab.wait(seconds=2 * SETTLE_S)
    inside = lab.lab / report.result["folder"]
    assert not inside.is_symlink()
    held = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p.relative_to(inside): p.read_bytes() for p in inside.rglob("*") if p.is_file()} == held
    folder.rename(tmp_path / "archived")
    lab.reopen()
    assert lab.device.lookup("k").status is Status.DONE
    check_taken(inside)


def test_a_copy_that_was_cut_off_leaves_nothing_and_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lab = awaited(WatchedLab(tmp_path / "lab", copy=True))
    write_plate(lab.share / BARCODE, BARCODE)
    real = __import__("shutil").copystat
    left = [3]

    def full(source: Any, target: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr("drivers.watched_take.shutil.copystat", full)
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE
    assert left[0] < 0, "the first copy was cut off"
    assert sorted(p.name for p in (lab.lab / "readouts").iterdir()) == [
        BARCODE,
        f"{BARCODE}.from",
        f"{BARCODE}.taken.json",
    ]


def test_a_microscope_that_writes_into_the_lab_needs_no_link(tmp_path: Path):
    (tmp_path / "lab" / "readouts").mkdir(parents=True)
    lab = awaited(WatchedLab(tmp_path / "lab", watch="readouts"))
    write_plate(tmp_path / "lab" / "readouts" / BARCODE, BARCODE)
    assert lab.wait(seconds=2 * SETTLE_S).result["folder"] == f"readouts/{BARCODE}"
    assert not (tmp_path / "lab" / "readouts" / BARCODE).is_symlink()


# Orders, words, memory


def test_an_order_is_handed_over_once_wherever_the_process_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    orders = tmp_path / "orders"
    orders.mkdir()
    lab = WatchedLab(tmp_path / "lab", orders=str(orders))
    monkeypatch.setattr(lab.device, "_begin_look", lambda *_, **__: None)  # dies before the order is renamed
    awaited(lab)
    assert not list(orders.glob("[!.]*"))
    lab.reopen()
    lab.device.lookup("k")
    (order,) = orders.glob("*.json")
    assert json.loads(order.read_bytes())["barcode"] == BARCODE
    order.unlink()  # the microscope's software took it
    lab.reopen()
    awaited(lab)
    lab.wait(seconds=LONG_S)
    assert not list(orders.iterdir())


def test_a_person_may_give_a_plate_up(lab: WatchedLab):
    awaited(lab)
    with pytest.raises(Transient, match=r"awaits k; to end that write 'give up' into .*k\.txt"):
        lab.device.submit(AcquirePlate("NP-0002"), "other")
    (lab.lab / "logs" / "watched-folder" / "words" / "k.txt").write_text("give up\n")
    lab.seconds += 60
    lab.device.submit(AcquirePlate("NP-0002"), "other")
    assert "a person gave it up" in lab.device.poll("k").message


@pytest.mark.parametrize("spoil", [b"", b"{}", b"[]", b'{"key": 7}', b"[" * 100_000])
def test_a_memory_that_was_damaged_is_unknown_not_absent(lab: WatchedLab, spoil: bytes):
    awaited(lab)
    (lab.lab / "logs" / "watched-folder" / "asked" / "k.json").write_bytes(spoil)
    lab.reopen()
    assert lab.device.lookup("k").status is lab.device.poll("k").status is Status.UNKNOWN
    awaited(lab)
    assert lab.device.lookup("k").status is Status.UNKNOWN, "it is not written anew"


@pytest.mark.parametrize("barcode", ["", "  ", "a\0b"])
def test_a_plate_without_a_barcode_cannot_be_awaited(lab: WatchedLab, barcode: str):
    with pytest.raises(NeedsOperator, match="needs a barcode"):
        awaited(lab, barcode)


def test_time_that_passes_while_nobody_looks_does_not_fail_a_plate_that_came(tmp_path: Path):
    lab = awaited(WatchedLab(tmp_path / "lab", timeout_h=1.0))
    write_plate(lab.share / BARCODE, BARCODE)
    lab.seconds += 20 * 3600
    lab.reopen()
    assert lab.device.lookup("k").status is Status.RUNNING
    assert lab.wait(seconds=2 * SETTLE_S).status is Status.DONE


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "option 'watch' is missing"),
    ({"watch": "nowhere"}, "there is no folder .*nowhere to watch; mount its share"),
    ({"watch": ".", "settle_s": 0}, "settle_s = 0 should be a number above 0"),
    ({"watch": ".", "settle_s": float("nan")}, "settle_s = nan should be"),
    ({"watch": ".", "depth": 9}, "depth = 9 should be 1 to 4"),
    ({"watch": ".", "wells": 95}, "wells = 95 should be 6, 12, 24, 48, 96, 384, 1536"),
    ({"watch": ".", "reader": "zeiss"}, "reader = 'zeiss' should be one of imagexpress, harmony"),
    ({"watch": ".", "pattern": "("}, "is no regular expression"),
    ({"watch": ".", "barcode_pattern": "x"}, r"has no group \(\?P<barcode>"),
    ({"watch": ".", "several": "oldest"}, "several = 'oldest' should be ask or newest"),
    ({"watch": ".", "orders": "nowhere"}, "there is no folder .*nowhere for orders"),
    ({"watch": ".", "setle_s": 3}, "'setle_s' is no option"),
]


@pytest.mark.parametrize(("options", "reason"), BAD, ids=[reason[:30] for _, reason in BAD])
def test_options_that_cannot_be_used_say_why(tmp_path: Path, options: dict[str, Any], reason: str):
    with pytest.raises(SettingsError, match=reason):
        make("imager", options, tmp_path)
    with pytest.raises(SettingsError, match="is for an imager"):
        make("incubator", {"watch": "."}, tmp_path)


def test_a_bug_in_the_look_is_heard(lab: WatchedLab, monkeypatch: pytest.MonkeyPatch):
    awaited(lab)
    monkeypatch.setattr("drivers.watched_look.plate_folders", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lab.wait()
