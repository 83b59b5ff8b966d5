"""What the wells of a plate say about each other: focus, cell counts, debris, the order of the channels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.imaging.channel_look import mean_look
from nextplate.imaging.channel_order import judge_channel_order
from nextplate.imaging.debris import Debris
from nextplate.imaging.params import MeasureParams
from nextplate.imaging.quality import focus_z, is_blurred
from nextplate.imaging.verdicts import debris_scores, judge_cell_counts, judge_debris
from nextplate.imaging.well import WellMeasure, column, focus_names

_FOCUS_CODES = {"dna": "out-of-focus", "reporter": "reporter-out-of-focus", "other": "channel-out-of-focus"}


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found on a plate, wells in the order given."""

    codes: tuple[frozenset[str], ...]
    details: tuple[tuple[str, ...], ...]
    """In words, per well."""
    debris_share: npt.NDArray[np.float64]
    """Shape (n_wells,): area of debris over that of nuclei; NaN without a field."""
    notes: tuple[str, ...]
    """About the plate as a whole."""


def judge_plate(
    wells: Sequence[WellMeasure], params: MeasureParams, negatives: Collection[str] | None = None
) -> Judged:
    """Judge the wells of one plate against each other.

    `negatives` are the negative controls, by which counts and debris are judged; None: not known, the plate itself.
    """
    is_negative = None if negatives is None else np.array([w.well in negatives for w in wells], np.bool_)
    n_cells = column(wells, "n_cells")
    counts = judge_cell_counts(n_cells, column(wells, "n_fields"), is_negative)
    share = debris_scores([[] if w.debris is None else [w.debris] for w in wells])
    debris = judge_debris(share, is_negative)
    order, notes = _order(wells, params)
    found = [
        *_focus(wells, params),
        # A well without any cell has a code of its own.
        ("cell-count-collapse", counts.is_flagged & (n_cells > 0), counts.reasons),
        ("debris", debris.is_flagged, debris.reasons),
        ("wrong-channel-order", np.array([bool(r) for r in order], np.bool_), order),
    ]
    return Judged(
        codes=tuple(frozenset(code for code, is_bad, _ in found if is_bad[i]) for i in range(len(wells))),
        details=tuple(
            (*_of_the_well(w, params), *(r[i] for _, is_bad, r in found if is_bad[i])) for i, w in enumerate(wells)
        ),
        debris_share=share,
        notes=notes,
    )


def _focus(
    wells: Sequence[WellMeasure], params: MeasureParams
) -> list[tuple[str, npt.NDArray[np.bool_], tuple[str, ...]]]:
    found = []
    for channel in params.channels:
        sharpness, slope = (column(wells, name) for name in focus_names(channel, params))
        code = _FOCUS_CODES[params.role_of(channel)]
        edges, power = focus_z(sharpness, slope)
        reasons = tuple(
            f"{code}: {channel}: edge sharpness {a:.1f} and power slope {b:.1f} robust sd from the plate's, "
            f"both below -{params.focus_z:g}"
            for a, b in zip(edges, power, strict=True)
        )
        found.append((code, is_blurred(edges, power, params.focus_z), reasons))
    return found


def _of_the_well(well: WellMeasure, params: MeasureParams) -> tuple[str, ...]:
    """Put the flags that a well has by itself into words."""
    found = []
    if "saturated" in well.codes:
        share = well.numbers["saturated_share"] or 0.0
        found.append(f"saturated: {share:.1%} of an image's pixels, at most {params.max_saturated_share:.1%} may be")
    if "empty-field" in well.codes:
        found.append(f"empty-field: no nucleus in {well.numbers['n_fields']} measured fields")
    return tuple(found)


def _order(wells: Sequence[WellMeasure], params: MeasureParams) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a reason per well, '' where the channels are as declared, and what is to be said of the plate."""
    channels = [c for c in params.channels if any(c in w.looks for w in wells)]
    if params.dna not in channels or len(channels) < 2:
        return ("",) * len(wells), ()
    blank = mean_look(())
    judged = judge_channel_order({c: [w.looks.get(c, blank) for w in wells] for c in channels}, params.dna)
    if judged.nuclear_channel is None:
        return judged.reasons, ()
    other = judged.nuclear_channel
    return judged.reasons, (
        f"channel {params.dna} does not look like a nuclear stain, {other} does: is the order right?",
    )


def mean_debris(fields: Sequence[Debris]) -> Debris | None:
    """Average the debris of a well's fields; None without any."""
    if not fields:
        return None
    means = (np.mean([getattr(f, name) for f in fields]) for name in ("thin_px", "glaring_px", "nuclei_px"))
    return Debris(*(round(float(m)) for m in means))
