"""Damaged files of real microscopes, by the hundred: DataError or a value, never another exception, hang or memory."""

import logging
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nextplate.errors import DataError
from nextplate.imaging import open_readout
from nextplate.imaging.pixels import damage_of, description_of, kind_of, pixel_size_um, read_pixels, stage_position_um
from nextplate.imaging.watch import inspect_plate
from tests.nextplate.imaging.vendor_plates import sample

N_INDEX, N_TIFF = 40, 60
MAX_S = 5.0
"""For one file, on a machine that is busy with other work."""
NUMBERS = (b"999999999", b"-1", b"0", b"1e400", b"nan", "\u0663".encode(), b"\0", b"<", b"&x;")
YOKOGAWA = ("yokogawa-cv8000", "CV8000", "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_20230918_135839")
INDEXES = [
    (("imagexpress", "9987_Plate_3434"), "9987.HTD"),
    (("opera-phenix", "Version1"), "Index.idx.xml"),
    (YOKOGAWA, "MeasurementData.mlf"),
    (YOKOGAWA, "MeasurementDetail.mrf"),
    (YOKOGAWA, "Minimal-3C3W2S-FP2-stack.mes"),
    (("yokogawa-cv8000", "ome-tiff"), "c3_z33.companion.ome"),
]
TIFFS = [
    ("imagexpress", "9987_Plate_3434", "TimePoint_1", "ZStep_0", "9987_B02_s1_w1.TIF"),
    ("opera-phenix", "Version1", "images"),
    ("bbbc013", "original_bytes", "Channel1-01-A-01.tif"),
    ("bbbc013", "images"),
    ("nf1-cellpainting", "Plate_2_images"),
    (*YOKOGAWA, "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # tifffile logs every tag it cannot read
    yield
    logging.disable(logging.NOTSET)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flip, overwrite, remove, repeat, or put another number."""
    data = bytearray(content)
    at = int(rng.integers(0, len(data)))
    match int(rng.integers(0, 6)):
        case 0:
            return bytes(data[:at])
        case 1:
            for place in rng.integers(0, len(data), int(rng.integers(1, 6))):
                data[place] ^= 1 << int(rng.integers(0, 8))
        case 2:
            data[at : at + 4] = rng.bytes(4)
        case 3:
            del data[at : at + int(rng.integers(1, 40))]
        case 4:
            data[at:at] = bytes(data[at : at + 60])
        case _:
            digits = [i for i, byte in enumerate(data) if 48 <= byte < 58]
            place = digits[int(rng.integers(0, len(digits)))] if digits else at
            data[place : place + 1] = NUMBERS[int(rng.integers(0, len(NUMBERS)))]
    return bytes(data)


def only_data_errors(what: Callable[[], object], seed: int) -> None:
    begun = time.perf_counter()
    said = "nothing"
    try:
        what()
    except DataError as error:
        said = str(error)
    assert 0 < len(said) < 5000, seed
    assert time.perf_counter() - begun < MAX_S, f"case {seed} takes too long"


@pytest.mark.parametrize(("parts", "name"), INDEXES, ids=[name for _, name in INDEXES])
def test_a_damaged_description_of_a_plate(tmp_path: Path, parts: tuple[str, ...], name: str):
    plate = Path(shutil.copytree(sample(*parts), tmp_path / "plate", copy_function=shutil.copyfile))
    path = next(plate.rglob(name))
    for other in plate.glob("*.companion.ome"):
        if other.name != name:
            other.unlink()
    content = path.read_bytes()
    for seed in range(N_INDEX):
        path.write_bytes(mutated(content, np.random.default_rng([seed, 1])))
        only_data_errors(lambda: open_readout(plate), seed)
        inspect_plate(plate)


def in_the_header(content: bytes, rng: np.random.Generator) -> bytes:
    """Change an image's first directory, or anything."""
    order = "<" if content[:2] == b"II" else ">"
    first = int(struct.unpack(f"{order}I", content[4:8])[0])
    match int(rng.integers(0, 3)):
        case 0:
            return mutated(content, rng)
        case 1:
            return content[:first] + mutated(content[first : first + 250], rng) + content[first + 250 :]
        case _:
            data = bytearray(content)
            at = first + 2 + 12 * int(rng.integers(0, 16)) + int(rng.integers(0, 12))
            n = int(rng.integers(1, 5))
            data[at : at + n] = rng.bytes(n)
            return bytes(data)


@pytest.mark.parametrize("parts", TIFFS, ids=["-".join(parts[:2])[:30] for parts in TIFFS])
def test_a_damaged_image(tmp_path: Path, parts: tuple[str, ...]):
    resource = pytest.importorskip("resource")
    source = sample(*parts)
    content = (source if source.is_file() else min(source.glob("*.tif*"))).read_bytes()
    path = tmp_path / "x.tif"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(N_TIFF):
        path.write_bytes(in_the_header(content, np.random.default_rng([seed, 2])))
        for verb in (kind_of, read_pixels, pixel_size_um, stage_position_um, description_of, damage_of):
            only_data_errors(lambda verb=verb: verb(path), seed)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 700, "as much as the largest image allowed at its file's size"
