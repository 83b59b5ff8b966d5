"""Image QC: reason codes in words, and the focus verdict over a plate."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

FLAGS: Mapping[str, str] = {
    "no-image": "The readout holds no usable pair of images for this well.",
    "unreadable": "An image of this well is damaged, cut short, or of another size or bit depth than the plate's.",
    "field-missing": "Some fields or channels of this well were not imaged; the others were measured.",
    "microscope-error": "The microscope itself reported an error for an image of this well.",
    "being-written": "The microscope still writes this well; it is measured once it is whole.",
    "all-zero": "An image of this well has one single value everywhere: the camera or the export failed.",
    "empty-field": "No nucleus was found in any field: no cells, a wrong focal plane, or total kill.",
    "wrong-channel-order": "The channel declared as the nuclear stain does not look nuclear and another one does, or "
    "the well's files fit the plate with two channels swapped: nuclei were sought in the wrong image.",
    "cell-count-collapse": "Far fewer cells than in the negative controls, or than in the plate's living wells; "
    "that may be what the compound does, so the well is kept.",
    "debris": "Far more dust, threads or fragments in the DNA channel than in the plate's other wells; "
    "dying cells look alike, so the well is kept.",
    "out-of-focus": "Both focus scores of the DNA channel lie far below those of the plate's other wells.",
    "reporter-out-of-focus": "Both focus scores of the reporter channel lie far below the plate's other wells; "
    "a strong effect may look alike, so the well is kept.",
    "channel-out-of-focus": "Both focus scores of a further channel lie far below the plate's other wells.",
    "saturated": "Too many pixels are at the camera's maximum; intensities and ratios are cut off.",
    "duplicate-image": "Two files claim to be the same field and channel; the first by name was measured.",
    "no-projection": "The z-stack has no projection; its middle step was measured.",
}
"""Every reason code imaging writes, with a sentence for the operator, in the order in which codes are joined."""

WARNINGS = frozenset(
    {
        "reporter-out-of-focus",
        "channel-out-of-focus",
        "duplicate-image",
        "no-projection",
        "cell-count-collapse",
        "debris",
    }
)
"""Codes that are shown but do not exclude a well."""

PARTIAL = frozenset({"unreadable", "field-missing", "microscope-error", "all-zero"})
"""Codes that exclude a well only when no field of it could be measured."""

MIN_WELLS_FOR_FOCUS = 8
_FLOOR_SHARPNESS, _FLOOR_SLOPE = 0.08, 0.05
"""Least spread of the scores among sharp wells: a very even plate must not flag trifles."""


def join_flags(codes: Iterable[str]) -> str:
    """Write reason codes as one ';'-joined string in catalogue order; '' when there is none."""
    found = set(codes)
    return ";".join(code for code in FLAGS if code in found)


def excludes(flags: str, n_fields: int) -> bool:
    """Say whether a well with these imaging flags and so many measured fields must not be trusted."""
    codes = {code for code in flags.split(";") if code}
    if n_fields == 0:
        return True
    return bool(codes - WARNINGS - PARTIAL)


def robust_z(values: npt.NDArray[np.float64], floor: float) -> npt.NDArray[np.float64]:
    """Return (value - median) / max(1.4826 MAD, floor), shape (n,); NaN stays NaN, all NaN with no finite value."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.full(values.shape, np.nan)
    centre = float(np.median(finite))
    spread = max(1.4826 * float(np.median(np.abs(finite - centre))), floor)
    return np.asarray((values - centre) / spread)


def focus_z(
    sharpness: npt.NDArray[np.float64], slope: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the robust z of both focus scores of one channel of one plate, shape (n_wells,) each.

    All NaN with fewer than 8 scored wells: nothing is judged then.
    """
    n = int((np.isfinite(sharpness) & np.isfinite(slope)).sum())
    if n < MIN_WELLS_FOR_FOCUS:
        return np.full(sharpness.shape, np.nan), np.full(slope.shape, np.nan)
    return robust_z(sharpness, _FLOOR_SHARPNESS), robust_z(slope, _FLOOR_SLOPE)


def is_blurred(
    edges_z: npt.NDArray[np.float64], power_z: npt.NDArray[np.float64], z_limit: float
) -> npt.NDArray[np.bool_]:
    """Say of each well whether both scores of `focus_z` lie z_limit below the others."""
    return np.asarray((edges_z < -z_limit) & (power_z < -z_limit))
