"""What is wrong with a plate's images or files is a reason at its well, or one clear error; the rest is measured."""

import errno
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nextplate.errors import DataError
from nextplate.imaging import FLAGS, Measured, MeasureParams, field_table, measure, open_readout, read_image
from nextplate.imaging.pixels import UnreadableImage, damage_of, pixel_size_um, read_pixels
from tests.nextplate.imaging.fake_plate import Scene, write_htd, write_plate
from tests.nextplate.imaging.vendor_plates import sample, touch

WELLS = ("A01", "A02", "A03", "A04", "B01", "B02")
SIDE = 200
VICTIM = "TimePoint_1/bad_A02_s1_w1.TIF"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenes = {well: Scene(n_cells=12, active=0.2 * i) for i, well in enumerate(WELLS)}
    return write_plate(tmp_path_factory.mktemp("bad") / "bad", scenes, size=SIDE).folder


@pytest.fixture
def plate(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "bad"))


def rows_of(measured: Measured) -> dict[str, dict[str, Any]]:
    return {str(row["well"]): row for row in measured.wells.iter_rows(named=True)}


# One image of one well


def _pixels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(tifffile.imread(path))


def _rewrite(**how: Any) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        change = how.get("change", lambda pixels: pixels)
        options = {k: v for k, v in how.items() if k != "change"}
        tifffile.imwrite(path, change(_pixels(path)), **{"photometric": "minisblack", **options})

    return spoil


