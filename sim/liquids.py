"""Liquid in wells: drawing, air, mixing, spilling.

Volumes are whole nanolitres and conserved to the last one; amounts are picomoles (uM x uL). Every well is mixed.
"""

from dataclasses import dataclass, field

from nextplate.plate import parse_well, well_name
from sim.labware import Labware, find_labware
from sim.plates import warm_ms
from sim.world import World


@dataclass(slots=True)
class Liquid:
    """A volume and what is dissolved in it."""

    volume_nl: int
    amounts_pmol: dict[str, float] = field(default_factory=dict)

    def draw(self, volume_nl: int) -> "Liquid":
        """Remove a part, each substance in proportion; never more than there is."""
        taken_nl = min(volume_nl, self.volume_nl)
        share = taken_nl / self.volume_nl if self.volume_nl else 0.0
        taken = Liquid(taken_nl, {name: amount * share for name, amount in self.amounts_pmol.items()})
        self.volume_nl -= taken_nl
        for name, amount in taken.amounts_pmol.items():
            self.amounts_pmol[name] -= amount
        return taken

    def add(self, other: "Liquid") -> None:
        """Mix another liquid in."""
        self.volume_nl += other.volume_nl
        for name, amount in other.amounts_pmol.items():
            self.amounts_pmol[name] = self.amounts_pmol.get(name, 0.0) + amount

    def concentration_um(self, name: str) -> float:
        """Return the concentration of one substance; 0 in an empty well."""
        return 1000.0 * self.amounts_pmol.get(name, 0.0) / self.volume_nl if self.volume_nl else 0.0


def labware_of(world: World, plate: str) -> Labware:
    """Return the geometry of a plate in the world."""
    row = world.row("SELECT labware FROM plates WHERE barcode = ?", (plate,))
    return find_labware("" if row is None else str(row["labware"]))


def read_well(world: World, plate: str, well: str) -> Liquid:
    """Return what is in a well; a new assay plate's wells hold its medium."""
    row = world.row("SELECT volume_nl FROM wells WHERE plate = ? AND well = ?", (plate, well))
    if row is None:
        row = world.row("SELECT prefill_nl AS volume_nl FROM plates WHERE barcode = ?", (plate,))
    rows = world.rows("SELECT compound_id, amount_pmol FROM contents WHERE plate = ? AND well = ?", (plate, well))
    return Liquid(0 if row is None else int(row["volume_nl"]), {str(r[0]): float(r[1]) for r in rows})


def write_well(world: World, plate: str, well: str, liquid: Liquid, *, is_contaminated: bool = False) -> None:
    """Store what is in a well."""
    sql = (
        "INSERT INTO wells(plate, well, volume_nl, is_contaminated) VALUES (?, ?, ?, ?) ON CONFLICT(plate, well) "
        "DO UPDATE SET volume_nl = excluded.volume_nl, is_contaminated = max(is_contaminated, excluded.is_contaminated)"
    )
    world.run(sql, (plate, well, liquid.volume_nl, int(is_contaminated)))
    rows = [(plate, well, name, amount) for name, amount in liquid.amounts_pmol.items()]
    world.run_many("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", rows)


def aspirate(world: World, plate: str, well: str, volume_nl: int) -> Liquid:
    """Draw from a well into a tip; what lies below the reach of the tip stays and air comes instead."""
    liquid = read_well(world, plate, well)
    reachable = max(0, liquid.volume_nl - labware_of(world, plate).dead_nl)
    taken = liquid.draw(min(volume_nl, reachable))
    if taken.volume_nl:
        write_well(world, plate, well, liquid)
    return taken


def dispense(world: World, plate: str, well: str, liquid: Liquid, now_ms: int) -> int:
    """Put liquid into a well and return how much spilled over the rim.

    Half of a spill runs into the neighbouring well, the rest onto the deck (``waste_nl`` of the world); both
    wells are marked contaminated.
    """
    there = read_well(world, plate, well)
    capacity = labware_of(world, plate).capacity_nl
    spill = liquid.draw(max(0, there.volume_nl + liquid.volume_nl - capacity))
    there.add(liquid)
    write_well(world, plate, well, there, is_contaminated=spill.volume_nl > 0)
    _mark_dosed(world, plate, well, now_ms)
    if spill.volume_nl:
        _run_over(world, plate, well, spill, capacity, now_ms)
    return spill.volume_nl


def _run_over(world: World, plate: str, well: str, spill: Liquid, capacity_nl: int, now_ms: int) -> None:
    row, column = parse_well(well)
    neighbour = well_name(row, column - 1 if column else column + 1)
    there = read_well(world, plate, neighbour)
    part = Liquid(spill.volume_nl, dict(spill.amounts_pmol)).draw(
        min(spill.volume_nl // 2, capacity_nl - there.volume_nl)
    )
    there.add(part)
    write_well(world, plate, neighbour, there, is_contaminated=True)
    _mark_dosed(world, plate, neighbour, now_ms)
    world.set_meta("waste_nl", int(world.meta("waste_nl") or 0) + spill.volume_nl - part.volume_nl)


def _mark_dosed(world: World, plate: str, well: str, now_ms: int) -> None:
    sql = "UPDATE wells SET dosed_ms = ?, dosed_warm_ms = ? WHERE plate = ? AND well = ? AND dosed_ms IS NULL"
    world.run(sql, (now_ms, warm_ms(world, plate, now_ms), plate, well))
