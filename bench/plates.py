"""A big plate, generated: 384 wells x 9 sites x 5 channels of 1080 x 1080, stage by stage, beside the decode limit.

``python -m bench.run plates`` (about ten minutes; 4 GB of disk). The plate has 12 different wells; the others are hard
links to them, so the disk is not what is measured: decoding and computing are.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

from bench.rooms import OUT
from bench.table import Figure
from bench.timing import seconds

COMMAND = "python -m bench.run plates"
SIZE, N_SITES, N_DRAWN = 1080, 9, 12
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
CODECS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "lzw": {"compression": "lzw"},
    "zlib": {"compression": "zlib", "predictor": True},
    "zstd": {"compression": "zstd", "predictor": True},
}
MEGA = SIZE * SIZE / 1e6
Image = npt.NDArray[np.float32]
# Not getrusage: its peak of a child counts this process too, from before the child's program was loaded.
_MAIN = """
import atexit, sys
from controller.cli import main
peak = lambda: next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
atexit.register(lambda: print(peak(), file=sys.stderr))
main()
"""


def figures() -> list[Figure]:
    """Measure single stages by codec, then the whole plate."""
    return [*stages(), *whole_plate()]


def draw_field(rng: np.random.Generator) -> list[npt.NDArray[np.uint16]]:
    """Draw 140 cells in five channels, with texture, uneven light, photon and read noise."""
    y, x = rng.uniform(20, SIZE - 20, (2, 140))
    nuclei, cells = np.zeros((2, SIZE, SIZE), np.float32)
    for cy, cx in zip(y, x, strict=True):
        d = rng.uniform(26, 36)
        _stamp(nuclei, cy, cx, d / 2, rng)
        _stamp(cells, cy, cx, d, rng)
    yy, xx = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j].astype(np.float32)
    light = 1 - 0.2 * (yy**2 + xx**2)
    shapes = [nuclei, cells, cells * (1 - 0.5 * nuclei), cells + 0.5 * nuclei, cells * (1 - nuclei)]
    return [_camera(shape, grain, light, rng) for shape, grain in zip(shapes, (2.5, 1.5, 2.0, 1.2, 1.0), strict=True)]


def _stamp(image: Image, cy: float, cx: float, radius: float, rng: np.random.Generator) -> None:
    r = int(1.3 * radius) + 1
    rows, columns = (slice(max(0, int(c) - r), int(c) + r + 1) for c in (cy, cx))
    yy, xx = np.mgrid[rows, columns][:, : image[rows, columns].shape[0], : image[rows, columns].shape[1]]
    turn = rng.uniform(0, np.pi)
    u = (xx - cx) * np.cos(turn) + (yy - cy) * np.sin(turn)
    v = (yy - cy) * np.cos(turn) - (xx - cx) * np.sin(turn)
    inside = np.clip((1 - np.hypot(u / 1.15, v / 0.9) / radius) * radius / 2, 0, 1)
    image[rows, columns] = np.maximum(image[rows, columns], inside)


def _camera(shape: Image, grain: float, light: Image, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    texture = ndimage.gaussian_filter(rng.normal(0, 1, shape.shape).astype(np.float32), grain) * grain
    photons = ndimage.gaussian_filter(shape * (3000 + 4000 * texture).clip(300), 1.0) * light + 120
    return np.clip(rng.poisson(photons) + rng.normal(100, 6, shape.shape), 0, 65535).astype(np.uint16)


def write_wells(place: Path, wells: list[str], codec: str, fields: list[list[npt.NDArray[np.uint16]]]) -> None:
    """Write wells as an ImageXpress does; field i of well j shows drawing i + j."""
    place.mkdir(parents=True, exist_ok=True)
    um = (1e4 / 0.6, 1e4 / 0.6)
    for j, well in enumerate(wells):
        for site in range(N_SITES):
            for wave, image in enumerate(fields[(j + site) % len(fields)], 1):
                path = place / f"P_{well}_s{site + 1}_w{wave}.TIF"
                tifffile.imwrite(path, image, resolution=um, resolutionunit="CENTIMETER", **CODECS[codec])


def write_plate(folder: Path, codec: str = "none", n_rows: int = 16, n_columns: int = 24) -> int:
    """Write the plate; returns the bytes of its image files as a microscope would have written them."""
    shutil.rmtree(folder, ignore_errors=True)
    wells = [f"{chr(65 + r)}{c + 1:02d}" for r in range(n_rows) for c in range(n_columns)]
    rng = np.random.default_rng(1)
    drawn = wells[:N_DRAWN]
    write_wells(folder / "TimePoint_1", drawn, codec, [draw_field(rng) for _ in range(N_DRAWN)])
    for i, well in enumerate(wells[N_DRAWN:]):
        for path in (folder / "TimePoint_1").glob(f"P_{drawn[i % N_DRAWN]}_*.TIF"):
            path.with_name(path.name.replace(f"_{drawn[i % N_DRAWN]}_", f"_{well}_")).hardlink_to(path)
    _write_htd(folder / "P.HTD", n_rows, n_columns)
    return sum(p.stat().st_size for p in (folder / "TimePoint_1").iterdir())


def _write_htd(path: Path, n_rows: int, n_columns: int) -> None:
    lines = ['"HTSInfoFile", Version 1.0', f'"XWells", {n_columns}', f'"YWells", {n_rows}']
    lines += [f'"WellsSelection{r + 1}", ' + ", ".join(["TRUE"] * n_columns) for r in range(n_rows)]
    lines += ['"Sites", TRUE', '"XSites", 3', '"YSites", 3']
    lines += [f'"SiteSelection{i}", TRUE, TRUE, TRUE' for i in (1, 2, 3)]
    lines += [f'"NWavelengths", {len(CHANNELS)}', *(f'"WaveName{i}", "{c}"' for i, c in enumerate(CHANNELS, 1))]
    path.write_text("\r\n".join([*lines, '"EndFile"']))


def stages() -> list[Figure]:
    """Time one core on the fields of one well: decoding by codec, then what each further stage adds."""
    found: list[Figure] = []
    for codec in CODECS:
        folder = OUT / f"well-{codec}"
        n_bytes = write_plate(folder, codec, 1, N_DRAWN)
        decode_s = seconds(lambda folder=folder: _decode(folder))
        mpx = N_SITES * len(CHANNELS) * MEGA
        size = n_bytes / (N_DRAWN * mpx * 1e6)
        whole_s = _measured(folder, None)
        found.append(
            Figure(
                f"{codec}: decoded / measured with QC, one core", f"{mpx / decode_s:.0f} / {mpx / whole_s:.0f} Mpx/s",
                f"decode takes {decode_s / whole_s:.0%} of the time; {size:.2f} bytes a pixel", COMMAND,
            )
        )  # fmt: skip
    return [*found, *_added(OUT / "well-none", mpx)]


def _added(folder: Path, mpx: float) -> list[Figure]:
    from nextplate.features import select

    base_s = _measured(folder, None)
    decode_s = seconds(lambda: _decode(folder))
    rows = [
        Figure(
            "segmentation, ratio, QC of 5 channels, one core", f"{mpx / (base_s - decode_s):.0f} Mpx/s", "-", COMMAND
        )
    ]
    for name, groups, objects in (
        ("basic features of nuclei", ("shape", "intensity"), ("Nuclei",)),
        ("basic features of nuclei and cells", ("shape", "intensity"), ("Nuclei", "Cells")),
        ("all features of nuclei", ("all",), ("Nuclei",)),
        ("all features of nuclei, cells and cytoplasm", ("all",), ("Nuclei", "Cells", "Cytoplasm")),
    ):
        added_s = _measured(folder, select(groups), objects) - base_s
        text = f"{mpx / added_s:.1f} Mpx/s ({1000 * added_s / N_SITES:.0f} ms a field of 5 channels)"
        rows.append(Figure(f"{name}, added, one core", text, "-", COMMAND))
    return rows


def _first_well(folder: Path) -> Any:
    from nextplate.imaging import open_readout

    return open_readout(folder)


def _decode(folder: Path) -> None:
    from nextplate.imaging import read_image

    for image in _first_well(folder).images[: N_SITES * len(CHANNELS)]:
        read_image(image)


def _measured(folder: Path, choice: Any, objects: tuple[str, ...] = ("Nuclei",)) -> float:
    """Time one well by one thread, the look at the plate left out."""
    from nextplate.imaging import MeasureParams, prepare
    from nextplate.imaging.whole_plate import measure_well

    params = MeasureParams("DNA", None, CHANNELS[1:], features=choice, objects=objects)
    with ThreadPoolExecutor(2) as executor:
        work = prepare(_first_well(folder), params, executor)
    return seconds(lambda: measure_well(work.plans[0], work), 2)


def whole_plate() -> list[Figure]:
    """Measure the whole plate through the command line, and its largest memory."""
    folder = OUT / "big"
    write_plate(folder)
    rows = []
    for name, arguments in (
        ("counts and QC", ["--features", "none"]),
        ("basic features of nuclei and cells", ["--features", "basic", "--objects", "nuclei,cells"]),
    ):
        body, wall_s, peak_gb = _command(["measure", str(folder), *arguments])
        mpx = body["images_measured"] * MEGA
        text = f"{wall_s:.0f} s, {mpx / wall_s:.0f} Mpx/s on 2 cores, peak memory {peak_gb:.2f} GB"
        what = f"384 wells x 9 sites x 5 channels, {body['cells']} cells, {name}"
        rows.append(Figure(what, text, "peak at most 1.5 GB", COMMAND))
    return rows


def _command(arguments: list[str]) -> tuple[dict[str, Any], float, float]:
    out = OUT / "big-measured"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-c", _MAIN, *arguments, "--out", str(out), "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall_s = time.perf_counter() - started
    peak_kb = int(done.stderr.split()[-1])
    return json.loads(done.stdout), wall_s, peak_kb / 1e6
