"""From what cells do to 16-bit pixels: two channels of one field, DNA and reporter.

The reporter of a cell is conserved: what enters the nucleus leaves the cytoplasm. Everything random comes from
(seed, acquisition, well), so fields can be rendered in any order and on any number of threads.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from sim.biology import Phenotype
from sim.seeds import generator
from sim.stamps import BODY_PX, N_DIVIDING, N_DYING, Image, Patch, Stamps, make_stamps

Pixels = npt.NDArray[np.uint16]

LOG_RATIO_OFF, LOG_RATIO_ON = -0.9, 1.4
"""log2 of reporter brightness, nucleus over cytoplasm, as seen in a resting and in a fully responding cell."""
OVERLAY = 0.25
"""Part of the cytoplasm's brightness that shines through the nucleus from above and below it."""
CELL_SPREAD = 0.46
"""Cell-to-cell standard deviation of that log2."""
DNA_COUNTS, REPORTER_COUNTS = 5200.0, 2400.0
BACKGROUND = (380.0, 520.0)
COUNTS_PER_PHOTON, READ_NOISE = 0.5, 4.0
LIVING, DYING, DIVIDING = 0, 1, 2
_PITCH_PX = 30
_MARGIN_PX = BODY_PX
_NOISE_MARGIN_PX = 900


@dataclass(frozen=True, slots=True)
class Night:
    """The microscope on one acquisition: lamp, stain and camera are never quite as they were."""

    gain: tuple[float, float]
    background: tuple[float, float]
    illumination: tuple[Image, Image]
    """Shape (px, px) each, 1 at the brightest point."""
    haze: Image
    """Shape (px, px): slow unevenness of the background."""
    ratio_shift: float
    """Added to every cell's log2 ratio that night."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of one field, in canvas pixels."""

    y: npt.NDArray[np.intp]
    x: npt.NDArray[np.intp]
    stamp: npt.NDArray[np.intp]
    dna: npt.NDArray[np.float64]
    nuclear: npt.NDArray[np.float64]
    cytoplasm: npt.NDArray[np.float64]
    kind: npt.NDArray[np.intp]
    """LIVING, DYING or DIVIDING."""


