"""Liquid is conserved, whatever is pipetted where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.lab import SimLab
from sim.liquids import Liquid, aspirate, dispense, read_well
from tests.sim.rig import open_lab

amounts = st.dictionaries(st.sampled_from(["A", "B", "C"]), st.floats(0, 1e6), max_size=3)


@given(st.integers(0, 10**7), amounts, st.integers(0, 10**7))
def test_drawing_splits_volume_exactly_and_amounts_in_proportion(
    volume: int, content: dict[str, float], drawn: int
) -> None:
    there = Liquid(volume, dict(content))
    taken = there.draw(drawn)
    assert taken.volume_nl == min(drawn, volume)
    assert taken.volume_nl + there.volume_nl == volume
    for name, amount in content.items():
        assert taken.amounts_pmol[name] + there.amounts_pmol[name] == pytest.approx(amount)
        assert there.amounts_pmol[name] >= 0


@given(st.integers(1, 10**6), amounts, st.integers(1, 10**6), amounts)
def test_mixing_adds_volumes_and_amounts(v1: int, a1: dict[str, float], v2: int, a2: dict[str, float]) -> None:
    mixed = Liquid(v1, dict(a1))
    mixed.add(Liquid(v2, dict(a2)))
    assert mixed.volume_nl == v1 + v2
    for name in {*a1, *a2}:
        assert mixed.amounts_pmol[name] == pytest.approx(a1.get(name, 0) + a2.get(name, 0))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> SimLab:
    return open_lab(tmp_path_factory.mktemp("liquids"))


def _total_nl(lab: SimLab) -> int:
    world = lab._world
    wells = world.row("SELECT SUM(volume_nl) AS n FROM wells")
    untouched = world.row(
        "SELECT COALESCE(SUM(p.prefill_nl * (96 - (SELECT COUNT(*) FROM wells w WHERE w.plate = p.barcode))), 0) AS n "
        "FROM plates p WHERE p.prefill_nl > 0"
    )
    assert wells is not None
    assert untouched is not None
    return int(wells["n"]) + int(untouched["n"]) + int(world.meta("waste_nl") or 0)


def test_random_pipetting_with_spills_conserves_every_nanolitre(lab: SimLab) -> None:
    rng, world, before = np.random.default_rng(1), lab._world, _total_nl(lab)
    for _ in range(60):
        liquid = aspirate(world, "CTRL-001", f"A0{rng.integers(1, 3)}", int(rng.integers(0, 200_000)))
        dispense(world, "P1", f"{'AB'[rng.integers(2)]}0{rng.integers(1, 4)}", liquid, world.now_ms())
        assert _total_nl(lab) == before
    assert int(world.meta("waste_nl") or 0) > 0


def test_an_overdraw_leaves_the_dead_volume_and_brings_air(lab: SimLab) -> None:
    first = aspirate(lab._world, "SRC-001", "A01", 50_000)
    second = aspirate(lab._world, "SRC-001", "A01", 50_000)
    assert (first.volume_nl, second.volume_nl) == (50_000, 6_000)
    assert read_well(lab._world, "SRC-001", "A01").volume_nl == 4_000
    assert aspirate(lab._world, "SRC-001", "A01", 1_000).volume_nl == 0


def test_concentration_follows_the_volumes(lab: SimLab) -> None:
    dispense(lab._world, "P2", "C05", aspirate(lab._world, "SRC-001", "A02", 5_000), lab._world.now_ms())
    assert read_well(lab._world, "P2", "C05").concentration_um("C001") == pytest.approx(10.0)


def test_an_overfilled_well_contaminates_its_neighbour(lab: SimLab) -> None:
    for _ in range(8):
        dispense(lab._world, "P2", "E05", aspirate(lab._world, "CTRL-001", "A02", 50_000), lab._world.now_ms())
    assert read_well(lab._world, "P2", "E05").volume_nl == 360_000
    assert read_well(lab._world, "P2", "E04").concentration_um("REF-1") > 1.0
    marked = lab._world.rows("SELECT well FROM wells WHERE plate = 'P2' AND is_contaminated ORDER BY well")
    assert [row["well"] for row in marked] == ["E04", "E05"]
