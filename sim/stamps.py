"""Pre-rendered cells: many nuclei, cell bodies, dividing and dying nuclei, each an image small enough to add fast.

A stamp already holds shape, orientation, sub-pixel position, texture and the blur of the optics. Values are
relative: 1 is the typical brightness of a nucleus (DNA) or of the reporter at one unit of concentration.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from sim.seeds import generator

Image = npt.NDArray[np.float32]

NUCLEUS_PX = 48
BODY_PX = 72
N_CELLS, N_DYING, N_DIVIDING = 224, 48, 24
PSF_PX = 0.9
"""Blur of the optics, standard deviation: about a 20x objective of NA 0.5 at 0.65 um pixels."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A stamp cut down to where there is something."""

    image: Image
    """Contiguous float32, shape (h, w)."""
    y0: int
    """Row of its first pixel, counted from the centre of the cell."""
    x0: int


@dataclass(frozen=True, slots=True)
class Stamps:
    """The bank of stamps of one world; entry i of dna, nuclear and body belong to one cell."""

    dna: tuple[Patch, ...]
    nuclear: tuple[Patch, ...]
    """Where reporter in the nucleus shines."""
    body: tuple[Patch, ...]
    """Where reporter in the cytoplasm shines."""
    ratio: npt.NDArray[np.float64]
    """Shape (N_CELLS,): reporter a cytoplasm holds per unit, over what the nucleus holds per unit."""
    dying: tuple[Patch, ...]
    """Condensed or fragmented nuclei."""
    dividing: tuple[Patch, ...]


@dataclass(frozen=True, slots=True)
class _Outline:
    """A closed outline r(angle) around a centre, in pixels."""

    radius: float
    amplitudes: npt.NDArray[np.float64]
    phases: npt.NDArray[np.float64]
    y0: float
    x0: float

    def depth(self, size: int) -> npt.NDArray[np.float64]:
        """Return distance from the centre over the outline's radius, for every pixel of a square image."""
        y, x = np.mgrid[:size, :size] - (size - 1) / 2.0
        y, x = y - self.y0, x - self.x0
        angle, distance = np.arctan2(y, x), np.hypot(y, x)
        wave = np.ones_like(angle)
        for order, (amplitude, phase) in enumerate(zip(self.amplitudes, self.phases, strict=True), start=2):
            wave += amplitude * np.cos(order * angle + phase)
        return np.asarray(distance / (self.radius * wave))


@lru_cache(maxsize=2)
def make_stamps(seed: int) -> Stamps:
    """Render the bank; a pure function of the seed, kept because it takes half a second."""
    rng = generator(seed, "stamps")
    cells = [_cell(rng) for _ in range(N_CELLS)]
    dna, nuclear, body = (tuple(_trimmed(cell[i]) for cell in cells) for i in range(3))
    ratio = np.array([cell[2].sum() / cell[1].sum() for cell in cells])
    dying = tuple(_trimmed(_dying(rng)) for _ in range(N_DYING))
    dividing = tuple(_trimmed(_dividing(rng)) for _ in range(N_DIVIDING))
    return Stamps(dna, nuclear, body, ratio, dying, dividing)