class Renderer:
    """Renders fields of one world; safe to call from several threads."""

    def __init__(self, seed: int, field_px: int, n_cells: float) -> None:
        self._seed = seed
        self._px = field_px
        self._n_cells = n_cells
        self._stamps: Stamps = make_stamps(seed)
        # drawing a new normal number for every pixel would cost half of the time; a field crops its noise from here
        noise = generator(seed, "camera noise")
        self._noise: Image = noise.standard_normal((field_px + _NOISE_MARGIN_PX,) * 2, dtype=np.float32)

    def night(self, acquisition: str) -> Night:
        """Draw the state of the microscope for one acquisition."""
        rng = generator(self._seed, "night", acquisition)
        gains = np.exp(rng.normal(0.0, 0.08, 2))
        backgrounds = np.array(BACKGROUND) * np.exp(rng.normal(0.0, 0.12, 2))
        illumination = self._illumination(rng, 0.24), self._illumination(rng, 0.30)
        ratio_shift = float(rng.normal(0.0, 0.10))
        return Night((gains[0], gains[1]), (backgrounds[0], backgrounds[1]), illumination, self._haze(rng), ratio_shift)

    def field(
        self, night: Night, phenotype: Phenotype, acquisition: str, well: str, *, is_blurred: bool
    ) -> tuple[Pixels, Pixels]:
        """Return the two channels (DNA, reporter) of a well's field, shape (px, px) each."""
        rng = generator(self._seed, "field", acquisition, well)
        cells = self._cells(rng, night, phenotype)
        dna, reporter = self._draw(cells)
        self._debris(rng, dna, reporter)
        if is_blurred:
            sigma = rng.uniform(4.0, 7.0)
            dna, reporter = gaussian_filter(dna, sigma), gaussian_filter(reporter, sigma)
        return self._camera(rng, night, 0, dna), self._camera(rng, night, 1, reporter)

    def _illumination(self, rng: np.random.Generator, falloff: float) -> Image:
        centre = self._px * (0.5 + rng.normal(0.0, 0.05, 2))
        y, x = np.mgrid[: self._px, : self._px]
        squared = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (0.5 * self._px**2)
        return np.asarray(1.0 - falloff * squared, dtype=np.float32)

    def _haze(self, rng: np.random.Generator) -> Image:
        coarse = rng.standard_normal((self._px // 4, self._px // 4))
        smooth = gaussian_filter(coarse, self._px / 32, mode="reflect")
        fine = np.repeat(np.repeat(smooth / smooth.std(), 4, axis=0), 4, axis=1)
        full = np.pad(fine, ((0, self._px - len(fine)),) * 2, mode="edge")
        return np.asarray(1.0 + 0.03 * gaussian_filter(full, 3.0), dtype=np.float32)

    def _cells(self, rng: np.random.Generator, night: Night, phenotype: Phenotype) -> _Cells:
        y, x = self._positions(rng, phenotype.density)
        n = len(y)
        draw = rng.random(n)
        is_dividing = draw > 1.0 - 0.025 * phenotype.survival
        kind = np.where(draw < phenotype.dying_share, DYING, np.where(is_dividing, DIVIDING, LIVING))
        stamp = rng.integers(0, len(self._stamps.dna), n)
        # two copies of the genome in some cells, and staining that varies
        ploidy = 1.0 + 0.75 * (rng.random(n) < 0.22)
        dna = DNA_COUNTS * ploidy**0.6 * np.exp(rng.normal(0.0, 0.13, n))
        nuclear, cytoplasm = self._reporter(rng, night, phenotype, stamp)
        return _Cells(y, x, stamp, dna, nuclear, cytoplasm, kind)

    def _positions(self, rng: np.random.Generator, density: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Draw cell centres on a jittered grid, more where the slow pattern of the well is dense."""
        size = self._px + _MARGIN_PX
        n_side = size // _PITCH_PX + 1
        grid = (np.stack(np.divmod(np.arange(n_side**2), n_side)) + 0.5) * _PITCH_PX
        waves = rng.uniform(0.004, 0.016, (2, 2)), rng.uniform(0, 2 * np.pi, 2)
        slow = sum(np.cos(waves[0][i, 0] * grid[0] + waves[0][i, 1] * grid[1] + waves[1][i]) for i in range(2))
        weight = np.exp(0.28 * slow)
        n_expected = self._n_cells * density * (size / 540.0) ** 2
        is_cell = rng.random(n_side**2) < np.clip(n_expected * weight / weight.sum(), 0.0, 0.97)
        centre = grid[:, is_cell] + rng.uniform(-9.0, 9.0, (2, int(is_cell.sum())))
        low = _MARGIN_PX // 2
        inside = np.clip(np.rint(centre), 0, size).astype(np.intp) + low
        return inside[0], inside[1]

    def _reporter(
        self, rng: np.random.Generator, night: Night, phenotype: Phenotype, stamp: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Share every cell's reporter between nucleus and cytoplasm."""
        n = len(stamp)
        # half of the heterogeneity is how strongly a cell responds, half is how it rests
        response = phenotype.effect * np.exp(rng.normal(0.0, 0.18, n))
        log_ratio = LOG_RATIO_OFF + (LOG_RATIO_ON - LOG_RATIO_OFF) * response + night.ratio_shift
        ratio = np.maximum(2.0 ** (log_ratio + rng.normal(0.0, CELL_SPREAD, n)) - OVERLAY, 0.02)
        amount = REPORTER_COUNTS * np.exp(rng.normal(0.0, 0.30, n))
        capacity = self._stamps.ratio[stamp]
        cytoplasm = amount * (1.0 + capacity) / (capacity + ratio) * 0.6
        return np.minimum(cytoplasm * ratio, 9000.0), cytoplasm

    def _draw(self, cells: _Cells) -> tuple[Image, Image]:
        size = self._px + 2 * _MARGIN_PX
        dna, reporter = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
        for i in range(len(cells.y)):
            self._draw_cell(cells, i, dna, reporter)
        low = _MARGIN_PX
        inside = slice(low, low + self._px)
        return np.ascontiguousarray(dna[inside, inside]), np.ascontiguousarray(reporter[inside, inside])

    def _draw_cell(self, cells: _Cells, i: int, dna: Image, reporter: Image) -> None:
        stamps, stamp, kind = self._stamps, int(cells.stamp[i]), int(cells.kind[i])
        at = int(cells.y[i]), int(cells.x[i])
        brightness, inside, outside = cells.dna[i], cells.nuclear[i], cells.cytoplasm[i]
        if kind == DYING:
            shape = stamps.dying[stamp % N_DYING]
            _add(dna, at, shape, brightness)
            _add(reporter, at, shape, 0.45 * (inside + outside))
        elif kind == DIVIDING:
            _add(dna, at, stamps.dividing[stamp % N_DIVIDING], brightness)
            # without a nuclear envelope the reporter is everywhere
            mixed = 0.5 * (inside + outside)
            _add(reporter, at, stamps.nuclear[stamp], 0.75 * mixed)
            _add(reporter, at, stamps.body[stamp], mixed)
        else:
            _add(dna, at, stamps.dna[stamp], brightness)
            _add(reporter, at, stamps.nuclear[stamp], inside)
            _add(reporter, at, stamps.body[stamp], outside)

    def _debris(self, rng: np.random.Generator, dna: Image, reporter: Image) -> None:
        """Lay some dust into a few wells: bright flecks in both channels, now and then a fibre."""
        draw = rng.random(2)
        if draw[0] < 0.06:
            for _ in range(rng.integers(1, 4)):
                y, x = rng.integers(20, self._px - 20, 2)
                fleck = np.zeros((21, 21), np.float32)
                fleck[tuple(rng.integers(6, 15, (2, 12)))] = rng.uniform(8e3, 4e4)
                fleck = gaussian_filter(fleck, rng.uniform(1.0, 2.5))
                dna[y - 10 : y + 11, x - 10 : x + 11] += fleck
                reporter[y - 10 : y + 11, x - 10 : x + 11] += np.float32(0.6) * fleck
        if draw[1] < 0.008:
            self._fibre(rng, dna)

    def _fibre(self, rng: np.random.Generator, dna: Image) -> None:
        t = np.linspace(0.0, 1.0, 6 * self._px)
        points = rng.uniform(0, self._px, (2, 4))
        weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
        y, x = np.clip(np.rint(points @ weights), 0, self._px - 1).astype(np.intp)
        line = np.zeros_like(dna)
        line[y, x] = 12_000.0
        dna += gaussian_filter(line, 2.0)

    def _camera(self, rng: np.random.Generator, night: Night, channel: int, image: Image) -> Pixels:
        """Turn light into counts: lamp profile, background, shot noise (Gaussian in place of Poisson), read noise."""
        image *= np.float32(night.gain[channel])
        image += np.float32(night.background[channel]) * night.haze
        image *= night.illumination[channel]
        y, x = rng.integers(0, _NOISE_MARGIN_PX, 2)
        spread = image * np.float32(COUNTS_PER_PHOTON)
        spread += np.float32(READ_NOISE**2)
        np.sqrt(spread, out=spread)
        spread *= self._noise[y : y + self._px, x : x + self._px]
        image += spread
        image += np.float32(100.5)
        np.clip(image, 0, 65535, out=image)
        return image.astype(np.uint16)


def _add(canvas: Image, at: tuple[int, int], patch: Patch, brightness: float) -> None:
    """Add a patch times a brightness around a canvas pixel."""
    y, x = at[0] + patch.y0, at[1] + patch.x0
    height, width = patch.image.shape
    canvas[y : y + height, x : x + width] += patch.image * np.float32(brightness)
