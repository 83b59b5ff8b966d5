"""What the cells of a well do with what is in it, and for how long it has been there."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nextplate.plate import parse_well
from sim.liquids import labware_of
from sim.plates import warm_ms
from sim.seeds import generator
from sim.world import World

HOUR_MS = 3_600_000
EFFECT_HOURS, DEATH_HOURS = 7.0, 10.0
"""Time constants of the reporter's move and of cell death, at 37 degrees."""
FULL_HOURS = 24.0
"""The assay is timed so that effects are what the hidden truth says after this exposure."""
COLD_RATE = 0.15
"""How fast biology runs on the bench, relative to the incubator."""
WELL_SPREAD = 0.04
"""Standard deviation of a well's response that no cell of it shares with the next well."""
SHADE_HOURS = 0.25
"""Exposure counts in steps of this many hours: seconds of delay do not change a pixel."""


@dataclass(frozen=True, slots=True)
class Phenotype:
    """What a field of a well will show."""

    effect: float
    """Mean response of its cells: 0 resting, 1 as the positive control."""
    survival: float
    """Share of cells that live."""
    density: float
    """Cells seen over cells expected in an untreated well, the dying included."""
    dying_share: float
    """Share of the cells seen that are dying."""


@dataclass(frozen=True, slots=True)
class Potency:
    """The hidden truth about one compound."""

    pec50: float
    efficacy: float
    hill: float
    tox_pec50: float

    def effect(self, dose_um: float) -> float:
        """Return the response at a dose after full exposure (Hill equation)."""
        return self.efficacy * _hill(dose_um, self.pec50, self.hill)

    def kill(self, dose_um: float) -> float:
        """Return the share of cells killed at a dose after full exposure."""
        return _hill(dose_um, self.tox_pec50, 1.6)


def _hill(dose_um: float, pec50: float, slope: float) -> float:
    if dose_um <= 0:
        return 0.0
    return float(1.0 / (1.0 + 10.0 ** (slope * (6.0 - np.log10(dose_um) - pec50))))


def phenotype(world: World, plate: str, well: str, at_ms: int) -> Phenotype:
    """Return what a well shows when it is imaged at a time; cells that were fixed show what they showed then."""
    lived = _fixed(world, plate, well) or (at_ms, warm_ms(world, plate, at_ms), _doses(world, plate, well))
    until_ms, plate_warm_ms, potencies = lived
    warm_h, cold_h = _exposure(world, plate, well, until_ms, plate_warm_ms)
    hours = warm_h + COLD_RATE * cold_h
    effect = 1.0 - float(np.prod([1.0 - min(p.effect(dose), 1.0) for p, dose in potencies]))
    if len(potencies) == 1:
        effect = potencies[0][0].effect(potencies[0][1])
    kill = 1.0 - float(np.prod([1.0 - p.kill(dose) for p, dose in potencies]))
    effect *= _progress(hours, EFFECT_HOURS)
    kill *= _progress(hours, DEATH_HOURS)
    return _with_noise(world, plate, well, effect, kill, warm_h, cold_h)


def _with_noise(
    world: World, plate: str, well: str, effect: float, kill: float, warm_h: float, cold_h: float
) -> Phenotype:
    rng = generator(world.settings.seed, "biology", plate, well)
    edge = _edge(world, plate, well) * min(1.0, warm_h / FULL_HOURS)
    chill = float(np.exp(-max(0.0, cold_h - 3.0) / 40.0))
    survival = (1.0 - kill) * chill
    growth = (0.85 + 0.15 * min(1.0, warm_h / FULL_HOURS)) * (1.0 - 0.14 * edge) * float(np.exp(rng.normal(0.0, 0.07)))
    # of the dead, most are washed off, some still hang on with condensed nuclei
    seen_dead = 0.25 * (1.0 - survival)
    density = growth * (survival + seen_dead)
    dying_share = 0.012 + seen_dead / (survival + seen_dead)
    shifted = effect + 0.05 * edge + float(rng.normal(0.0, WELL_SPREAD)) * (1.0 + 0.3 * effect)
    return Phenotype(shifted, survival, density, min(1.0, dying_share))


