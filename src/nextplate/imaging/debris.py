"""Debris in the DNA channel: what shines and is no nucleus - dust, fibres, fragments of dead cells, glowing clumps.

Two kinds of pixels count. *Thin*: foreground that a nucleus-like square does not fit into and that does not lie
beside one: specks, threads, fragments. *Glaring*: far brighter than any nucleus of the plate. Both are cheap filters
of the whole binned image; nothing loops over objects.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nextplate.imaging.flatfield import Image
from nextplate.imaging.nuclei import Nuclei, SegmentRule

_Mask = npt.NDArray[np.bool_]

_FIT_SHARE = 0.42
"""Side of the square as a share of the nucleus diameter: it fits into a disc of 0.6 diameters, and into every nucleus
but the smallest dying ones."""
_BESIDE_SHARE = 0.25
"""Foreground so near to a fitted square, as a share of the diameter, is the rim of the same object."""
_GLARE = 20.0
"""Multiple of the plate's threshold above which nothing is a nucleus: they lie at 4 to 6, dividing ones at 10."""


@dataclass(frozen=True, slots=True)
class Debris:
    """The debris of one field, in binned pixels."""

    thin_px: int
    glaring_px: int
    nuclei_px: int
    """Area of accepted nuclei that are not glaring."""


def find_debris(signal: Image, nuclei: Nuclei, rule: SegmentRule) -> Debris:
    """Count the debris of one corrected DNA image, shape (h, w), of which `nuclei` were found with `rule`.

    Without a threshold of the plate (rule.plate_threshold is None) glare cannot be told.
    """
    bright = _glaring(signal, rule)
    inside = nuclei.labels > 0
    # Of a dim nucleus only the top would pass the level: what was accepted counts whole, and falls when it is thin.
    thin = _thin(inside | (signal > _level(rule)), rule.diameter_px) & ~bright
    n_inside = np.count_nonzero(inside & ~(thin | bright))
    return Debris(int(np.count_nonzero(thin)), int(np.count_nonzero(bright)), int(n_inside))


def _level(rule: SegmentRule) -> float:
    """Debris counts when it is as bright as the plate's nuclei at their edges; faint haze does not."""
    floor = 8.0 * rule.noise
    return floor if rule.plate_threshold is None else max(floor, rule.plate_threshold)


def _glaring(signal: Image, rule: SegmentRule) -> _Mask:
    if rule.plate_threshold is None:
        return np.zeros(signal.shape, bool)
    return np.asarray(signal > _GLARE * rule.plate_threshold)


def _thin(mask: _Mask, diameter_px: float) -> _Mask:
    fit = max(3, round(_FIT_SHARE * diameter_px))
    beside = fit + 2 * max(1, round(_BESIDE_SHARE * diameter_px))
    eroded = ndimage.minimum_filter(mask, fit, mode="nearest")
    # Growing by more than was taken gives the opening and a margin around it in one step.
    return np.asarray(mask & ~ndimage.maximum_filter(eroded, beside + (1 - fit % 2), mode="nearest"))
