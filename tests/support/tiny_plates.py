"""Tiny plates for networks: two channels whose brightness tells the well's class."""

from pathlib import Path

import numpy as np
import tifffile

from nextplate.imaging import open_readout
from nextplate.readout import Readout

PATTERN = r"(?P<well>[A-H]\d{2})_s(?P<field>\d)_(?P<channel>DNA|GFP)\.tif"
WELLS = ("A01", "A02", "A03", "B01", "B02", "B03")
SIZE = (40, 48)


def write_plate(folder: Path, n_fields: int = 2, dtype: str = "uint16", size: tuple[int, int] = SIZE) -> Path:
    """Write a plate; row A is dark in GFP, row B bright."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    top = 40 if dtype == "uint8" else 4000
    for well in WELLS:
        for field in range(1, n_fields + 1):
            for channel in ("DNA", "GFP"):
                level = 1 + 3 * (well[0] == "B" and channel == "GFP")
                pixels = (rng.random(size) * top * level).astype(dtype)
                tifffile.imwrite(folder / f"{well}_s{field}_{channel}.tif", pixels)
    return folder


def write_layout(path: Path) -> Path:
    """Write the layout: row A negative, row B a compound; `strength` is a number for every well but A03."""
    lines = ["well,role,compound,dose,dose_unit,strength"]
    for i, well in enumerate(WELLS):
        middle = "negative,,," if well[0] == "A" else "sample,C1,1,uM"
        lines.append(f"{well},{middle},{'' if well == 'A03' else i}")
    path.write_text("\n".join(lines) + "\n")
    return path


def tiny_readout(folder: Path) -> Readout:
    """List a tiny plate."""
    return open_readout(folder, pattern=PATTERN)
