"""What the stock can give at a dose."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.steps.data import stock_wells
from protocols.draws import n_transfers
from protocols.stock import StockWell

Usable = Mapping[str, Sequence[StockWell]]
"""By compound its wells that give a dose and hold enough for one transfer, in the order of the snapshot."""


def usable_wells(path: Path, params: Mapping[str, Any], dose_um: float) -> Usable:
    """Find the wells of compounds, not of controls, that can be drawn from for a dose.

    Args:
        path: the stock snapshot.
        params: transfer_ul, well_volume_ul and controls.
        dose_um: final concentration in the well, micromolar.
    """
    transfer_nl, well_volume_nl = (round(params[k] * 1000) for k in ("transfer_ul", "well_volume_ul"))
    found: dict[str, list[StockWell]] = {}
    for well in stock_wells(path):
        is_compound = well.compound_id not in params["controls"]
        if is_compound and well.gives(dose_um, transfer_nl, well_volume_nl) and n_transfers(well, transfer_nl):
            found.setdefault(well.compound_id, []).append(well)
    return found


def transfers_left(wells: Usable, params: Mapping[str, Any]) -> dict[str, int]:
    """Count the transfers that each compound's wells can give; at least one."""
    transfer_nl = round(params["transfer_ul"] * 1000)
    return {compound: sum(n_transfers(well, transfer_nl) for well in own) for compound, own in wells.items()}


def source_plates(wells: Usable, compound_ids: Sequence[str]) -> npt.NDArray[np.intp]:
    """Number the source plate of each compound: that of its first well; -1 for none."""
    number: dict[str, int] = {}
    plate = {compound: number.setdefault(own[0].source_plate, len(number)) for compound, own in wells.items()}
    return np.array([plate.get(name, -1) for name in compound_ids], dtype=np.intp)
