"""Which pixel belongs to which cell in a simulated field.

The renderer adds up light and keeps no labels. This draws the same cells again, from the same random numbers, and
gives every pixel to the cell that sheds the most light on it. It reaches into `sim.render` for that; the science
never sees it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.biology import Phenotype
from sim.render import DIVIDING, DYING, Night, Renderer
from sim.seeds import generator
from sim.stamps import BODY_PX, N_DIVIDING, N_DYING, Patch

Labels = npt.NDArray[np.int32]

_RIM = 0.4
"""Share of a nucleus's brightest pixel at which it ends."""
_FAINT = 120.0
"""Counts of reporter below which a pixel shows no cell: a twentieth of a typical one."""


@dataclass(frozen=True, slots=True)
class FieldTruth:
    """Label images at the raw resolution; cell i holds nucleus i."""

    nuclei: Labels
    cells: Labels


class _Layer:
    """Keeps, per pixel, the light in all and who sheds most of it."""

    def __init__(self, size: int) -> None:
        self.most = np.zeros((size, size), np.float32)
        self.total = np.zeros((size, size), np.float32)
        self.owner = np.zeros((size, size), np.int32)

    def add(self, at: tuple[int, int], patches: list[tuple[Patch, float]], label: int) -> None:
        """Add the patches of one cell around a canvas pixel."""
        size, half = 2 * BODY_PX, BODY_PX
        light = np.zeros((size, size), np.float32)
        for patch, level in patches:
            y, x = half + patch.y0, half + patch.x0
            light[y : y + patch.image.shape[0], x : x + patch.image.shape[1]] += patch.image * np.float32(level)
        top, left = at[0] - half, at[1] - half
        rows, columns = slice(max(top, 0), top + size), slice(max(left, 0), left + size)
        seen = self.most[rows, columns]
        light = light[max(-top, 0) :, max(-left, 0) :][: seen.shape[0], : seen.shape[1]]
        is_more = light > seen
        self.owner[rows, columns][is_more] = label
        self.total[rows, columns] += light
        np.maximum(seen, light, out=seen)


def field_truth(renderer: Renderer, night: Night, phenotype: Phenotype, acquisition: str, well: str) -> FieldTruth:
    """Label the field that `renderer.field` renders for the same arguments."""
    cells = renderer._cells(generator(renderer._seed, "field", acquisition, well), night, phenotype)
    stamps, px = renderer._stamps, renderer._px
    dna, reporter = _Layer(px + 2 * BODY_PX), _Layer(px + 2 * BODY_PX)
    for i in range(len(cells.y)):
        at, stamp, kind = (int(cells.y[i]), int(cells.x[i])), int(cells.stamp[i]), int(cells.kind[i])
        inside, outside = float(cells.nuclear[i]), float(cells.cytoplasm[i])
        nucleus, body = stamps.dna[stamp], [(stamps.nuclear[stamp], inside), (stamps.body[stamp], outside)]
        if kind == DYING:
            nucleus = stamps.dying[stamp % N_DYING]
            body = [(nucleus, 0.45 * (inside + outside))]
        elif kind == DIVIDING:
            nucleus = stamps.dividing[stamp % N_DIVIDING]
            mixed = 0.5 * (inside + outside)
            body = [(stamps.nuclear[stamp], 0.75 * mixed), (stamps.body[stamp], mixed)]
        dna.add(at, [(nucleus, 1.0 / float(nucleus.image.max()))], i + 1)
        reporter.add(at, body, i + 1)
    view = slice(BODY_PX, BODY_PX + px)
    nuclei = np.where(dna.most[view, view] > _RIM, dna.owner[view, view], 0)
    bodies = np.where(reporter.total[view, view] > _FAINT, reporter.owner[view, view], 0)
    return FieldTruth(nuclei, np.where(nuclei > 0, nuclei, bodies))
