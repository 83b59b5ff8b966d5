"""Nuclei, cells, labels at full resolution, image QC: speed beside plain scipy, quality where the truth is known.

``PYTHONPATH=src:. NEXTPLATE_DATA=../shared python -m bench.segmentation``. One core; the best of several runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

from bench.sim_truth import FieldTruth, field_truth
from bench.table import Figure, markdown
from bench.timing import warm_seconds as best
from nextplate.imaging.cells import CellRule, cytoplasm_image, cytoplasm_threshold, find_cells
from nextplate.imaging.channel_look import look_at
from nextplate.imaging.debris import find_debris
from nextplate.imaging.flatfield import Image
from nextplate.imaging.full_resolution import cytoplasm, nuclei_and_cells
from nextplate.imaging.nuclei import Nuclei, find_nuclei
from nextplate.imaging.threshold import otsu
from sim.render import Renderer
from tests.nextplate.imaging.cell_scene import overlaps
from tests.nextplate.imaging.qc_plates import QcPlate, bbbc013, images_folder, living, nf1
from tests.nextplate.imaging.test_find_cells import border_labels, masks_of, without

COMMAND = "python -m bench.segmentation"
Labels = npt.NDArray[np.int32]
_RADIUS = 3.0
"""Nucleus diameters that a cell may reach."""


@dataclass(frozen=True)
class Field:
    """One field, segmented."""

    plate: QcPlate
    well: str
    body: tuple[str, ...]
    """Channels of the cytoplasm."""

    @property
    def shape(self) -> tuple[int, int]:
        h, w = self.plate.raw[self.well][self.plate.dna].shape
        return h, w

    def signal(self, channel: str) -> Image:
        return self.plate.signal(self.plate.raw[self.well][channel], channel)[0]

    def nuclei(self) -> Nuclei:
        return find_nuclei(self.signal(self.plate.dna), self.plate.rule)

    def cytoplasm(self) -> Image:
        return cytoplasm_image([self.signal(c) for c in self.body], [self.plate.flats[c].noise for c in self.body])

    def rule(self, threshold: float | None = None) -> CellRule:
        return CellRule(_RADIUS * self.plate.diameter_px, threshold)


def main() -> None:
    """Measure and print."""
    print(markdown(figures()))


def figures() -> list[Figure]:
    """Measure speed on three fields, and quality on NF1 and on simulated fields."""
    real, sim = Field(nf1(), "D7", ("GFP", "RFP")), simulated(1080, 200.0, 1)
    bbbc = Field(bbbc013(every=12)[0], "A01", ("FKHR-GFP",))
    named = (("NF1 904 x 1224", real), ("BBBC013 640 x 640", bbbc), ("simulated 1080 x 1080", sim[0][0]))
    return [*(f for name, field in named for f in _speed(name, field)), *_truth(), *_nf1()]


def _speed(name: str, field: Field) -> list[Figure]:
    plate, nuclei, image = field.plate, field.nuclei(), field.cytoplasm()
    dna, rule, shape = field.signal(plate.dna), plate.rule, field.shape
    cells = find_cells(nuclei, image, field.rule())
    labels = np.ascontiguousarray(nuclei.labels)
    mpx, what = shape[0] * shape[1] / 1e6, f"{name}, binned {plate.factor} x, {nuclei.n} nuclei"
    signals, noises = [field.signal(c) for c in field.body], [plate.flats[c].noise for c in field.body]
    rows: list[tuple[str, Callable[[], object], str, Callable[[], object] | None]] = [
        ("nuclei", lambda: find_nuclei(dna, rule), "Gaussian, Otsu, label", lambda: plain_nuclei(dna)),
        ("cytoplasm image", lambda: cytoplasm_image(signals, noises), "", None),
        (
            "cells",
            lambda: find_cells(nuclei, image, field.rule()),
            "scipy dijkstra",
            lambda: by_dijkstra(image, nuclei, field.rule()),
        ),
        (
            "nuclei and cells at full resolution",
            lambda: nuclei_and_cells(labels, cells, plate.factor, shape),
            "zoom object by object",
            (lambda: (one_by_one(labels, plate.factor), one_by_one(cells, plate.factor))) if plate.factor > 1 else None,
        ),
        ("cytoplasm", lambda: cytoplasm(cells, labels), "", None),
        ("debris", lambda: find_debris(dna, nuclei, rule), "", None),
        ("channel order, per channel", lambda: look_at(dna, 100.0, rule.diameter_px, rule.noise), "", None),
    ]
    return [_figure(f"{what}: {stage}", work, mpx, other, plain) for stage, work, other, plain in rows]


def _figure(
    what: str, work: Callable[[], object], mpx: float, other: str, plain: Callable[[], object] | None
) -> Figure:
    seconds = best(work)
    against = "-" if plain is None else f"{other}: {1000 * best(plain, 3):.1f} ms"
    return Figure(what, f"{1000 * seconds:.1f} ms, {mpx / seconds:.0f} raw Mpx/s per core", against, COMMAND)


def _truth() -> list[Figure]:
    """Score nuclei and cells on simulated fields, beside Voronoi cells and a watershed."""
    fields = simulated(540, 150.0, 12)
    threshold = cytoplasm_threshold([(f.cytoplasm(), f.nuclei()) for f, _ in fields])
    found = [(f, t, f.nuclei()) for f, t in fields]
    mine = [find_cells(n, f.cytoplasm(), f.rule(threshold)) for f, _, n in found]
    others = {
        "Voronoi in the same foreground": [voronoi(n, c) for (_, _, n), c in zip(found, mine, strict=True)],
        "watershed (scipy watershed_ift)": [flooded(f, n, c) for (f, _, n), c in zip(found, mine, strict=True)],
    }
    true = [_sampled(t.cells, f.plate.factor) for f, t, _ in found]
    nuclei = [_sampled(t.nuclei, f.plate.factor) for f, t, _ in found]
    what = "12 simulated fields, about 140 cells each"
    against = "; ".join(f"{name}: {_scores(cells, true)}" for name, cells in others.items())
    return [
        Figure(f"{what}: nuclei", _scores([n.labels for _, _, n in found], nuclei), "-", COMMAND),
        Figure(f"{what}: cells", _scores(mine, true), against, COMMAND),
    ]


def _scores(found: list[Labels], true: list[Labels]) -> str:
    """Say object F1 at IoU 0.5, mean IoU of the true objects, and IoU of the foreground."""
    hits = objects = common = total = 0
    matched: list[float] = []
    for labels, truth in zip(found, true, strict=True):
        iou = overlaps(labels, truth)
        present = np.bincount(truth.ravel(), minlength=truth.max() + 1)[1:] > 0
        hits += 2 * int((iou > 0.5).sum())
        objects += int(present.sum()) + int(labels.max())
        matched += iou.max(axis=0)[present].tolist()
        common += np.count_nonzero((labels > 0) & (truth > 0))
        total += np.count_nonzero((labels > 0) | (truth > 0))
    return f"F1 {hits / objects:.3f}, mean IoU {np.mean(matched):.3f}, foreground IoU {common / total:.3f}"


def _nf1() -> list[Figure]:
    """Compare with NF1's masks, nuclei as objects, cells as pixels; objects at the border are in no mask."""
    folder, plate = images_folder("nf1-cellpainting"), nf1()
    nucleus_masks, cell_masks = masks_of(folder, "Nuclei"), masks_of(folder, "Cells")
    nuclei, true, common, total = [], [], 0, 0
    for well, nucleus_mask, cell_mask in zip(plate.wells, nucleus_masks, cell_masks, strict=True):
        field = Field(plate, well, ("GFP", "RFP"))
        found = field.nuclei()
        labels = ndimage.label(nucleus_mask)[0].astype(np.int32)
        nuclei.append(_numbered(without(found.labels, border_labels(found.labels))))
        true.append(_numbered(without(labels, border_labels(labels))))
        cells = find_cells(found, field.cytoplasm(), field.rule())
        share = ndimage.mean(nucleus_mask & cell_mask, found.labels, np.arange(found.n + 1))
        ours = np.isin(cells, np.flatnonzero(share > 0.4)) & (cells > 0)
        common += np.count_nonzero(ours & cell_mask)
        total += np.count_nonzero(ours | (cell_mask & (cells == 0)))
    return [
        Figure("NF1, 5 fields: nuclei off the border against its masks", _scores(nuclei, true), "-", COMMAND),
        Figure("NF1: pixels of cells that its masks keep", f"IoU {common / total:.3f}", "-", COMMAND),
    ]


