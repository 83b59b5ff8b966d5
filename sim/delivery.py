"""Deliveries: source plates, tips and assay plates arrive, and new compounds get their hidden truth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name
from sim.labware import find_labware, is_tip_rack
from sim.plates import add_plate, home_of
from sim.truth import Sar, Truths, draw_sar, evaluate
from sim.world import World

POSITIVE_TRUTH = (7.0, 1.0, 1.0, 0.0)
"""The reference compound: pEC50 7, full efficacy, Hill slope 1, harmless."""


@dataclass(frozen=True, slots=True)
class SourceWell:
    """One filled well of a source plate as it arrives."""

    plate: str
    well: str
    compound_id: str
    smiles: str | None
    """None for a control liquid; its compound_id is then the name of a control in the settings."""
    volume_nl: int
    concentration_um: float
    labware: str


def deliver(world: World, source_wells: Sequence[SourceWell]) -> None:
    """Put source plates into the hotel; a well that was delivered before stays as it is now.

    Deliver a whole library in one call: the share of hits is calibrated on what is there before the first image.

    Raises:
        DataError: a well the plate does not have, an impossible volume, one id with two structures, or an
            unknown control; nothing is delivered.
    """
    wells = [_checked(world, item) for item in source_wells]
    with world.transaction():
        _note_compounds(world, wells)
        for plate, labware in sorted({item.plate: item.labware for item in wells}.items()):
            add_plate(world, plate, "source", labware, home_of(plate, labware))
        known = {(row["plate"], row["well"]) for row in world.rows("SELECT plate, well FROM wells")}
        fresh = [item for item in wells if (item.plate, item.well) not in known]
        volumes = [(w.plate, w.well, w.volume_nl) for w in fresh]
        world.run_many("INSERT INTO wells(plate, well, volume_nl) VALUES (?, ?, ?)", volumes)
        amounts = [(w.plate, w.well, w.compound_id, w.volume_nl * w.concentration_um / 1000.0) for w in fresh]
        world.run_many("INSERT INTO contents VALUES (?, ?, ?, ?)", amounts)
        _learn(world)


def deliver_tips(world: World, racks: Mapping[str, str]) -> None:
    """Put full tip racks (barcode to load name) into their homes; a rack that is there already stays as it is.

    Raises:
        DataError: a load name is not a tip rack.
    """
    with world.transaction():
        for barcode, labware in racks.items():
            if not is_tip_rack(labware):
                raise DataError(f"{labware!r} of {barcode} is not a tip rack")
            add_plate(world, barcode, "tips", labware, home_of(barcode, labware))


def deliver_spares(world: World, plates: Mapping[str, str]) -> None:
    """Put empty plates for dilutions (barcode to load name) into the hotel; one that was delivered stays as it is.

    Raises:
        DataError: the simulated lab does not know the labware; nothing is delivered.
    """
    with world.transaction():
        for barcode, labware in plates.items():
            add_plate(world, barcode, "dilution", find_labware(labware).load_name, home_of(barcode, labware))


def deliver_assay_plates(world: World, plates: int | Iterable[str]) -> None:
    """Fill the stack of new assay plates: with named ones, or up to a count of unlabelled ones.

    An unlabelled plate gets its barcode when the mover takes it from ``stack/new``.
    """
    with world.transaction():
        if isinstance(plates, int):
            world.set_meta("blank_plates", max(plates, int(world.meta("blank_plates") or 0)))
            return
        settings = world.settings
        for barcode in plates:
            add_plate(world, barcode, "assay", settings.assay_labware, "stack/new", settings.medium_nl)


def _checked(world: World, item: SourceWell) -> SourceWell:
    where = f"well {item.well} of plate {item.plate}"
    labware = find_labware(item.labware)
    well = well_name(*parse_well(item.well))
    if not labware.has_well(well):
        raise DataError(f"{where}: a {item.labware} has no such well")
    if not 0 <= item.volume_nl <= labware.capacity_nl:
        raise DataError(f"{where} holds {item.volume_nl} nl; a {item.labware} takes 0 to {labware.capacity_nl} nl")
    if item.concentration_um < 0:
        raise DataError(f"{where}: concentration {item.concentration_um} uM is below 0")
    controls = (world.settings.negative_control, world.settings.positive_control)
    if item.smiles is None and item.compound_id not in controls:
        raise DataError(f"{where}: {item.compound_id} has no structure and is no control ({', '.join(controls)})")
    return SourceWell(
        item.plate, well, item.compound_id, item.smiles, item.volume_nl, item.concentration_um, item.labware
    )


def _note_compounds(world: World, wells: Sequence[SourceWell]) -> None:
    known = {row["compound_id"]: row["smiles"] for row in world.rows("SELECT compound_id, smiles FROM compounds")}
    new = []
    for item in wells:
        if item.compound_id not in known:
            known[item.compound_id] = item.smiles
            new.append((item.compound_id, item.smiles, _role(world, item)))
        elif known[item.compound_id] != item.smiles:
            before = known[item.compound_id]
            raise DataError(f"compound {item.compound_id} came as {before} before and comes as {item.smiles} now")
    world.run_many("INSERT INTO compounds VALUES (?, ?, ?)", new)


def _role(world: World, item: SourceWell) -> str:
    if item.smiles is not None:
        return "sample"
    return "positive" if item.compound_id == world.settings.positive_control else "negative"


def _learn(world: World) -> None:
    """Give every compound without one its truth; draw the function anew as long as nobody has seen an image."""
    new = _samples(world, "AND compound_id NOT IN (SELECT compound_id FROM truth)")
    text = world.meta("structure_activity")
    if new and text is not None and world.row("SELECT 1 FROM imager_log LIMIT 1"):
        _store(world, list(new), evaluate(Sar.from_json(text), list(new.values()), world.settings))
    elif new:
        everything = _samples(world, "")
        sar, truths = draw_sar(list(everything.values()), world.settings)
        world.set_meta("structure_activity", sar.to_json())
        _store(world, list(everything), truths)
    for row in world.rows("SELECT compound_id FROM compounds WHERE role = 'positive'"):
        world.run("INSERT OR IGNORE INTO truth VALUES (?, ?, ?, ?, ?)", (row["compound_id"], *POSITIVE_TRUTH))


def _samples(world: World, condition: str) -> dict[str, str]:
    sql = f"SELECT compound_id, smiles FROM compounds WHERE role = 'sample' {condition} ORDER BY compound_id"  # noqa: S608
    return {row["compound_id"]: row["smiles"] for row in world.rows(sql)}


def _store(world: World, ids: Sequence[str], truths: Truths) -> None:
    columns = (truths.pec50, truths.efficacy, truths.hill, truths.tox_pec50)
    rows = list(zip(ids, *(column.tolist() for column in columns), strict=True))
    world.run_many("INSERT OR REPLACE INTO truth VALUES (?, ?, ?, ?, ?)", rows)