def _trimmed(full: npt.NDArray[np.float64]) -> Patch:
    """Cut a square image down to the pixels that matter; small images are added fast."""
    is_seen = full > 0.002 * full.max()
    rows, columns = (np.flatnonzero(is_seen.any(axis=axis)) for axis in (1, 0))
    image = full[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    centre = len(full) // 2
    return Patch(np.ascontiguousarray(image, dtype=np.float32), int(rows[0]) - centre, int(columns[0]) - centre)


def _outline(rng: np.random.Generator, radius: float, roughness: tuple[float, ...], shift: float) -> _Outline:
    amplitudes = np.array(roughness) * rng.uniform(0.2, 1.0, len(roughness))
    y0, x0 = rng.uniform(-shift, shift, 2)
    return _Outline(radius, amplitudes, rng.uniform(0, 2 * np.pi, len(roughness)), y0, x0)


def _soft(depth: npt.NDArray[np.float64], edge: float) -> npt.NDArray[np.float64]:
    """Return 1 inside the outline, 0 outside, with a soft edge of a fraction of the radius."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip((depth - 1.0) / edge, -40, 40))))


def _texture(rng: np.random.Generator, size: int, grain_px: float, strength: float) -> npt.NDArray[np.float64]:
    noise = gaussian_filter(rng.standard_normal((size, size)), grain_px)
    return np.asarray(1.0 + strength * noise / noise.std())


def _pad(image: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    margin = (size - image.shape[0]) // 2
    return np.pad(image, margin)


def _cell(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], ...]:
    """Return (dna, nuclear, body) of one cell; the nucleus lies off-centre in the body."""
    radius = 9.6 * float(np.exp(rng.normal(0.0, 0.11)))
    outline = _outline(rng, radius, (0.20, 0.05, 0.03), 0.5)
    depth = outline.depth(NUCLEUS_PX)
    mask = _soft(depth, 0.045)
    dome = 0.72 + 0.28 * np.sqrt(np.clip(1.0 - depth**2, 0.0, 1.0))
    holes = _nucleoli(rng, radius)
    dna = mask * dome * _texture(rng, NUCLEUS_PX, 1.6, 0.13) * (1.0 - 0.38 * holes)
    nuclear = mask * dome * _texture(rng, NUCLEUS_PX, 1.3, 0.06) * (1.0 - 0.45 * holes)
    body = _body(rng, radius, _pad(mask, BODY_PX))
    return gaussian_filter(dna, PSF_PX), gaussian_filter(nuclear, PSF_PX), gaussian_filter(body, PSF_PX)


def _nucleoli(rng: np.random.Generator, radius: float) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[:NUCLEUS_PX, :NUCLEUS_PX] - (NUCLEUS_PX - 1) / 2.0
    holes = np.zeros((NUCLEUS_PX, NUCLEUS_PX))
    for _ in range(rng.integers(1, 5)):
        y0, x0 = rng.normal(0.0, 0.33 * radius, 2)
        holes = np.maximum(holes, np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (2 * rng.uniform(1.1, 2.0) ** 2)))
    return holes


def _body(rng: np.random.Generator, nucleus_radius: float, nucleus: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the cytoplasm: thick around the nucleus, thin at its rim, and thin above the nucleus itself."""
    radius = nucleus_radius * rng.uniform(2.0, 2.6)
    outline = _outline(rng, radius, (0.26, 0.13, 0.08, 0.05), 2.5)
    # the widest bulge has to end inside the stamp
    widest = BODY_PX / 2 - 5.0
    outline = replace(outline, radius=min(radius, widest / (1.0 + float(outline.amplitudes.sum()))))
    depth = outline.depth(BODY_PX)
    thickness = _soft(depth, 0.07) * (0.30 + 0.70 * np.clip(1.0 - depth**2, 0.0, 1.0))
    vesicles = 1.0 + 0.25 * np.clip(_texture(rng, BODY_PX, 0.8, 1.0) - 2.4, 0.0, None)
    return np.asarray(thickness * _texture(rng, BODY_PX, 2.2, 0.13) * vesicles * (1.0 - 0.78 * nucleus))


def _dying(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return one shrunken bright nucleus, or the fragments of one."""
    n_pieces = 1 if rng.random() < 0.45 else int(rng.integers(3, 7))
    y, x = np.mgrid[:NUCLEUS_PX, :NUCLEUS_PX] - (NUCLEUS_PX - 1) / 2.0
    image = np.zeros((NUCLEUS_PX, NUCLEUS_PX))
    for _ in range(n_pieces):
        radius = rng.uniform(4.2, 6.0) if n_pieces == 1 else rng.uniform(1.4, 3.2)
        y0, x0 = rng.normal(0.0, 0.6 if n_pieces == 1 else 4.6, 2)
        depth = np.hypot((y - y0) * rng.uniform(0.85, 1.2), x - x0) / radius
        image = np.maximum(image, rng.uniform(1.8, 2.9) * _soft(depth, 0.09))
    return np.asarray(gaussian_filter(image, PSF_PX))


def _dividing(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a metaphase plate, or the two plates of an anaphase."""
    y, x = np.mgrid[:NUCLEUS_PX, :NUCLEUS_PX] - (NUCLEUS_PX - 1) / 2.0
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    gap = 0.0 if rng.random() < 0.6 else rng.uniform(4.5, 8.0)
    plates = [
        np.hypot(along / rng.uniform(7.5, 10), (across - side * gap) / 3.8) for side in ((0,) if gap == 0 else (-1, 1))
    ]
    image = 2.3 * np.maximum.reduce([_soft(plate, 0.12) for plate in plates])
    return np.asarray(gaussian_filter(image * _texture(rng, NUCLEUS_PX, 1.2, 0.10), PSF_PX))