def _with_nan(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    floating = pixels.astype(np.float32)
    floating[3, 4] = np.nan
    return floating


def _map_of(shape: str) -> np.ndarray[Any, Any]:
    ramp = (np.arange(256) * 257).astype(np.uint16)
    return np.stack({"fire": [ramp, ramp[::-1], ramp], "inverted": [ramp[::-1]] * 3, "flat": [ramp * 0] * 3}[shape])


def _eight(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (pixels >> 6).clip(0, 255).astype(np.uint8)


def _bomb(path: Path) -> None:
    """Claim 60000 x 60000 pixels, packed into a kilobyte."""
    path.write_bytes(_tiny_tiff(width=60000, height=60000, compression=8, n_bytes=1024))


def _hollow(path: Path) -> None:
    """Claim strips of no bytes, which a tolerant reader takes for zeros."""
    path.write_bytes(_tiny_tiff(width=SIDE, height=SIDE, compression=8, n_bytes=0))


def _tiny_tiff(width: int, height: int, compression: int, n_bytes: int, n_entries: int | None = None) -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, n_bytes)]
    ifd = struct.pack("<H", n_entries or len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + 1024) + bytes(1024) + ifd


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda p: p.write_bytes(b""), r"the file is empty \(0 bytes\)"),
    "cut in the pixels": (lambda p: os.truncate(p, p.stat().st_size // 2), "damaged or cut short"),
    "cut in the header": (lambda p: os.truncate(p, 6), "not a readable TIFF"),
    "no TIFF": (lambda p: p.write_bytes(b"<html>404 not found</html>"), "not a readable TIFF"),
    "a page that is no image": (
        lambda p: p.write_bytes(b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        "has no page 0|damaged header",
    ),
    "8 bit among 16": (_rewrite(change=_eight), "200 x 200 uint8, the plate's images are 200 x 200 uint16"),
    "another size": (_rewrite(change=lambda p: p[:100]), "200 x 100 uint16, the plate's images are"),
    "32 bit float": (_rewrite(change=lambda p: p.astype(np.float32)), "a grey 8 or 16 bit image is needed"),
    "float with NaN": (_rewrite(change=_with_nan), "a grey 8 or 16 bit image is needed"),
    "32 bit whole": (_rewrite(change=lambda p: p.astype(np.uint32)), "a grey 8 or 16 bit image is needed"),
    "signed": (_rewrite(change=lambda p: p.astype(np.int16)), "a grey 8 or 16 bit image is needed"),
    "black and white": (_rewrite(change=lambda p: p > 500), "a grey 8 or 16 bit image is needed"),
    "RGB": (_rewrite(change=lambda p: np.stack([p] * 3, -1), photometric="rgb"), "a grey 8 or 16 bit image is needed"),
    "a colour palette": (
        _rewrite(change=_eight, photometric="palette", colormap=_map_of("fire")),
        "palette that is not evenly grey|the plate's images are",
    ),
    "a negative": (_rewrite(photometric="miniswhite"), "stored as a negative"),
    "a bomb": (_bomb, "the plate's images are|claims 7200000000 bytes of pixels"),
    "strips of nothing": (_hollow, "holds no pixel data"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "no image of this channel"),
    "a broken link": (lambda p: (p.unlink(), p.symlink_to("nothing")), "not a readable TIFF"),
    "a link in a circle": (lambda p: (p.unlink(), p.symlink_to(p.name)), "not a readable TIFF|link out"),
    "a link out": (lambda p: _link_out(p), "a link out of the plate's folder"),
    "absent": (lambda p: p.unlink(), "no image of this channel"),
    "one value": (_rewrite(change=lambda p: p * 0), "every pixel is 0"),
    "saturated everywhere": (_rewrite(change=lambda p: p * 0 + 65535), "every pixel is 65535"),
}


def _link_out(path: Path) -> None:
    outside = path.parents[2] / "outside.TIF"
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_bad_image_is_a_reason_at_its_well_and_the_rest_is_measured(plate: Path, what: str):
    spoil, reason = UNREADABLE[what]
    spoil(plate / VICTIM)
    measured = measure(open_readout(plate), MeasureParams())
    rows = rows_of(measured)
    assert set(rows) == set(WELLS), "no well is dropped"
    assert {w for w in WELLS if rows[w]["n_fields"] == 1} == set(WELLS) - {"A02"}
    assert set(rows["A02"]["flags"].split(";")) <= set(FLAGS)
    assert rows["A02"]["flags"]
    said = [p.reason for p in measured.problems if p.well == "A02"]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError("; ".join(said))
    assert not any(p.well != "A02" for p in measured.problems)


def test_two_files_for_one_image_are_told_and_the_first_is_measured(plate: Path):
    shutil.copy(plate / VICTIM, plate / "TimePoint_1" / "bad_A02_s1_w11D5F8F51-0000-4000-8000-000000000000.TIF")
    measured = measure(open_readout(plate), MeasureParams())
    assert rows_of(measured)["A02"]["flags"] == "duplicate-image"
    assert [p.well for p in measured.problems] == ["A02"]


def test_a_plate_without_one_readable_image_is_flagged_and_not_an_error(plate: Path):
    for path in (plate / "TimePoint_1").iterdir():
        path.write_bytes(b"nothing")
    rows = rows_of(measure(open_readout(plate), MeasureParams()))
    assert {row["flags"] for row in rows.values()} == {"unreadable"}


def test_the_real_all_zero_plate_is_flagged_not_measured():
    folder = sample("yokogawa-cv8000", "CV8000", "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_20230918_135839")
    readout = open_readout(folder)
    dna, reporter = readout.channels[:2]
    measured = measure(readout, MeasureParams(dna=dna, reporter=reporter))
    rows = rows_of(measured)
    assert all("all-zero" in row["flags"] and row["n_cells"] == 0 for row in rows.values() if row["n_fields"] == 0)
    assert all(row["n_fields"] == 0 for row in rows.values())


# Palettes: the byte-exact originals of BBBC013


def test_an_evenly_grey_palette_reads_as_its_grey_values():
    originals = sorted(sample("bbbc013", "original_bytes").glob("*.tif"))
    assert len(originals) == 4
    for path in originals:
        with tifffile.TiffFile(path) as tiff:
            assert (tiff.byteorder, tiff.pages[0].photometric.name) == (">", "PALETTE")
        (again,) = sample("bbbc013", "images").glob(f"{path.stem}.tif*")
        np.testing.assert_array_equal(read_pixels(path), read_pixels(again))


@pytest.mark.parametrize("shape", ["fire", "inverted", "flat"])
def test_a_palette_that_is_not_grey_says_so(tmp_path: Path, shape: str):
    path = tmp_path / "x.tif"
    tifffile.imwrite(
        path, np.arange(256, dtype=np.uint8).reshape(16, 16), colormap=_map_of(shape), photometric="palette"
    )
    with pytest.raises(UnreadableImage, match=r"x\.tif: its colours are a palette that is not evenly grey"):
        read_pixels(path)
    assert damage_of(path)


# Sizes that nobody has


@pytest.mark.parametrize("compression", [1, 5, 8, 32773, 50000, 7])
def test_huge_claims_of_a_tiny_file_cost_nothing(tmp_path: Path, compression: int):
    path = tmp_path / "bomb.tif"
    for width, height in ((60000, 60000), (2**31 - 1, 2**31 - 1), (40000, 1000), (2**32 - 1, 1)):
        path.write_bytes(_tiny_tiff(width, height, compression, 1000))
        with _address_space_limited(), pytest.raises(UnreadableImage, match=r"bomb\.tif: "):
            read_pixels(path)
        path.write_bytes(_tiny_tiff(width, height, compression, 1000, n_entries=60000))
        with _address_space_limited(), pytest.raises(UnreadableImage, match=r"bomb\.tif: "):
            read_pixels(path)


class _address_space_limited:
    """Let this process grow by at most 3 GB of addresses meanwhile."""

    def __enter__(self) -> None:
        resource = pytest.importorskip("resource")
        self.set, self.kind = resource.setrlimit, resource.RLIMIT_AS
        self.before = resource.getrlimit(self.kind)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        self.set(self.kind, (pages * os.sysconf("SC_PAGESIZE") + 3 * 2**30, self.before[1]))

    def __exit__(self, *_: object) -> None:
        self.set(self.kind, self.before)


def test_an_image_of_zeros_that_packs_well_is_no_bomb(tmp_path: Path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((2160, 2160), np.uint16), compression="zstd")
    assert path.stat().st_size < 9331200 // 5000
    assert not read_pixels(path).any()


HTD_NUMBERS = ["0", "-1", "100", "99999999999999999999", "1e3", "NaN", "", "\u0663", "x" * 10000]


@pytest.mark.parametrize("key", ["XWells", "YWells", "XSites", "NWavelengths", "TimePoints", "ZSteps"])
@pytest.mark.parametrize("number", HTD_NUMBERS, ids=[n[:8] or "empty" for n in HTD_NUMBERS])
def test_an_htd_with_absurd_numbers_names_the_line_or_is_read(plate: Path, key: str, number: str):
    path = plate / "bad.HTD"
    lines = [line for line in path.read_text("latin-1").splitlines() if not line.startswith(f'"{key}"')]
    lines[-1:] = ['"Sites", TRUE', '"ZSeries", TRUE', f'"{key}", {number}', '"EndFile"']
    path.write_text("\r\n".join(lines), "utf-8")
    said = ""
    try:
        open_readout(plate)
    except DataError as error:
        said = str(error)
    assert not said or "bad.HTD line " in said or "is missing" in said
    assert len(said) < 500


def test_a_plate_of_1536_wells_is_listed_whole(tmp_path: Path):
    rows = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB", "AC", "AD", "AE", "AF"]
    wells = [f"{row}{column:02d}" for row in rows for column in range(1, 49)]
    names = [f"TimePoint_1/big_{well}_s1_w{wave}.TIF" for well in wells for wave in (1, 2)]
    write_htd(touch(tmp_path / "big", names) / "big.HTD", (), n_rows=32, n_columns=48)
    readout = open_readout(tmp_path / "big")
    assert len(readout.images) == 3072
    assert [i.well for i in readout.images[::2]] == wells, "in plate order, AA after Z"


# XML


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n + 1} "{f"&lol{n or str()};" * 10}">' for n in range(9))
    + "]><EvaluationInputData>&lol9;</EvaluationInputData>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'
    "<EvaluationInputData>&secret;</EvaluationInputData>"
)
HEAD = '<?xml version="1.0" encoding="{}"?><EvaluationInputData>'
BODY = "<Plates><Plate><Name>Pl\u00e4ttchen</Name></Plate></Plates></EvaluationInputData>"
INDEXES: dict[str, tuple[bytes, str]] = {
    "billion laughs": (LAUGHS.encode(), "document type or entity declaration"),
    "an outside entity": (OUTSIDE.encode(), "document type or entity declaration"),
    "a document type in UTF-16": (OUTSIDE.replace("?>", ' encoding="UTF-16"?>', 1).encode("utf-16"), "document type"),
    "latin-1 said to be UTF-8": (
        (HEAD.format("utf-8") + BODY).encode("latin-1"),
        "is the encoding what its first line",
    ),
    "UTF-16 said to be UTF-8": ((HEAD.format("utf-8") + BODY).encode("utf-16-le"), "not readable XML"),
    "an encoding nobody knows": ((HEAD.format("klingon") + BODY).encode(), "not readable XML"),
    "nothing": (b"", "no plate readout"),
    "no plate": ((HEAD.format("utf-8") + "</EvaluationInputData>").encode(), "names no plate"),
    "nested without end": (b"<EvaluationInputData>" + b"<a>" * 200_000, "names no plate|cut short"),
}


