"""The features per object: one real field and a crowded one, beside scikit-image's regionprops where it is installed.

``PYTHONPATH=src:. NEXTPLATE_DATA=../shared python -m bench.features``. regionprops is no dependency; to see it, run
with an interpreter that has it as well: ``OTHER_PYTHON=/tmp/oracle/bin/python``.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

from bench.table import Figure, markdown
from bench.timing import warm_seconds as best
from nextplate.features import measure_features, measure_field, select

COMMAND = "python -m bench.features"
FIELD = "images/nf1-cellpainting/Plate_2_{}/{}"
SHAPE = (904, 1224)
_OUT = Path("bench-out/features")

_REGIONPROPS = """
import sys, time
import numpy as np
from skimage.measure import regionprops_table
labels, image = np.load(sys.argv[1]), np.load(sys.argv[2])
names = ["area", "perimeter", "eccentricity", "solidity", "extent", "orientation", "intensity_mean", "intensity_max"]
times = []
for _ in range(3):
    started = time.perf_counter()
    regionprops_table(labels, image, properties=names)
    times.append(time.perf_counter() - started)
print(min(times))
"""


def main() -> None:
    """Measure and print."""
    print(markdown(figures()))


def figures() -> list[Figure]:
    """Measure one real field and one of 300 objects."""
    labels, image = real_field()
    many = crowd(np.random.default_rng(1), 300)
    return [
        *_of("one NF1 field and channel", labels, image, "at most 0.2 s"),
        *_of("the same channel", many, image, "at most 0.5 s"),
        Figure("whole-field features", f"{1000 * best(lambda: measure_field({'DNA': image})):.0f} ms", "-", COMMAND),
    ]


def _of(what: str, labels: npt.NDArray[np.int32], image: npt.NDArray[np.uint16], bar: str) -> list[Figure]:
    choice, named = select(["all"]), f"{what}, {labels.max()} objects"
    n_columns = measure_features(labels, {"DNA": image}, choice).width - 1
    seconds = best(lambda: measure_features(labels, {"DNA": image}, choice))
    return [
        Figure(f"{named}, {n_columns} features", f"{1000 * seconds:.0f} ms", bar, COMMAND),
        Figure(f"{named}, regionprops, 8 properties", regionprops(labels, image), "-", COMMAND),
        *(
            Figure(f"{named}, {group} alone", f"{1000 * best(_alone(labels, image, group), 5):.1f} ms", "-", COMMAND)
            for group in ("shape", "hull", "moments", "intensity", "radial", "texture", "granularity", "neighbours")
        ),
    ]


def _alone(labels: npt.NDArray[np.int32], image: npt.NDArray[np.uint16], group: str) -> Callable[[], object]:
    choice = select([group])
    return lambda: measure_features(labels, {"DNA": image}, choice)


def real_field() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
    """Read the field with the most nuclei; its mask has no labels, connected pixels are one nucleus."""
    folder = Path(os.environ.get("NEXTPLATE_DATA", "../shared"))
    masks = sorted(folder.glob(FIELD.format("masks", "*DAPI*MaskNuclei.tiff")))
    found = [ndimage.label(tifffile.imread(path))[0] for path in masks]
    most = int(np.argmax([labels.max() for labels in found]))
    name = masks[most].name.replace("_MaskNuclei.tiff", ".tif")
    return found[most], tifffile.imread(folder / FIELD.format("images", name))


def crowd(rng: np.random.Generator, n: int) -> npt.NDArray[np.int32]:
    """Draw n ellipses of about 700 pixels on a jittered grid of a field."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros(SHAPE, np.int32)
    for i in range(n):
        cy, cx = 30 + 56 * (i // 20) + rng.uniform(-5, 5), 30 + 60 * (i % 20) + rng.uniform(-5, 5)
        turn, wide, tall = rng.uniform(0, np.pi), rng.uniform(14, 22), rng.uniform(10, 14)
        box = np.s_[max(int(cy) - 25, 0) : int(cy) + 26, max(int(cx) - 25, 0) : int(cx) + 26]
        u = (x[box] - cx) * np.cos(turn) + (y[box] - cy) * np.sin(turn)
        v = (y[box] - cy) * np.cos(turn) - (x[box] - cx) * np.sin(turn)
        labels[box][(u / wide) ** 2 + (v / tall) ** 2 < 1] = i + 1
    return labels


def regionprops(labels: npt.NDArray[np.int32], image: npt.NDArray[np.uint16]) -> str:
    """Time scikit-image in the interpreter OTHER_PYTHON."""
    other = os.environ.get("OTHER_PYTHON")
    if other is None:
        return "not measured: OTHER_PYTHON is not set"
    _OUT.mkdir(parents=True, exist_ok=True)
    paths = [_OUT / "labels.npy", _OUT / "image.npy"]
    np.save(paths[0], labels)
    np.save(paths[1], image)
    done = subprocess.run([other, "-c", _REGIONPROPS, *paths], check=True, capture_output=True, text=True)
    return f"{1000 * float(done.stdout):.0f} ms"


if __name__ == "__main__":
    main()
