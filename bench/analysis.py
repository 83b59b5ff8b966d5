"""What a measured plate costs after its pixels: analysis, profiles, pictures."""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from bench.table import Figure
from bench.timing import seconds
from nextplate.assay import (
    AssayParams,
    MeasuredLayout,
    MeasuredPlate,
    MeasuredWell,
    ProfileParams,
    analyse_plate,
    profile_plates,
)
from nextplate.plate import PLATE_384, Role, parse_well

COMMAND = "python -m bench.run analysis"
_DOSES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_SIDE = 1080


def figures() -> list[Figure]:
    """Measure a dose-response plate of 384 wells, eight plates of profiles, and a contact sheet."""
    return [*analysis(), *profiles(), *sheet()]


def plate(name: str, seed: int, n_features: int = 0) -> tuple[pl.DataFrame, MeasuredLayout]:
    """Generate a plate: controls in four columns, 32 compounds at ten doses scattered over the rest."""
    rng = np.random.default_rng(seed)
    sample = iter(rng.permutation(320).tolist())
    direction = np.random.default_rng(1).normal(0, 1, (32, n_features))
    wells, rows = [], []
    for well in PLATE_384.wells():
        column = parse_well(well)[1]
        role = {0: Role.NEGATIVE, 12: Role.NEGATIVE, 11: Role.POSITIVE, 23: Role.POSITIVE}.get(column, Role.SAMPLE)
        number = next(sample) if role is Role.SAMPLE else 0
        compound, dose = (f"C{number // 10:02d}", _DOSES[number % 10]) if role is Role.SAMPLE else (None, None)
        wells.append(MeasuredWell(well, role, compound, dose, "uM" if dose else "", {}))
        x = 0.0 if dose is None else dose / 3
        level = 1.0 if role is Role.POSITIVE else x / (1 + x) if number // 10 % 3 else 0.0
        features = rng.normal(0, 1, n_features) + level * direction[number // 10]
        row: dict[str, object] = {"plate": name, "well": well, "n_fields": 4, "n_cells": 400, "flags": ""}
        row["nc_ratio"] = 3 * level + rng.normal(0, 0.15)
        rows.append(row | {f"Cells_F{i}": v for i, v in enumerate(features.tolist())})
    return pl.DataFrame(rows), MeasuredLayout(PLATE_384, tuple(wells), "generated")


def analysis() -> list[Figure]:
    """Analyse one plate: quality, 32 curves with profile intervals, hits, B-scores, position effects."""
    wells, layout = plate("P1", 1)
    found = analyse_plate(wells, layout, AssayParams())
    spent = seconds(lambda: analyse_plate(wells, layout, AssayParams()))
    determined = int((found.doses["verdict"] == "determined").sum())
    measured = f"{spent:.2f} s ({determined} of {len(found.doses)} midpoints determined)"
    return [Figure("384 wells, 32 compounds at 10 doses: analysed", measured, "21 of 32 rise in truth", COMMAND)]


def profiles() -> list[Figure]:
    """Normalise, select, sphere and retrieve eight plates of 300 features."""
    plates = [MeasuredPlate(f"P{i}", *plate(f"P{i}", i, 300)) for i in range(8)]
    params = ProfileParams(columns=("Cells_*",))
    spent = seconds(lambda: profile_plates(plates, params, np.random.default_rng(1)), 1)
    return [Figure("8 plates x 384 wells x 300 features: profiles, mAP", f"{spent:.1f} s", "-", COMMAND)]


def sheet() -> list[Figure]:
    """Draw a contact sheet of 384 wells and 3 channels in a process of its own, for its peak memory."""
    with TemporaryDirectory() as folder:
        _images(Path(folder))
        code = f"from bench.analysis import draw_sheet_of; draw_sheet_of({folder!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent, peak = done.stdout.split()
    measured = f"{spent} s, peak {peak} MB"
    return [Figure("contact sheet, 384 wells x 3 channels of 1080 x 1080", measured, "images in cache", COMMAND)]


def _images(folder: Path) -> None:
    """Write four images and link them to all names: what is timed is reading and drawing."""
    import tifffile

    rng = np.random.default_rng(1)
    for k in range(4):
        tifffile.imwrite(folder / f"source-{k}.tif", rng.integers(90, 4000, (_SIDE, _SIDE)).astype(np.uint16))
    for n, well in enumerate(PLATE_384.wells()):
        for channel in range(3):
            os.link(folder / f"source-{(n + channel) % 4}.tif", folder / f"{well}-{channel}.tif")


def draw_sheet_of(folder: str) -> None:
    """Draw the sheet of a folder of generated images; print seconds and peak megabytes."""
    import resource

    from controller.report.figures.contactsheet import Sheet, draw_sheet, shrink
    from nextplate.readout import FieldImage

    images = [
        FieldImage("P1", well, 1, str(channel), Path(folder) / f"{well}-{channel}.tif", None)
        for well in PLATE_384.wells()
        for channel in range(3)
    ]
    started = time.perf_counter()
    tiles, _ = shrink(images, PLATE_384)
    draw_sheet(Sheet("P1", PLATE_384, {}, {}), tiles, ["0", "1", "2"])
    print(f"{time.perf_counter() - started:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}")
