"""What a well of the stock can give: one volume of the right strength, or as much of it as makes the dose."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocols.acoustic import in_droplets, in_window, near_droplets_nl
from protocols.dosing import diluted_nl, near_nl, solvent_nl
from protocols.draws import n_transfers, usable_nl
from protocols.labware import Pipette
from protocols.stock import StockWell


@dataclass(frozen=True, slots=True)
class Giving:
    """How doses are made on a plate."""

    transfer_nl: int
    """Of every transfer; where doses are made by volume, of the positive control only."""
    well_nl: int
    """In a well before: medium and cells."""
    final_dmso_percent: float | None = None
    """None: every dose from stock of its strength. A share: doses by volume, filled up with solvent to it."""
    tool: Pipette | None = None
    """That moves the volumes; needed where doses are made by volume, or by sound."""
    spare: str = ""
    """Load name of the plates for dilutions; empty: there are none."""

    @property
    def is_by_volume(self) -> bool:
        """Tell whether doses are made by volume."""
        return self.final_dmso_percent is not None and self.tool is not None

    @property
    def by_sound(self) -> Pipette | None:
        """Return the acoustic dispenser that makes doses; None: a pipette does."""
        return self.tool if self.tool is not None and self.tool.is_acoustic else None

    @property
    def total_nl(self) -> int:
        """Return what is put into a well, solvent that fills up included."""
        if self.final_dmso_percent is None:
            return self.transfer_nl
        total_nl = solvent_nl(self.well_nl, self.final_dmso_percent)
        return in_droplets(total_nl, self.by_sound) if self.by_sound else total_nl

    def volume_nl(self, item: StockWell, dose_um: float) -> int | None:
        """Return how much of a source well makes a dose; None: it cannot, or not without a dilution."""
        if self.by_sound is not None and not in_window(item):
            return None
        if self.tool is None or self.final_dmso_percent is None:
            return self.transfer_nl if item.gives(dose_um, self.transfer_nl, self.well_nl) else None
        if item.concentration_um <= 0:
            return None
        exact_nl = dose_um * (self.well_nl + self.total_nl) / item.concentration_um
        if self.by_sound is not None:
            return near_droplets_nl(exact_nl, self.total_nl, self.by_sound)
        return near_nl(exact_nl, self.total_nl, self.tool)

    def drawn_nl(self, item: StockWell, dose_um: float) -> int | None:
        """Return how much a dose draws from a source well: the dose, or what its dilution is made from, at most."""
        volume_nl = self.volume_nl(item, dose_um)
        if volume_nl is not None or not self.spare or self.tool is None or item.concentration_um <= 0:
            return volume_nl
        exact_nl = dose_um * (self.well_nl + self.total_nl) / item.concentration_um
        return diluted_nl(exact_nl, self.total_nl, self.spare, self.tool)

    def n_doses(self, item: StockWell, dose_um: float) -> int:
        """Count how often a source well can give a dose before it reaches its dead volume."""
        volume_nl = self.drawn_nl(item, dose_um)
        return 0 if volume_nl is None else n_transfers(item, volume_nl)

    def gives_all(self, items: Iterable[StockWell], doses_um: Sequence[float]) -> bool:
        """Tell whether wells of one compound can give every dose once, all on one plate."""
        room = [(item, usable_nl(item)) for item in items]
        for dose_um in sorted(doses_um, reverse=True):
            for n, (item, left_nl) in enumerate(room):
                volume_nl = self.drawn_nl(item, dose_um)
                if volume_nl is not None and volume_nl <= left_nl:
                    room[n] = item, left_nl - volume_nl
                    break
            else:
                return False
        return True
