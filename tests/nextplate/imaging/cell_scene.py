"""Drawn cells of which every pixel's owner is known: domes on an uneven grid, nuclei off their centres."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
NOISE = 5.0


@dataclass(frozen=True)
class CellScene:
    dna: Image
    body: Image
    nuclei: Labels
    cells: Labels


def draw_cells(rng: np.random.Generator, size: int = 200, pitch: int = 28, noise: float = NOISE) -> CellScene:
    """Draw nuclei about 11 px wide in cells about 30 px wide, many of which touch."""
    yy, xx = np.mgrid[:size, :size].astype(np.float32)
    dna, body = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    nuclei, cells = np.zeros((size, size), np.int32), np.zeros((size, size), np.int32)
    n = 0
    for y0 in range(pitch // 2, size - 8, pitch):
        for x0 in range(pitch // 2, size - 8, pitch):
            if rng.random() < 0.25:
                continue
            n += 1
            y, x = np.array([y0, x0]) + rng.uniform(-4, 4, 2)
            stretch, turn = rng.uniform(0.75, 1.3), rng.uniform(0, np.pi)
            u = (yy - y) * np.cos(turn) + (xx - x) * np.sin(turn)
            v = (xx - x) * np.cos(turn) - (yy - y) * np.sin(turn)
            depth = np.hypot(u * stretch, v / stretch) / rng.uniform(13, 17)
            light = rng.uniform(600, 1800) * np.clip(1.15 - depth**2, 0, 1)
            cells = np.where(light > body, n, cells)
            body = np.maximum(body, light)
            ny, nx = np.array([y, x]) + rng.uniform(-2, 2, 2)
            inside = np.hypot(yy - ny, xx - nx)
            dna = np.maximum(dna, rng.uniform(2000, 4000) * np.clip(6.0 - inside, 0, 1))
            nuclei[inside < 5.5] = n
    cells = np.where(nuclei > 0, nuclei, np.where(body > 100, cells, 0)).astype(np.int32)
    camera = [image + rng.normal(0, noise, image.shape) for image in (dna, body)]
    return CellScene(camera[0].astype(np.float32), camera[1].astype(np.float32), nuclei, cells)


def overlaps(found: Labels, truth: Labels) -> npt.NDArray[np.float64]:
    """Return intersection over union of every found with every true object, shape (n_found, n_true)."""
    n, m = int(found.max()), int(truth.max())
    both = np.bincount((found.astype(np.int64) * (m + 1) + truth).ravel(), minlength=(n + 1) * (m + 1))
    both = both.reshape(n + 1, m + 1)
    union = both.sum(1)[1:, None] + both.sum(0)[None, 1:] - both[1:, 1:]
    return both[1:, 1:] / np.maximum(union, 1)


def f1(found: Labels, truth: Labels) -> float:
    """Object F1 at IoU 0.5; labels absent from an image do not count."""
    n_hits = int((overlaps(found, truth) > 0.5).sum())
    n_objects = sum(len(np.unique(image[image > 0])) for image in (found, truth))
    return 2 * n_hits / max(n_objects, 1)