@pytest.mark.parametrize("what", INDEXES)
def test_an_index_that_cannot_be_trusted_is_one_clear_error(tmp_path: Path, what: str):
    content, reason = INDEXES[what]
    (tmp_path / "Images").mkdir()
    (tmp_path / "Images" / "Index.idx.xml").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        open_readout(tmp_path)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_an_index_in_the_encoding_it_says_is_read(tmp_path: Path, encoding: str):
    (tmp_path / "Images").mkdir()
    said = encoding.removesuffix("-sig")
    (tmp_path / "Images" / "Index.idx.xml").write_bytes((HEAD.format(said) + BODY).encode(encoding))
    assert open_readout(tmp_path).plate == "Pl\u00e4ttchen"


def test_a_description_with_entities_inside_an_image_is_not_expanded(tmp_path: Path):
    path = tmp_path / "x.tif"
    bomb = LAUGHS.replace("EvaluationInputData", "MetaData")
    for text in (bomb, "<MetaData>" + bomb, "<MetaData><PlaneInfo></MetaData>"):
        tifffile.imwrite(path, np.ones((8, 8), np.uint16), description=text, metadata=None)
        assert pixel_size_um(path) is None
        assert read_pixels(path).shape == (8, 8)


def test_ome_xml_of_fifty_megabytes_is_read_in_seconds(tmp_path: Path):
    note = "<Annotation>" + "x" * 1000 + "</Annotation>"
    image = (
        '<Image ID="Image:0" Name="A01"><Pixels DimensionOrder="XYZCT" SizeX="8" SizeY="8" SizeZ="1" SizeC="1"'
        ' SizeT="1" Type="uint16"><Channel Name="DNA"/><TiffData IFD="0"/></Pixels></Image>'
    )
    head = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    text = f"{head}{image}{note * 50_000}</OME>"
    assert len(text) > 50_000_000
    tifffile.imwrite(tmp_path / "p_A01.ome.tif", np.ones((8, 8), np.uint16), description=text, metadata=None)
    readout = open_readout(tmp_path)
    assert [(i.well, i.channel) for i in readout.images] == [("A01", "DNA")]


