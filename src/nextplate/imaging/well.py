"""One measured well, before the plate as a whole has been looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.imaging.channel_look import ChannelLook
from nextplate.imaging.debris import Debris
from nextplate.imaging.params import MeasureParams
from nextplate.readout import Missing

Value = int | float | None


@dataclass(frozen=True, slots=True)
class WellMeasure:
    """One well, measured by itself; what the plate as a whole says about it comes with `judgement`."""

    well: str
    numbers: Mapping[str, Value]
    """Columns of the well table; None where a well does not have the number."""
    codes: frozenset[str]
    """Flags known from the well alone."""
    problems: tuple[Missing, ...]
    debris: Debris | None
    """Mean of its fields; None without any."""
    looks: Mapping[str, ChannelLook]
    """By channel, mean of its fields: how nuclear it looks."""


def column(wells: Sequence[WellMeasure], name: str) -> npt.NDArray[np.float64]:
    """Return one number of every well, shape (n_wells,); NaN where a well has none."""
    return np.array([w.numbers.get(name) for w in wells], dtype=np.float64)


def focus_names(channel: str, params: MeasureParams) -> tuple[str, str]:
    """Name the columns of a channel's two focus scores."""
    role = params.role_of(channel)
    prefix, end = ("reporter_" if role == "reporter" else ""), (f"_{channel}" if role == "other" else "")
    return f"{prefix}focus_score{end}", f"{prefix}focus_slope{end}"


def background_name(channel: str, params: MeasureParams) -> str:
    """Name the column of a channel's background."""
    role = params.role_of(channel)
    return f"background_{channel if role == 'other' else role}"