def _doses(world: World, plate: str, well: str) -> list[tuple[Potency, float]]:
    """Return every active substance of a well with its real concentration, uM."""
    sql = (
        "SELECT t.pec50, t.efficacy, t.hill, t.tox_pec50, c.amount_pmol, w.volume_nl FROM contents c "
        "JOIN wells w ON w.plate = c.plate AND w.well = c.well JOIN truth t ON t.compound_id = c.compound_id "
        "WHERE c.plate = ? AND c.well = ? AND c.amount_pmol > 0 AND w.volume_nl > 0 ORDER BY c.compound_id"
    )
    rows = world.rows(sql, (plate, well))
    return [(_potency(row), 1000.0 * row["amount_pmol"] / row["volume_nl"]) for row in rows]


def _potency(row: Any) -> Potency:
    return Potency(row["pec50"], row["efficacy"], row["hill"], row["tox_pec50"])


def fix(world: World, plate: str, well: str, now_ms: int) -> None:
    """Stop the clock of a well's cells: from now on they show what they show now, whatever is washed off them.

    Cells that are fixed already stay as they are.
    """
    sql = (
        "INSERT OR IGNORE INTO fixed SELECT c.plate, c.well, c.compound_id, 1000.0 * c.amount_pmol / w.volume_nl, ?, ? "
        "FROM contents c JOIN wells w ON w.plate = c.plate AND w.well = c.well "
        "WHERE c.plate = ? AND c.well = ? AND c.amount_pmol > 0 AND w.volume_nl > 0"
    )
    if world.row("SELECT 1 FROM fixed WHERE plate = ? AND well = ?", (plate, well)) is None:
        times = now_ms, warm_ms(world, plate, now_ms)
        world.run(sql, (*times, plate, well))
        world.run("INSERT OR IGNORE INTO fixed VALUES (?, ?, '', NULL, ?, ?)", (plate, well, *times))


def _fixed(world: World, plate: str, well: str) -> tuple[int, int, list[tuple[Potency, float]]] | None:
    """Return when a well's cells were fixed, how long warm they had been, and what they had met; None: they live."""
    sql = (
        "SELECT f.fixed_ms, f.warm_ms, f.dose_um, t.pec50, t.efficacy, t.hill, t.tox_pec50 FROM fixed f "
        "LEFT JOIN truth t ON t.compound_id = f.compound_id WHERE f.plate = ? AND f.well = ? ORDER BY f.compound_id"
    )
    rows = world.rows(sql, (plate, well))
    active = [(_potency(row), float(row["dose_um"])) for row in rows if row["pec50"] is not None]
    return (int(rows[0]["fixed_ms"]), int(rows[0]["warm_ms"]), active) if rows else None


def _exposure(world: World, plate: str, well: str, at_ms: int, plate_warm_ms: int) -> tuple[float, float]:
    """Return hours in the incubator and hours outside since the well was dosed; (0, 0) when it never was."""
    row = world.row("SELECT dosed_ms, dosed_warm_ms FROM wells WHERE plate = ? AND well = ?", (plate, well))
    if row is None or row["dosed_ms"] is None:
        return _shade(plate_warm_ms), 0.0
    warm = plate_warm_ms - int(row["dosed_warm_ms"])
    return _shade(warm), _shade(at_ms - int(row["dosed_ms"]) - warm)


def _shade(ms: int) -> float:
    return SHADE_HOURS * round(ms / HOUR_MS / SHADE_HOURS)


def _progress(hours: float, constant_h: float) -> float:
    return float((1.0 - np.exp(-hours / constant_h)) / (1.0 - np.exp(-FULL_HOURS / constant_h)))


def _edge(world: World, plate: str, well: str) -> float:
    """Return how much a well dries out: 1 on the rim of the plate, less one well further in."""
    grid = labware_of(world, plate).plate_format
    row, column = parse_well(well)
    distance = min(row, column, grid.n_rows - 1 - row, grid.n_columns - 1 - column)
    return {0: 1.0, 1: 0.35}.get(distance, 0.0)
