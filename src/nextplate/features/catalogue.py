"""What every column means: formula, source, unit and cost of every feature per object."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from nextplate.errors import DataError

Cost = Literal["low", "middle", "high"]
"""Per field of a megapixel with 40 nuclei and one channel: below 5 ms, up to 30 ms, above."""

_PARTS = {
    "objects": r"[A-Za-z]\w*?",
    "channel": r"\w+?",
    "second": r"\w+?",
    "px": r"\d+",
    "angle": r"(?:0|45|90|135)deg",
    "ring": r"\d+of\d+",
    "size": r"\d+",
    "p": "[0-3]",
    "q": "[0-3]",
    "i": "[0-6]",
}

CELLPROFILER = "CellProfiler MeasureObject"
_SIZE = f"{CELLPROFILER}SizeShape; scikit-image regionprops"
_LIGHT = f"{CELLPROFILER}Intensity"
_SPREAD = f"{CELLPROFILER}IntensityDistribution"
_HARALICK = "Haralick, IEEE Trans. SMC 3 (1973) 610; mahotas; CellProfiler MeasureTexture"
_TOGETHER = "CellProfiler MeasureColocalization"
_AROUND = f"{CELLPROFILER}Neighbors"


@dataclass(frozen=True)
class Feature:
    """One feature; `pattern` has words in braces where columns differ."""

    pattern: str
    group: str
    """The name `select` knows it by."""
    formula: str
    unit: str
    """"px", "px^2", "degree", "intensity" (of the image), "level" (grey level), "bit", "%", or "1" for none."""
    source: str
    cost: Cost

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.pattern)
        return re.compile("".join(_PARTS[part] if i % 2 else re.escape(part) for i, part in enumerate(parts)))

    def names(self, column: str) -> bool:
        """Say whether a column holds this feature."""
        return self._regex.fullmatch(column) is not None


def explain(column: str) -> Feature:
    """Return the feature a column of `measure_features` holds.

    Raises:
        DataError: no feature has such a name.
    """
    for feature in FEATURES:
        if feature.names(column):
            return feature
    raise DataError(f"no feature is called {column!r}; names look like Nuclei_Texture_Contrast_DNA_3px")


def _rows(
    group: str, prefix: str, end: str, source: str, cost: Cost, rows: Iterable[tuple[str, str, str]]
) -> list[Feature]:
    return [
        Feature(f"{{objects}}_{prefix}_{name}{end}", group, formula, unit, source, cost) for name, formula, unit in rows
    ]


_SHAPE = _rows("shape", "AreaShape", "", _SIZE, "middle", [
    ("Area", "number of pixels A", "px^2"),
    ("Perimeter", "P: edge pixels (4-neighbour outside) count 1, sqrt(2) or the mean by those beside", "px"),
    ("FormFactor", "4 pi A / P^2; infinite for a single pixel", "1"),
    ("Compactness", "P^2 / (4 pi A)", "1"),
    ("EquivalentDiameter", "sqrt(4 A / pi)", "px"),
    ("Center_X", "mean column", "px"),
    ("Center_Y", "mean row", "px"),
    ("BoundingBoxMinimum_X", "first column", "px"),
    ("BoundingBoxMinimum_Y", "first row", "px"),
    ("BoundingBoxMaximum_X", "one past the last column", "px"),
    ("BoundingBoxMaximum_Y", "one past the last row", "px"),
    ("BoundingBoxArea", "rows times columns of the box", "px^2"),
    ("Extent", "A / BoundingBoxArea", "1"),
    ("MajorAxisLength", "4 sqrt(l1), l1 the larger eigenvalue of the inertia tensor", "px"),
    ("MinorAxisLength", "4 sqrt(l2)", "px"),
    ("Eccentricity", "sqrt(1 - l2 / l1)", "1"),
    ("Orientation", "angle from the rows' axis to the major axis, -90 to 90", "degree"),
    ("MaximumRadius", "largest Euclidean distance to the outside", "px"),
    ("MeanRadius", "mean distance to the outside", "px"),
    ("MedianRadius", "median distance to the outside", "px"),
])  # fmt: skip
_HULL = _rows("hull", "AreaShape", "", _SIZE, "low", [
    ("ConvexArea", "pixels with their centre in or on the hull of the middles of all pixel edges", "px^2"),
    ("Solidity", "A / ConvexArea", "1"),
    ("MinFeretDiameter", "least width of the hull of the pixel centres", "px"),
    ("MaxFeretDiameter", "largest distance between two pixel centres", "px"),
])  # fmt: skip
_MOMENTS = _rows("moments", "AreaShape", "", f"{_SIZE}; Hu, IRE Trans. Inf. Theory 8 (1962) 179", "low", [
    ("SpatialMoment_{p}_{q}", "sum y^p x^q, from the corner of the bounding box", "px^(p+q)"),
    ("CentralMoment_{p}_{q}", "mu_pq = sum (y - my)^p (x - mx)^q", "px^(p+q)"),
    ("NormalizedMoment_{p}_{q}", "mu_pq / mu_00^((p + q) / 2 + 1)", "1"),
    ("HuMoment_{i}", "Hu's invariant i + 1 of the normalised moments", "1"),
    ("InertiaTensor_0_0", "mu_02 / mu_00", "px^2"),
    ("InertiaTensor_0_1", "-mu_11 / mu_00", "px^2"),
    ("InertiaTensor_1_1", "mu_20 / mu_00", "px^2"),
    ("InertiaTensorEigenvalues_0", "larger eigenvalue l1", "px^2"),
    ("InertiaTensorEigenvalues_1", "smaller eigenvalue l2", "px^2"),
])  # fmt: skip
_INTENSITY = _rows("intensity", "Intensity", "_{channel}", _LIGHT, "middle", [
    ("IntegratedIntensity", "sum of v", "intensity"),
    ("MeanIntensity", "mean of v", "intensity"),
    ("StdIntensity", "sqrt(mean (v - mean)^2)", "intensity"),
    ("MinIntensity", "least v", "intensity"),
    ("MaxIntensity", "largest v", "intensity"),
    ("LowerQuartileIntensity", "v at rank (n - 1) / 4, linear between ranks", "intensity"),
    ("MedianIntensity", "v at rank (n - 1) / 2", "intensity"),
    ("UpperQuartileIntensity", "v at rank 3 (n - 1) / 4", "intensity"),
    ("MADIntensity", "median |v - median|, not scaled", "intensity"),
    ("IntegratedIntensityEdge", "sum over edge pixels: a 4-neighbour in the field is outside the object", "intensity"),
    ("MeanIntensityEdge", "mean over edge pixels", "intensity"),
    ("StdIntensityEdge", "standard deviation over edge pixels", "intensity"),
    ("MinIntensityEdge", "least over edge pixels", "intensity"),
    ("MaxIntensityEdge", "largest over edge pixels", "intensity"),
    ("MassDisplacement", "distance between the centre and the centre of mass", "px"),
    ("CenterMassIntensity_X", "sum x v / sum v", "px"),
    ("CenterMassIntensity_Y", "sum y v / sum v", "px"),
    ("LocationMaxIntensity_X", "column of the first brightest pixel in reading order", "px"),
    ("LocationMaxIntensity_Y", "row of that pixel", "px"),
])  # fmt: skip
_RADIAL = _rows("radial", "RadialDistribution", "_{ring}_{channel}", _SPREAD, "middle", [
    ("FracAtD", "share of the object's brightness in the ring; 1 is the innermost", "1"),
    ("MeanFrac", "FracAtD / (share of the object's pixels in the ring)", "1"),
    ("RadialCV", "coefficient of variation of the means of eight wedges of the ring", "1"),
])  # fmt: skip
_TEXTURE_ROWS = [
    ("AngularSecondMoment", "sum p(a, b)^2, p the symmetric co-occurrence of levels a, b above 0", "1"),
    ("Contrast", "mean (a - b)^2", "level^2"),
    ("Correlation", "cov(a, b) / var(a); 1 where all levels are one", "1"),
    ("Variance", "var(a)", "level^2"),
    ("InverseDifferenceMoment", "mean 1 / (1 + (a - b)^2)", "1"),
    ("SumAverage", "mean (a + b)", "level"),
    ("SumVariance", "var(a + b)", "level^2"),
    ("SumEntropy", "entropy of a + b", "bit"),
    ("Entropy", "entropy H of p", "bit"),
    ("DifferenceVariance", "variance of the probabilities of |a - b| over the values 0 .. highest level", "1"),
    ("DifferenceEntropy", "entropy of |a - b|", "bit"),
    ("InfoMeas1", "(H - 2 Ha) / Ha, Ha the entropy of a", "1"),
    ("InfoMeas2", "sqrt(1 - exp(-2 (2 Ha - H)))", "1"),
]
_TEXTURE = _rows(
    "texture", "Texture", "_{channel}_{px}px", f"{_HARALICK}, mean of four directions", "middle", _TEXTURE_ROWS
)
_DIRECTED = _rows("texture-directions", "Texture", "_{channel}_{px}px_{angle}", _HARALICK, "middle", _TEXTURE_ROWS)
_GRAINS = [Feature(
    "{objects}_Granularity_{size}_{channel}", "granularity",
    "100 (m(size - 1) - m(size)) / m(0): m mean brightness after erosion by `size` and reconstruction, at 1/4 scale",
    "%", "CellProfiler MeasureGranularity; Serra (1989); Vincent, IEEE Trans. Image Processing 2 (1993) 176", "high",
)]  # fmt: skip
_COLOCALISATION = _rows("colocalisation", "Colocalization", "_{channel}_{second}", _TOGETHER, "middle", [
    ("Correlation", "Pearson: cov(u, v) / (sd u sd v)", "1"),
    ("Slope", "cov(u, v) / var u", "1"),
    ("Overlap", "sum u v / sqrt(sum u^2 sum v^2), over pixels of at least 15 % of both maxima", "1"),
    ("K_1", "sum u v / sum u^2, over the same", "1"),
    ("K_2", "sum u v / sum v^2, over the same", "1"),
    ("Manders_1", "sum of u where both are bright / sum of u where u is bright", "1"),
    ("Manders_2", "the same for v", "1"),
    ("RWC_1", "Manders_1 with weights (R - |rank u - rank v|) / R; Singan et al. (2011)", "1"),
    ("RWC_2", "the same for v", "1"),
])  # fmt: skip
_NEIGHBOURS = _rows("neighbours", "Neighbors", "_{px}px", _AROUND, "middle", [
    ("NumberOfNeighbors", "objects with a pixel at most px from one of this", "1"),
    ("PercentTouching", "share of outline pixels with another object within px + 0.5", "%"),
    ("FirstClosestDistance", "distance to the nearest other centre", "px"),
    ("SecondClosestDistance", "distance to the second nearest other centre", "px"),
    ("AngleBetweenNeighbors", "angle at this centre between the two nearest", "degree"),
])  # fmt: skip

FEATURES: tuple[Feature, ...] = (
    *_SHAPE, *_HULL, *_MOMENTS, *_INTENSITY, *_RADIAL, *_TEXTURE, *_DIRECTED, *_GRAINS, *_COLOCALISATION, *_NEIGHBOURS,
)  # fmt: skip
"""Every feature per object, in the order of the groups."""
