"""What the stock can give at a dose."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.steps.data import giving, stock_wells
from protocols.stock import StockWell

Usable = Mapping[str, Sequence[StockWell]]
"""By compound its wells that give a dose and hold enough for one transfer, in the order of the snapshot."""


def usable_wells(path: Path, params: Mapping[str, Any], dose_um: float) -> Usable:
    """Find the wells of compounds, not of controls, that can be drawn from for a dose.

    Args:
        path: the stock snapshot.
        params: transfer_ul, well_volume_ul and controls; final_dmso_percent and robot where doses are by volume.
        dose_um: final concentration in the well, micromolar.
    """
    how = giving(params)
    found: dict[str, list[StockWell]] = {}
    for well in stock_wells(path):
        if well.compound_id not in params["controls"] and how.n_doses(well, dose_um):
            found.setdefault(well.compound_id, []).append(well)
    return found


def transfers_left(wells: Usable, params: Mapping[str, Any]) -> dict[str, int]:
    """Count how often each compound's wells can give the dose of the plate; at least once."""
    how, dose_um = giving(params), params["dose_um"]
    return {compound: sum(how.n_doses(well, dose_um) for well in own) for compound, own in wells.items()}


def give_every(path: Path, params: Mapping[str, Any], doses_um: Sequence[float]) -> set[str]:
    """Find the compounds, not controls, whose wells can give every dose on one plate."""
    how = giving(params)
    held: dict[str, list[StockWell]] = {}
    for well in stock_wells(path):
        if well.compound_id not in params["controls"]:
            held.setdefault(well.compound_id, []).append(well)
    return {compound for compound, own in held.items() if how.gives_all(own, doses_um)}


def source_plates(wells: Usable, compound_ids: Sequence[str]) -> npt.NDArray[np.intp]:
    """Number the source plate of each compound: that of its first well; -1 for none."""
    number: dict[str, int] = {}
    plate = {compound: number.setdefault(own[0].source_plate, len(number)) for compound, own in wells.items()}
    return np.array([plate.get(name, -1) for name in compound_ids], dtype=np.intp)
