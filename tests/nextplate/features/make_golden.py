"""Write golden.json: what CellProfiler's measurements, scikit-image and mahotas say of the seeded scene.

Run by hand, with an environment of its own (none of these packages is a dependency):

    python3.11 -m venv /tmp/oracle
    /tmp/oracle/bin/pip install scikit-image==0.26.0 mahotas==1.4.19 cp_measure==0.3.0
    PYTHONPATH=. /tmp/oracle/bin/python tests/nextplate/features/make_golden.py
"""

import json
from pathlib import Path

import numpy as np
from cp_measure.core.measurecolocalization import (
    get_correlation_manders_fold,
    get_correlation_overlap,
    get_correlation_pearson,
    get_correlation_rwc,
)
from cp_measure.core.measuregranularity import get_granularity
from cp_measure.core.measureobjectintensity import get_intensity
from cp_measure.core.measureobjectintensitydistribution import get_radial_distribution
from cp_measure.core.measureobjectsizeshape import get_feret, get_sizeshape
from cp_measure.core.measuretexture import get_texture
from cp_measure.multimask.measureobjectneighbors import measureobjectneighbors
from skimage.segmentation import relabel_sequential

from tests.nextplate.features.feature_scene import scene

SEED = 20
KEPT = 3
"""Every third object is enough."""
ANGLES = ("0deg", "135deg", "90deg", "45deg")


def golden() -> dict[str, list[float]]:
    labels, dna, other = scene(SEED)
    masks = relabel_sequential(labels.astype(np.int64))[0]
    found: dict[str, np.ndarray] = {"label": np.unique(labels)[1:]}
    for part in (get_sizeshape(masks, dna), get_feret(masks, dna)):
        found |= {f"AreaShape_{name}": value for name, value in part.items()}
    found |= {f"{name}_DNA": value for name, value in get_intensity(masks, dna).items()}
    found |= {f"{name}_DNA": value for name, value in get_radial_distribution(masks, dna).items()}
    found |= {f"{name}_DNA": value for name, value in get_granularity(masks, dna).items()}
    for scale, levels in ((1, 256), (3, 256), (3, 16)):
        found |= _texture(masks, dna, scale, levels)
    for measure in (
        get_correlation_pearson,
        get_correlation_manders_fold,
        get_correlation_overlap,
        get_correlation_rwc,
    ):
        found |= {f"Colocalization_{name}_DNA_RNA": value for name, value in measure(dna, other, masks).items()}
    for near in (1, 5):
        method = {1: "Adjacent", 5: "Within a specified distance"}[near]
        found |= {f"{name}@{near}": value for name, value in measureobjectneighbors(masks, masks, method, near).items()}
    return {name: [_rounded(v) for v in np.asarray(value, float)[::KEPT]] for name, value in found.items()}


def _texture(masks: np.ndarray, image: np.ndarray, scale: int, levels: int) -> dict[str, np.ndarray]:
    parts = {}
    for name, value in get_texture(masks, image, scale=scale, gray_levels=levels).items():
        feature, _, direction, _ = name.split("_")
        parts[f"Texture_{feature}_DNA_{scale}px_{ANGLES[int(direction)]}@{levels}"] = value
    return parts


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.6g}")


if __name__ == "__main__":
    path = Path(__file__).with_name("golden.json")
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in golden().items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path, len(lines), "columns", path.stat().st_size // 1024, "kB")
