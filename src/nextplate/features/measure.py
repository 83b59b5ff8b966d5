"""All chosen features of all objects of a field in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import polars as pl

from nextplate.features.check import Image, checked_channels
from nextplate.features.choice import Choice
from nextplate.features.colocalisation import colocalisation
from nextplate.features.granularity import granularity, sampler
from nextplate.features.intensity import intensity
from nextplate.features.moments import moments
from nextplate.features.neighbours import neighbours
from nextplate.features.radial import Rings, radial, rings
from nextplate.features.regions import Labels, Regions, Values, find_regions
from nextplate.features.shape import hull, shape
from nextplate.features.texture import DIRECTIONS, grey_levels, texture


@dataclass(frozen=True)
class _Work:
    """One field, and what several groups need of it."""

    regions: Regions
    channels: Mapping[str, Image]
    choice: Choice
    whites: Mapping[str, float]

    @cached_property
    def values(self) -> dict[str, Values]:
        return {name: self.regions.of(image) for name, image in self.channels.items()}

    @cached_property
    def rings(self) -> Rings:
        return rings(self.regions, self.choice.n_rings)


def measure_features(
    labels: Labels,
    channels: Mapping[str, Image],
    choice: Choice,
    *,
    objects: str = "Nuclei",
    whites: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """Measure every object of a field.

    `labels`, shape (h, w), has 0 for background and any positive whole numbers, gaps allowed; one label is one object
    even in pieces. `channels` are images of the same shape, by name, in counts or from 0 to 1; `whites` gives the
    brightness of the highest grey level by channel, where it is not choice.white. Returns one row per
    object in the order of labels: `label` (Int64) and Float64 columns named `{objects}_{feature}_{channel}`; NaN
    where a feature is not defined. `catalogue.FEATURES` explains every column.

    Raises:
        DataError: labels or a channel cannot be measured.
    """
    regions = find_regions(labels)
    checked_channels(channels, labels.shape)
    work = _Work(regions, channels, choice, whites or {})
    columns = {
        **_forms(work),
        **_intensities(work),
        **_textures(work),
        **_grains(work),
        **_pairs(work),
        **_others(work),
    }
    return pl.DataFrame({"label": regions.ids} | {f"{objects}_{name}": value for name, value in columns.items()})


def _forms(work: _Work) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for group, features in (("shape", shape), ("hull", hull), ("moments", moments)):
        if group in work.choice.groups:
            found |= {f"AreaShape_{name}": value for name, value in features(work.regions).items()}
    return found


def _intensities(work: _Work) -> dict[str, Values]:
    found: dict[str, Values] = {}
    if "intensity" in work.choice.groups:
        for channel, values in work.values.items():
            found |= _named("Intensity", intensity(work.regions, values), channel)
    if "radial" in work.choice.groups:
        for channel, values in work.values.items():
            found |= _named("RadialDistribution", radial(work.regions, work.rings, values), channel)
    return found


def _textures(work: _Work) -> dict[str, Values]:
    choice = work.choice
    found: dict[str, Values] = {}
    for channel, image in work.channels.items():
        levels = None
        for scale in sorted({*choice.texture_px, *choice.texture_directions_px}):
            white = work.whites.get(channel, choice.white)
            levels = grey_levels(image, choice.n_levels, white) if levels is None else levels
            of_direction = texture(work.regions, levels, scale)
            end = f"{channel}_{scale}px"
            if scale in choice.texture_px:
                found |= _named("Texture", of_direction["mean"], end)
            if scale in choice.texture_directions_px:
                for angle in DIRECTIONS:
                    found |= _named("Texture", of_direction[angle], f"{end}_{angle}")
    return found


def _grains(work: _Work) -> dict[str, Values]:
    if "granularity" not in work.choice.groups:
        return {}
    reader = sampler(work.regions, work.choice.grains)
    found: dict[str, Values] = {}
    for channel, image in work.channels.items():
        spectrum = granularity(work.regions, image, reader, work.choice.grains)
        found |= {f"{name}_{channel}": value for name, value in spectrum.items()}
    return found


def _pairs(work: _Work) -> dict[str, Values]:
    if "colocalisation" not in work.choice.groups:
        return {}
    found: dict[str, Values] = {}
    for first, second in combinations(work.channels, 2):
        features = colocalisation(work.regions, work.values[first], work.values[second])
        found |= _named("Colocalization", features, f"{first}_{second}")
    return found


def _others(work: _Work) -> dict[str, Values]:
    if "neighbours" not in work.choice.groups:
        return {}
    near = work.choice.neighbour_px
    return _named("Neighbors", neighbours(work.regions, near), f"{near}px")


def _named(group: str, features: Mapping[str, Values], end: str) -> dict[str, Values]:
    return {f"{group}_{name}_{end}": value for name, value in features.items()}
