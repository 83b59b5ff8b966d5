"""A field of blobs made from a seed with numpy alone, so that other interpreters (the oracle's) make the same one."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint16]
Image = npt.NDArray[np.float64]

SHAPE = (180, 220)


def scene(seed: int) -> tuple[Labels, Image, Image]:
    """Return labels with gaps (3, 5, 7, ...), some touching or dented, none at the border, and two images in 0..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    labels = np.zeros(SHAPE, np.uint16)
    smooth = np.zeros(SHAPE)
    for i, (cy, cx) in enumerate(_centres(rng)):
        angle, wide, tall = rng.uniform(0, np.pi), rng.uniform(9, 17), rng.uniform(7, 12)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        dent = 0.35 * rng.uniform(0, 1) * np.exp(-((u - wide) ** 2 + v**2) / 30)
        radius = (u / wide) ** 2 + (v / tall) ** 2 + 4 * dent
        labels[(radius < 1) & (labels == 0)] = 3 + 2 * i
        smooth += rng.uniform(0.2, 0.5) * np.exp(-radius)
    dna = np.clip(0.05 + smooth + rng.normal(0, 0.03, SHAPE) + 0.03 * np.sin(x / 2.1) * np.cos(y / 1.7), 0, 1)
    other = np.clip(0.1 + 0.5 * smooth**2 + 0.2 * dna + rng.normal(0, 0.02, SHAPE), 0, 1)
    return labels, dna, other


def _centres(rng: np.random.Generator) -> list[tuple[float, float]]:
    return [
        (22 + 34 * row + rng.uniform(-2, 2), 24 + 28 * column + rng.uniform(-2, 2))
        for row in range(5)
        for column in range(7)
    ]