# Names


ESCAPES = [
    "../secret.tif",
    "/etc/passwd",
    "..\\..\\secret.tif",
    "C:\\secret.tif",
    "\\\\server\\share\\x.tif",
    "a/../../x.tif",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_leave_the_folder_are_refused_at_their_well(tmp_path: Path, name: str):
    from tests.nextplate.imaging.vendor_plates import harmony_image, harmony_index

    place = tmp_path / "plate" / "Images"
    place.mkdir(parents=True)
    tifffile.imwrite(tmp_path / "secret.tif", np.ones((8, 8), np.uint16))
    index = harmony_index([harmony_image(1, 1, 1, 1, URL=name)], {1: "DNA"}, wells=[(1, 1)])
    (place / "Index.xml").write_bytes(index)
    readout = open_readout(tmp_path / "plate")
    assert not readout.images
    assert [(m.well, "leads out of the plate's folder" in m.reason) for m in readout.missing] == [("A01", True)]


def test_control_and_foreign_characters_in_names_do_no_harm(plate: Path):
    place = plate / "TimePoint_1"
    for name in (
        "b\nad_A03_s1_w1.TIF",
        "\u202egnp_A03_s1_w2.TIF",
        "\U0001f52c_A04_s1_w1.TIF",
        "x\x1b[31m.TIF",
        "-rf_A04_s1_w2.TIF",
    ):
        shutil.copy(plate / VICTIM, place / name)
    (place / os.fsdecode(b"\xff\xfe_A05_s1_w1.TIF")).write_bytes(b"")
    assert "A05" in str(field_table(open_readout(plate))["path"].to_list())
    measured = measure(open_readout(plate), MeasureParams())
    rows = rows_of(measured)
    assert set(WELLS) <= set(rows)
    assert all(rows[w]["n_fields"] == 1 for w in WELLS)
    for problem in measured.problems:
        problem.reason.encode()
        assert problem.reason.isprintable(), problem.reason


# Folders


def test_a_folder_that_holds_no_plate_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(DataError, match="it is empty"):
        open_readout(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="is not a folder; give the folder of one plate"):
        open_readout(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="is not a folder"):
        open_readout(tmp_path / "nowhere")


def test_folders_nested_without_end_are_not_walked_to_it(tmp_path: Path):
    deep = tmp_path
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "A01.tif").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(DataError, match="fits the pattern"):
        open_readout(tmp_path, pattern=r"(.*/)?(?P<well>A01)\.tif")


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_one_clear_error(plate: Path):
    (plate / "TimePoint_1").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            open_readout(plate)
    finally:
        (plate / "TimePoint_1").chmod(0o755)


