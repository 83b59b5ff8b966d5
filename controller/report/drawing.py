"""Draw everything that a report shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.report.figures.calibration import draw_calibration
from controller.report.figures.curve import draw_by_reason, draw_curve
from controller.report.figures.fields import Tile, draw_strip, make_tiles
from controller.report.figures.platemap import draw_controls, draw_flags, draw_layout, draw_response
from controller.report.hits import N_CHAINS
from controller.report.model import Campaign, PlateView
from controller.report.structures import draw_structure


@dataclass(frozen=True, slots=True)
class Drawn:
    """The figures of a report."""

    pngs: Mapping[str, bytes]
    """File name -> PNG."""
    tiles: Mapping[str, tuple[Tile, ...]]
    """Plate -> example fields."""
    absent: Mapping[str, tuple[str, ...]]
    """Plate -> examples that cannot be shown, and why."""
    structures: Mapping[str, str | None]
    """Compound -> SVG of the top hits; None where the structure cannot be read."""


def draw(campaign: Campaign) -> Drawn:
    """Draw the figures of a campaign as far as it has come."""
    pngs: dict[str, bytes] = {}
    if campaign.curve.points:
        pngs["hits.png"] = draw_curve(campaign.curve)
    if campaign.curve.by_reason:
        pngs["hits-by-reason.png"] = draw_by_reason(campaign.curve)
    pngs |= {f"calibration-{group}.png": image for group, image in draw_calibration(campaign.rounds).items()}
    if campaign.foresight is not None and campaign.foresight.picture is not None:
        pngs["coverage.png"] = campaign.foresight.picture
    for plate in campaign.plates:
        pngs |= _maps(plate)
    fields = {p.barcode: make_tiles(p.shots) for p in campaign.plates if p.shots is not None}
    pngs |= {f"{plate}-fields.png": draw_strip(tiles, plate) for plate, (tiles, _) in fields.items() if tiles}
    return Drawn(
        pngs,
        {plate: tiles for plate, (tiles, _) in fields.items()},
        {plate: absent for plate, (_, absent) in fields.items()},
        {hit.compound_id: draw_structure(hit.smiles) for hit in campaign.hits[:N_CHAINS]},
    )


def _maps(plate: PlateView) -> dict[str, bytes]:
    maps = {f"{plate.barcode}-layout.png": draw_layout(plate)}
    if plate.quality is not None:
        maps[f"{plate.barcode}-response.png"] = draw_response(plate)
        maps[f"{plate.barcode}-flags.png"] = draw_flags(plate)
        maps[f"{plate.barcode}-controls.png"] = draw_controls(plate)
    return maps
