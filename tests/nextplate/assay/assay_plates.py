"""Small plates of measured wells with known controls, hits, toxic wells and position effects."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from nextplate.plate import PLATE_384, Layout, LayoutWell, Role, parse_well

NEGATIVE_RATIO, POSITIVE_RATIO = -1.5, 2.0


@dataclass(frozen=True)
class Assay:
    layout: Layout
    wells: pl.DataFrame

    def with_wells(self, changes: Mapping[str, Mapping[str, object]]) -> "Assay":
        """Overwrite columns of some wells."""
        rows = [{**row, **changes.get(str(row["well"]), {})} for row in self.wells.iter_rows(named=True)]
        return Assay(self.layout, pl.DataFrame(rows, schema=self.wells.schema))


def layout(n_negative: int = 32, n_positive: int = 16, replicates: int = 2, seed: int = 3) -> Layout:
    """Scatter controls over a 384-well plate, fill the rest with compounds in replicates."""
    names = list(PLATE_384.wells())
    order = np.random.default_rng(seed).permutation(len(names))
    roles = {names[i]: Role.NEGATIVE for i in order[:n_negative]}
    roles |= {names[i]: Role.POSITIVE for i in order[n_negative : n_negative + n_positive]}
    samples = [names[i] for i in order[n_negative + n_positive :]]
    numbers = {well: i for i, well in enumerate(samples)}
    wells = []
    for well in names:
        role = roles.get(well, Role.SAMPLE)
        compound = f"C{numbers[well] // replicates:04d}" if role is Role.SAMPLE else None
        replicate = numbers[well] % replicates if role is Role.SAMPLE else 0
        wells.append(LayoutWell(well, role, compound, replicate, 10.0 if role is not Role.NEGATIVE else 0.0, "test"))
    return Layout("P1", PLATE_384, tuple(wells))


def assay(
    plan: Layout | None = None,
    noise: float = 0.15,
    edge: float = 0.0,
    active: Mapping[str, float] | None = None,
    toxic: tuple[str, ...] = (),
    seed: int = 5,
) -> Assay:
    """Measure a plate: `active` gives wells an activity, `edge` is added to the outer ring's log2 ratio."""
    plan = plan or layout()
    rng = np.random.default_rng(seed)
    rows = []
    for w in plan.wells:
        if w.role is Role.EMPTY:
            continue
        level = (active or {}).get(w.well, 1.0 if w.role is Role.POSITIVE else 0.0)
        row, column = parse_well(w.well)
        ring = edge if row in (0, 15) or column in (0, 23) else 0.0
        ratio = NEGATIVE_RATIO + level * (POSITIVE_RATIO - NEGATIVE_RATIO) + ring + rng.normal(0, noise)
        cells = int(rng.poisson(80 * (0.2 if w.well in toxic else 1.0)))
        rows.append({"plate": "P1", "well": w.well, "n_fields": 1, "n_cells": cells, "nc_ratio": ratio, "flags": ""})
    return Assay(plan, pl.DataFrame(rows))


def names(plan: Layout, role: Role) -> list[str]:
    """List the wells of one role, replicates of a compound side by side."""
    return [w.well for w in sorted(plan.by_role(role), key=lambda w: (w.compound_id or "", w.replicate, w.well))]