# Drives that go away


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let reads of some image fail as a broken drive's do."""
    real = tifffile.TiffFile

    def fail(name: str) -> None:
        def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
            if name in str(path):
                raise OSError(errno.EIO, "Input/output error", str(path))
            return real(path, *args, **kwargs)

        monkeypatch.setattr(tifffile, "TiffFile", opened)

    return fail


def test_a_read_error_is_a_reason_at_its_well(plate: Path, failing: Callable[[str], None]):
    readout = open_readout(plate)
    failing("A03")
    measured = measure(readout, MeasureParams())
    rows = rows_of(measured)
    assert {w for w in WELLS if rows[w]["n_fields"] == 1} == set(WELLS) - {"A03"}
    assert "Input/output error" in next(p.reason for p in measured.problems)


def test_a_drive_that_vanishes_while_a_plate_is_listed_is_one_clear_error(plate: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.scandir
    left = [6]

    def scandir(path: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"Stale file handle.*is the drive still there"):
        open_readout(plate)


def test_a_drive_that_vanishes_while_a_plate_is_measured_leaves_what_was_measured(plate: Path):
    readout = open_readout(plate)
    done: list[int] = []

    def progress(n: int, _total: int) -> None:
        done.append(n)
        if n == 2:
            plate.rename(plate.with_name("away"))

    measured = measure(readout, MeasureParams(), progress, n_threads=1)
    rows = rows_of(measured)
    assert done == [1, 2, 3, 4, 5, 6]
    assert [rows[w]["n_fields"] for w in WELLS[:2]] == [1, 1]
    lost = [w for w in WELLS if rows[w]["n_fields"] == 0]
    assert lost
    assert all(rows[w]["flags"] == "unreadable" for w in lost)
    assert {p.well for p in measured.problems} == set(lost)


def test_a_stack_with_one_bad_step_says_which(tmp_path: Path):
    from nextplate.readout import FieldImage

    paths = [tmp_path / f"{n}.tif" for n in range(3)]
    for path in paths[:2]:
        tifffile.imwrite(path, np.ones((8, 8), np.uint16))
    paths[2].write_bytes(b"x")
    image = FieldImage("P", "A01", 1, "DNA", paths[0], None, stack=tuple((p, 0) for p in paths))
    with pytest.raises(UnreadableImage, match=r"2\.tif: not a readable TIFF"):
        read_image(image)