def _numbered(labels: Labels) -> Labels:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def _sampled(labels: Labels, factor: int) -> Labels:
    h, w = labels.shape[0] // factor, labels.shape[1] // factor
    return np.ascontiguousarray(labels[factor // 2 :: factor, factor // 2 :: factor][:h, :w])


def simulated(px: int, n_cells: float, n_fields: int) -> list[tuple[Field, FieldTruth]]:
    """Render fields of rising effect with their truth."""
    renderer = Renderer(7, px, n_cells)
    night = renderer.night("bench")
    raw, truth = {}, []
    for i in range(n_fields):
        shows, well = living(i / max(n_fields - 1, 1)), f"A{i + 1:02d}"
        dna, reporter = renderer.field(night, shows, "bench", well, is_blurred=False)
        raw[well] = {"DNA": dna, "Reporter": reporter}
        truth.append(field_truth(renderer, night, shows, "bench", well))
    plate = QcPlate(raw, "DNA", 21.0, 2)
    return [(Field(plate, w, ("Reporter",)), t) for w, t in zip(raw, truth, strict=True)]


def plain_nuclei(dna: Image) -> Labels:
    """Segment as a script would: smooth, threshold, label."""
    smooth = ndimage.gaussian_filter(dna, 1.0)
    return np.asarray(ndimage.label(smooth > otsu(smooth))[0], np.int32)


def by_dijkstra(image: Image, nuclei: Nuclei, rule: CellRule) -> npt.NDArray[np.float64]:
    """Grow cells with scipy's shortest paths on a graph of the whole image."""
    n, height = image.size, np.log(np.maximum(image, 1)).ravel() * 6
    at = np.arange(n).reshape(image.shape)
    pairs = [(at[:, :-1], at[:, 1:], 1.0), (at[:-1], at[1:], 1.0)]
    pairs += [(at[:-1, :-1], at[1:, 1:], 1.44), (at[:-1, 1:], at[1:, :-1], 1.44)]
    a = np.concatenate([p[0].ravel() for p in pairs])
    b = np.concatenate([p[1].ravel() for p in pairs])
    step = np.concatenate([np.full(p[0].size, p[2]) for p in pairs])
    up, down = step + np.maximum(height[b] - height[a], 0), step + np.maximum(height[a] - height[b], 0)
    graph = sparse.csr_matrix((np.r_[up, down], (np.r_[a, b], np.r_[b, a])), shape=(n, n))
    seeds = np.flatnonzero(nuclei.labels)
    return np.asarray(dijkstra(graph, indices=seeds, min_only=True, limit=rule.max_radius_px))


def one_by_one(labels: Labels, factor: int) -> Labels:
    """Enlarge each object's mask with linear interpolation, one after the other."""
    out = np.zeros((labels.shape[0] * factor, labels.shape[1] * factor), np.int32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            large = ndimage.zoom(
                (labels[box] == label).astype(np.float32), factor, order=1, grid_mode=True, mode="nearest"
            )
            part = out[tuple(slice(s.start * factor, s.stop * factor) for s in box)]
            part[large > 0.5] = label
    return out


def voronoi(nuclei: Nuclei, cells: Labels) -> Labels:
    """Give every pixel of the cells' foreground to the nearest nucleus."""
    _, nearest = ndimage.distance_transform_edt(nuclei.labels == 0, return_indices=True)
    return np.where(cells > 0, nuclei.labels[nearest[0], nearest[1]], 0).astype(np.int32)


def flooded(field: Field, nuclei: Nuclei, cells: Labels) -> Labels:
    """Flood the dark side of the cytoplasm image from the nuclei, within the cells' foreground.

    scipy's watershed follows steps between neighbours; heights of alternating sign turn these into heights.
    """
    log = np.log(np.maximum(field.cytoplasm(), 1))
    height = np.where(nuclei.labels > 0, 0, (log.max() - log) * 500).astype(np.int64)
    y, x = np.ogrid[: height.shape[0], : height.shape[1]]
    image = (32768 + np.where((y + x) % 2, height, -height)).astype(np.uint16)
    return np.where(cells > 0, ndimage.watershed_ift(image, np.ascontiguousarray(nuclei.labels)), 0).astype(np.int32)


if __name__ == "__main__":
    main()
