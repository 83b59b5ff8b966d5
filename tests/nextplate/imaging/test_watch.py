"""Which plate folders are whole: the real ones, every prefix of a copy, and what scan_plates tells."""

import shutil
from pathlib import Path

import pytest
from watched_lab import plate_files, write_image, write_plate

from nextplate.errors import DataError, SettingsError
from nextplate.imaging.watch import Due, changed_since, inspect_plate, scan_plates, take_inventory
from tests.nextplate.imaging.vendor_plates import (
    harmony_image,
    harmony_index,
    sample,
    write_yokogawa,
    yokogawa_name,
    yokogawa_record,
)

REAL = [
    (
        ("imagexpress", "9987_Plate_3434"),
        ("no image at all of Cy5, which was to be imaged", "2 of 3 z-steps are there"),
    ),
    (("imagexpress", "9987_Plate_3420"), ()),
    (("opera-phenix", "Version1"), ()),
    (("yokogawa-cv8000", "CV8000", "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_20230918_135839"), ()),
]


@pytest.mark.parametrize(("parts", "doubts"), REAL, ids=[parts[-1][:20] for parts, _ in REAL])
def test_the_real_plates_are_whole(parts: tuple[str, ...], doubts: tuple[str, ...]):
    stand = inspect_plate(sample(*parts), is_thorough=True)
    assert (stand.state, stand.reasons, stand.doubts, stand.is_ended) == ("whole", (), doubts, True)


@pytest.mark.parametrize("parts", [REAL[0][0], REAL[2][0]], ids=["imagexpress", "harmony"])
def test_no_prefix_of_a_copy_is_whole_and_beyond_doubt(tmp_path: Path, parts: tuple[str, ...]):
    source = sample(*parts)
    files = sorted(p for p in source.rglob("*") if p.is_file())
    images = [p for p in files if p.suffix.lower().startswith(".tif")]
    orders = {"by name": files, "descriptions last": [*images, *(p for p in files if p not in images)]}
    for order, names in orders.items():
        target = tmp_path / order
        n_whole = []
        for n, path in enumerate(names):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            stand = inspect_plate(target)
            if stand.state == "whole" and (not stand.doubts or n == len(names) - 1):
                n_whole.append(n)
        copied_all = max(names.index(p) for p in images)
        assert n_whole, order
        assert min(n_whole) >= copied_all, (order, n_whole)


def test_harmony_without_its_index_is_still_written(tmp_path: Path):
    images = [harmony_image(1, column, 1, 1) for column in (1, 2)]
    for image in images:
        write_image(tmp_path / "Images" / image["URL"])
    assert "has not written its end mark" in " ".join(inspect_plate(tmp_path).reasons)
    (tmp_path / "Images" / "Index.xml").write_bytes(harmony_index(images, {1: "DNA"}, wells=[(1, 1), (1, 2)]))
    assert inspect_plate(tmp_path, is_thorough=True).state == "whole"


def test_what_is_due_by_the_options_is_waited_for(tmp_path: Path):
    for well in ("A1", "A2"):
        for field in (1, 2):
            write_image(tmp_path / f"{well}_01_1_{field}_DAPI_001.tif")
    wells = frozenset({"A01", "A02"})
    assert inspect_plate(tmp_path, Due(wells)).state == "whole"
    assert inspect_plate(tmp_path, Due(wells, n_fields=3)).reasons == ("2 of 3 fields are there",)
    assert inspect_plate(tmp_path, Due(wells, n_channels=2)).reasons == ("1 of 2 channels are there",)
    assert (
        inspect_plate(tmp_path, Due(wells | {"A03"})).reasons[0].startswith("2 images are not there: A03 field 1 DAPI")
    )
    (tmp_path / "A2_01_1_2_DAPI_001.tif").unlink()
    assert inspect_plate(tmp_path, Due(wells)).reasons == ("1 images are not there: A02 field 2 DAPI",)


def test_what_the_microscope_itself_says_it_lost_is_not_waited_for(tmp_path: Path):
    images = [harmony_image(1, 1, 1, 1), harmony_image(1, 2, 1, 1, State="Error")]
    write_image(tmp_path / "Images" / images[0]["URL"])
    (tmp_path / "Images" / "Index.xml").write_bytes(harmony_index(images, {1: "DNA"}, wells=[(1, 1), (1, 2)]))
    assert inspect_plate(tmp_path).state == "whole"


def test_a_step_that_the_microscope_says_it_lost_is_not_waited_for(tmp_path: Path):
    places = [((1, column), z) for column in (1, 2) for z in (1, 2, 3)]
    lost = yokogawa_record((1, 2), 1, 1, 3, Type="ERR", text="autofocus failed")
    records = [yokogawa_record(well, 1, 1, z) for well, z in places[:-1]]
    for well, z in places[:-1]:
        write_image(tmp_path / yokogawa_name(well, 1, 1, z))
    write_yokogawa(tmp_path, [*records, lost])
    assert inspect_plate(tmp_path, is_thorough=True).reasons == ()
    write_yokogawa(tmp_path, records)
    assert inspect_plate(tmp_path).reasons == ("1 fields have fewer steps than others: A02 field 1 DAPI has 2 of 3",)


def test_a_scan_tells_every_folder_and_what_vanished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_plate(tmp_path / "P1", "P1")
    write_plate(tmp_path / "P2", "P2", htd=False)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "P1")
    stands = scan_plates(tmp_path)
    assert [(s.folder.name, s.state) for s in stands] == [("P1", "whole"), ("P2", "writing")]
    import nextplate.imaging.watch as module

    real = module._files

    def files(folder: Path) -> object:
        if folder.name == "P1":
            raise OSError(5, "Input/output error")
        return real(folder)

    monkeypatch.setattr(module, "_files", files)
    stands = scan_plates(tmp_path)
    assert [(s.folder.name, s.state) for s in stands] == [("P1", "unreadable"), ("P2", "writing")]
    assert "Input/output error" in stands[0].reasons[0]


def test_wrong_ways_to_read_are_refused_before_anything_is_judged(tmp_path: Path):
    with pytest.raises(SettingsError, match="there is no reader 'zeiss'"):
        scan_plates(tmp_path, reader="zeiss")
    with pytest.raises(SettingsError, match="no regular expression"):
        scan_plates(tmp_path, pattern="(")
    with pytest.raises(DataError, match="is not a folder"):
        scan_plates(tmp_path / "nowhere")


def test_two_looks_are_compared_by_names_sizes_and_times(tmp_path: Path):
    folder = write_plate(tmp_path / "P1", "P1")
    first = take_inventory(folder)
    assert changed_since(first, take_inventory(folder)) == ""
    path = folder / plate_files("P1")[0]
    path.rename(path.with_name("other"))
    assert "written anew or renamed" in changed_since(first, take_inventory(folder))
    path.with_name("other").rename(path)
    assert changed_since(first, take_inventory(folder)) == ""
    path.write_bytes(path.read_bytes() + b"x")
    assert "bytes" in changed_since(first, take_inventory(folder))
    (folder / "new").write_bytes(b"")
    assert changed_since(first, take_inventory(folder)) == "it held 5 files and holds 6 now"
