"""Plates for the QC verdicts, real and simulated, as corrected binned images: what the pipeline holds of a field."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from nextplate.imaging.channel_look import ChannelLook, look_at
from nextplate.imaging.debris import Debris, find_debris
from nextplate.imaging.flatfield import FlatField, Image, background_of, binned, corrected, fit_flat_field, survey_field
from nextplate.imaging.nuclei import Nuclei, SegmentRule, find_nuclei
from sim.biology import Phenotype
from sim.render import Renderer

Raw = npt.NDArray[np.uint16]


@dataclass
class QcPlate:
    """One field per well."""

    raw: Mapping[str, Mapping[str, Raw]]
    """Well to channel to image."""
    dna: str
    nucleus_px: float
    factor: int

    @property
    def wells(self) -> list[str]:
        return list(self.raw)

    @property
    def diameter_px(self) -> float:
        return self.nucleus_px / self.factor

    @cached_property
    def flats(self) -> dict[str, FlatField]:
        images = {c: [binned(self.raw[w][c], self.factor) for w in self.wells[::2]] for c in self.raw[self.wells[0]]}
        return {c: fit_flat_field(c, [survey_field(i) for i in im], im[0].shape) for c, im in images.items()}

    @cached_property
    def rule(self) -> SegmentRule:
        return SegmentRule(self.diameter_px, self.flats[self.dna].noise, self.flats[self.dna].threshold)

    def signal(self, raw: Raw, channel: str) -> tuple[Image, float]:
        signal, shift = corrected(binned(raw, self.factor), self.flats[channel])
        return signal, background_of(self.flats[channel], shift)

    def look(self, raw: Raw, channel: str) -> ChannelLook:
        """Look at an image filed as a channel."""
        return look_at(*self.signal(raw, channel), self.diameter_px, self.flats[channel].noise)

    @cached_property
    def looks(self) -> dict[str, list[ChannelLook]]:
        return {c: [self.look(self.raw[w][c], c) for w in self.wells] for c in self.flats}

    def looks_swapped(self, well: str, other: str) -> dict[str, list[ChannelLook]]:
        """Look at the plate with two files of one well swapped."""
        i, images = self.wells.index(well), self.raw[well]
        changed = {self.dna: self.look(images[other], self.dna), other: self.look(images[self.dna], other)}
        return {c: [*v[:i], changed.get(c, v[i]), *v[i + 1 :]] for c, v in self.looks.items()}

    def nuclei(self, raw: Raw) -> Nuclei:
        return find_nuclei(self.signal(raw, self.dna)[0], self.rule)

    def debris(self, raw: Raw) -> Debris:
        signal = self.signal(raw, self.dna)[0]
        return find_debris(signal, find_nuclei(signal, self.rule), self.rule)


def rendered(seed: int, phenotypes: list[Phenotype], blurred: frozenset[int] = frozenset(), px: int = 400) -> QcPlate:
    """Render one well per phenotype with the simulated microscope."""
    renderer = Renderer(seed, px, 150.0)
    night = renderer.night("qc")
    raw = {}
    for i, phenotype in enumerate(phenotypes):
        well = f"{'ABCDEFGH'[i // 12]}{i % 12 + 1:02d}"
        dna, reporter = renderer.field(night, phenotype, "qc", well, is_blurred=i in blurred)
        raw[well] = {"DNA": dna, "Reporter": reporter}
    return QcPlate(raw, "DNA", 21.0, 2)


def living(effect: float = 0.0) -> Phenotype:
    return Phenotype(effect=effect, survival=1.0, density=1.0, dying_share=0.012)


def killed(survival: float, effect: float = 0.0) -> Phenotype:
    """Of the dead a quarter still hang on, as sim.biology has it."""
    dead = 0.25 * (1 - survival)
    return Phenotype(effect, survival, survival + dead, 0.012 + 0.98 * dead / (survival + dead))


def dusty(raw: Raw, rng: np.random.Generator, n: int, level: float) -> Raw:
    """Lay n flecks of about a third of a nucleus, `level` counts high, on an image."""
    light = np.zeros(raw.shape, np.float32)
    y, x = rng.integers(0, raw.shape[0], n), rng.integers(0, raw.shape[1], n)
    light[y, x] = rng.uniform(0.5, 2.0, n)
    blurred = gaussian_filter(light, 1.6)
    return np.clip(raw + blurred * (level * 2 * np.pi * 1.6**2), 0, 65535).astype(raw.dtype)


def with_fibre(raw: Raw, rng: np.random.Generator, level: float) -> Raw:
    """Lay a thread across an image."""
    t = np.linspace(0, 1, 8 * raw.shape[0])
    knots = rng.uniform(0, raw.shape[0] - 1, (2, 4))
    knots[:, 0], knots[:, 3] = (0, 0), raw.shape[0] - 1
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    y, x = np.rint(knots @ weights).astype(np.intp)
    line = np.zeros(raw.shape, np.float32)
    line[y, x] = 1
    line = gaussian_filter(line, 1.5)
    return np.clip(raw + level * line / line.max(), 0, 65535).astype(raw.dtype)


def images_folder(name: str) -> Path:
    folder = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not here ({folder}); set NEXTPLATE_DATA")
    return folder


def bbbc013(every: int = 1) -> tuple[QcPlate, dict[str, str]]:
    """Return the plate and each well's role; all controls, and of the samples every n-th."""
    folder = images_folder("bbbc013")
    roles = dict(pl.read_csv(folder / "layout.csv").select("well", "role").iter_rows())
    samples = [w for w in roles if roles[w] == "sample"]
    dropped = set(samples) - set(samples[::every])
    raw: dict[str, dict[str, Raw]] = {}
    for row in pl.read_csv(folder / "images.csv").sort("well").iter_rows(named=True):
        if row["well"] not in dropped:
            raw.setdefault(row["well"], {})[row["channel_name"]] = tifffile.imread(folder / "images" / row["file"])
    return QcPlate(raw, "DNA", 16.0, 1), roles


def nf1() -> QcPlate:
    raw: dict[str, dict[str, Raw]] = {}
    for path in sorted((images_folder("nf1-cellpainting") / "Plate_2_images").glob("*.tif")):
        well, *_, channel, _time = path.stem.split("_")
        raw.setdefault(well, {})[channel] = tifffile.imread(path)
    return QcPlate(raw, "DAPI", 63.0, 6)


def phenix() -> QcPlate:
    folder = images_folder("opera-phenix") / "Version1" / "images"
    raw = {f"ch{c}": tifffile.imread(folder / f"r01c01f01p01-ch{c}sk1fk1fl1.tiff") for c in range(1, 7)}
    return QcPlate({"A01": raw}, "ch5", 23.4, 2)
