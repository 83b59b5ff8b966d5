"""A small folder in the shape of BBBC021, drawn by numpy: the three tables and MetaXpress names with GUIDs.

3 MOAs x 3 compounds x 2 concentrations. Compound k of every MOA is imaged in week k, on two plates; each week has its
own gain, background and staining. MOAs differ in the size of nuclei, the spread of tubulin and the grain of actin.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

SIZE = 200
MOAS = ("Actin disruptors", "DNA damage", "Microtubule stabilizers")
COMPOUNDS = {m: tuple(f"{m.split()[0].lower()}-{k}" for k in range(3)) for m in MOAS}
DOSES = (1.0, 10.0)
N_DMSO = 4
HEADER = (
    "TableNumber", "ImageNumber",
    *(f"Image_{kind}Name_{channel}" for channel in ("DAPI", "Tubulin", "Actin") for kind in ("File", "Path")),
    "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI", "Replicate", "Image_Metadata_Compound",
    "Image_Metadata_Concentration",
)  # fmt: skip
Image = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Copy:
    folder: Path
    plates: tuple[str, ...]
    n_wells: int


def write_copy(folder: Path, *, n_plates: int = 2, n_fields: int = 1, seed: int = 7, has_pixels: bool = True) -> Copy:
    """Write tables and images; without pixels the files are empty, for tests of the tables alone."""
    rng = np.random.default_rng(seed)
    rows, plates = [], []
    for week in range(1, 4):
        look = rng.uniform(0.6, 1.6, 3), rng.uniform(200, 900, 3)
        for plate_no in range(n_plates):
            plate = f"Week{week}_{22100 + 20 * week + plate_no}"
            plates.append(plate)
            place = folder / f"Week{week}" / plate
            place.mkdir(parents=True)
            for well, compound, dose, moa in _wells(week - 1):
                for field in range(1, n_fields + 1):
                    names = [_name(week, well, field, w, rng) for w in (1, 2, 4)]
                    images = _draw(moa, dose, rng, *look) if has_pixels else [None] * 3
                    for name, image in zip(names, images, strict=True):
                        if image is None:
                            (place / name).write_bytes(b"")
                        else:
                            tifffile.imwrite(place / name, image)
                    path = f"Week{week}/{plate}"
                    number = len(rows) + 1
                    files = [cell for name in names for cell in (name, path)]
                    rows.append([4, number, *files, plate, well, plate_no + 1, compound, dose])
    _table(folder / "BBBC021_v1_image.csv", [HEADER, *rows])
    compounds = [c for its in COMPOUNDS.values() for c in its]
    _table(
        folder / "BBBC021_v1_compound.csv",
        [("compound", "smiles"), *((c, "C" * (i + 1)) for i, c in enumerate(compounds)), ("DMSO", "CS(=O)C")],
    )
    known = [(c, d, m) for m, its in COMPOUNDS.items() for c in its for d in DOSES]
    _table(folder / "BBBC021_v1_moa.csv", [("compound", "concentration", "moa"), *known, ("DMSO", 0.0, "DMSO")])
    return Copy(folder, tuple(plates), len(_wells(0)) * len(plates))


def _wells(k: int) -> list[tuple[str, str, float, str]]:
    wells = [(f"B{i + 2:02d}", "DMSO", 0.0, "") for i in range(N_DMSO)]
    for row, moa in zip("CDE", MOAS, strict=True):
        wells += [(f"{row}{j + 2:02d}", COMPOUNDS[moa][k], dose, moa) for j, dose in enumerate(DOSES)]
    return [*wells, ("F02", "unannotated", 5.0, "")]


def _name(week: int, well: str, field: int, wave: int, rng: np.random.Generator) -> str:
    digits = "".join(f"{b:02X}" for b in rng.integers(0, 256, 16))
    guid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return f"Week{week}_150607_{well}_s{field}_w{wave}{guid}.tif"


def _table(path: Path, rows: list) -> None:
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)


def _draw(
    moa: str, dose: float, rng: np.random.Generator, gain: Image, background: Image
) -> list[npt.NDArray[np.uint16]]:
    strength = {1.0: 0.8, 10.0: 1.0}.get(dose, 0.0) if moa else 0.0
    swollen = strength * (moa == MOAS[1])
    bundled = strength * (moa == MOAS[2])
    clumped = strength * (moa == MOAS[0])
    dna, tubulin, actin = np.zeros((3, SIZE, SIZE))
    yy, xx = np.mgrid[:SIZE, :SIZE]
    for y, x in _places(rng):
        r = np.hypot(yy - y, xx - x)
        radius = rng.uniform(7, 9) * (1 + 0.45 * swollen)
        dna = np.maximum(dna, np.clip((radius - r) / 2, 0, 1) * rng.uniform(2000, 3500) * (1 - 0.4 * swollen))
        tubulin = np.maximum(tubulin, np.exp(-r / (16 - 8 * bundled)) * 2500 * (1 + bundled))
        actin = np.maximum(actin, np.clip((18 - r) / 4, 0, 1) * 1500)
    grain = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 2.0)
    actin = actin * (1 + clumped * 1.2 * np.clip(grain / grain.std(), -0.8, 3))
    planes = [(p * g + b) for p, g, b in zip((dna, tubulin, actin), gain, background, strict=True)]
    return [np.clip(rng.poisson(ndimage.gaussian_filter(p, 0.8)), 0, 65535).astype(np.uint16) for p in planes]


def _places(rng: np.random.Generator) -> list[tuple[float, float]]:
    placed: list[tuple[float, float]] = []
    for y, x in rng.uniform(12, SIZE - 12, (300, 2)):
        if len(placed) < 14 and all(np.hypot(y - py, x - px) > 30 for py, px in placed):
            placed.append((float(y), float(x)))
    return placed
