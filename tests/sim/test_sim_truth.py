"""The hidden truth has the shares asked for, structure, cliffs and dose dependence."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from drivers.ports import DispensePlate, FetchPlate, Move, MovePlates, StorePlate, WashPlate
from sim.biology import phenotype
from sim.lab import SimSettings
from sim.truth import Sar, Truths, draw_sar, effect_at, evaluate, is_hit, kill_at
from sim.vendor import wehi_molecules
from tests.sim.rig import do, open_lab, set_up, transfers, write_protocol

SETTINGS = SimSettings(seed=11)


@pytest.fixture(scope="module")
def smiles() -> list[str]:
    return [text for _, text in wehi_molecules()[:2000]]


@pytest.fixture(scope="module")
def drawn(smiles: list[str]) -> tuple[Sar, Truths]:
    return draw_sar(smiles, SETTINGS)


def test_shares_of_hits_and_toxic_compounds(drawn: tuple[Sar, Truths]) -> None:
    truths = drawn[1]
    assert is_hit(truths, SETTINGS).mean() == pytest.approx(0.01, abs=0.001)
    assert (kill_at(truths, 10.0) >= 0.5).mean() == pytest.approx(0.03, abs=0.002)


def test_most_do_nothing_and_a_tail_does_something(drawn: tuple[Sar, Truths]) -> None:
    effect = effect_at(drawn[1], 10.0)
    assert np.median(effect) < 0.05
    assert 0.01 < ((effect > 0.15) & (effect < 0.5)).mean() < 0.15


def test_effect_and_death_grow_with_dose(drawn: tuple[Sar, Truths]) -> None:
    for curve in (effect_at, kill_at):
        doses = np.array([curve(drawn[1], dose) for dose in (0.1, 1.0, 10.0, 100.0)])
        assert (np.diff(doses, axis=0) >= 0).all()


def test_neighbours_are_alike_and_some_of_them_are_cliffs(smiles: list[str], drawn: tuple[Sar, Truths]) -> None:
    """Structure tells much of potency, so it can be learnt; but some close neighbours differ a lot."""
    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = list(maker.GetFingerprints([Chem.MolFromSmiles(text) for text in smiles]))
    pec50, gaps = drawn[1].pec50, []
    for i in range(len(smiles)):
        similarity = np.array(DataStructs.BulkTanimotoSimilarity(prints[i], prints[i + 1 :]))
        gaps += [abs(pec50[i] - pec50[i + 1 + j]) for j in np.flatnonzero(similarity > 0.45)]
    rng = np.random.default_rng(0)
    strangers = np.abs(rng.permutation(pec50) - rng.permutation(pec50))
    assert len(gaps) > 100
    assert np.median(gaps) < 0.75 * np.median(strangers)
    assert np.mean(np.array(gaps) > 0.8) > 0.05


def test_the_same_seed_draws_the_same_truth(smiles: list[str], drawn: tuple[Sar, Truths]) -> None:
    again = draw_sar(smiles, SETTINGS)
    assert again[0].to_json() == drawn[0].to_json()
    assert np.array_equal(again[1].pec50, drawn[1].pec50)
    other = draw_sar(smiles[:500], replace(SETTINGS, seed=12))
    assert other[0].smarts != drawn[0].smarts


def test_later_compounds_are_judged_by_the_same_function(smiles: list[str], drawn: tuple[Sar, Truths]) -> None:
    sar, truths = drawn
    later = evaluate(Sar.from_json(sar.to_json()), smiles[:50], SETTINGS)
    assert np.allclose(later.pec50, truths.pec50[:50])


def test_unreadable_structures_are_inert() -> None:
    truths = draw_sar(["CCO", "this is not a molecule", "", "c1ccccc1.Cl"], SETTINGS)[1]
    assert effect_at(truths, 10.0)[1:3].tolist() == [0.0, 0.0]
    assert np.isfinite(truths.pec50).all()


def test_the_effect_depends_on_what_was_really_dispensed_and_for_how_long(tmp_path: Path) -> None:
    lab = open_lab(tmp_path / "lab", pipetting_cv=0.0)
    set_up(lab)
    do(lab, lab.handler, write_protocol(tmp_path, transfers(2)), "dose")
    world = lab._world
    at_once = phenotype(world, "P1", "A02", world.now_ms()).effect
    do(lab, lab.mover, MovePlates((Move("P1", "deck/A2", "incubator"),)), "m")
    do(lab, lab.incubator, StorePlate("P1"), "s")
    for hours in (6, 18):
        lab.clock.wait_until(lab.clock.now() + timedelta(hours=hours))
        later = phenotype(world, "P1", "A02", world.now_ms()).effect
        assert later > at_once
        at_once = later
    assert later == pytest.approx(1.0, abs=0.2)
    assert phenotype(world, "P1", "A01", world.now_ms()).effect == pytest.approx(0.0, abs=0.2)
    do(lab, lab.incubator, FetchPlate("P1"), "f")
    cells = phenotype(world, "P1", "A02", world.now_ms()).density
    left_out = phenotype(world, "P1", "A02", world.now_ms() + 48 * 3_600_000).density
    assert left_out < 0.7 * cells


def test_what_was_fixed_shows_what_it_showed_however_it_is_washed_and_warmed(tmp_path: Path) -> None:
    lab = open_lab(tmp_path / "lab", pipetting_cv=0.0)
    set_up(lab)
    do(lab, lab.handler, write_protocol(tmp_path, transfers(2)), "dose")
    world = lab._world
    do(lab, lab.mover, MovePlates((Move("P1", "deck/A2", "incubator"),)), "m")
    do(lab, lab.incubator, StorePlate("P1"), "s")
    lab.clock.wait_until(lab.clock.now() + timedelta(hours=24))
    do(lab, lab.incubator, FetchPlate("P1"), "f")
    do(lab, lab.mover, MovePlates((Move("P1", "incubator", "dispenser"),)), "to the dispenser")
    do(lab, lab.dispenser, DispensePlate("P1", "dispense-20ul-fix"), "fix")
    shown = phenotype(world, "P1", "A02", world.now_ms())
    assert shown.effect > 0.8
    do(lab, lab.mover, MovePlates((Move("P1", "dispenser", "washer"),)), "to the washer")
    do(lab, lab.washer, WashPlate("P1", "wash-3x80ul"), "wash")
    do(lab, lab.mover, MovePlates((Move("P1", "washer", "incubator"),)), "back")
    do(lab, lab.incubator, StorePlate("P1"), "stain")
    lab.clock.wait_until(lab.clock.now() + timedelta(hours=48))
    assert phenotype(world, "P1", "A02", world.now_ms()) == shown


def test_what_was_not_fixed_loses_its_compound_to_the_washer(tmp_path: Path) -> None:
    lab = open_lab(tmp_path / "lab", pipetting_cv=0.0)
    set_up(lab)
    do(lab, lab.handler, write_protocol(tmp_path, transfers(2)), "dose")
    world = lab._world
    do(lab, lab.mover, MovePlates((Move("P1", "deck/A2", "washer"),)), "m")
    do(lab, lab.washer, WashPlate("P1", "wash-3x80ul"), "wash")
    later = world.now_ms() + 24 * 3_600_000
    assert phenotype(world, "P1", "A02", later).effect < 0.5


def test_the_rim_of_a_plate_dries_out(tmp_path: Path) -> None:
    lab = open_lab(tmp_path / "lab")
    lab._world.run("UPDATE plates SET warm_ms = 86400000 WHERE barcode = 'P1'")
    rim, middle = ([phenotype(lab._world, "P1", f"{r}{c:02d}", 0) for c in range(2, 12)] for r in "AD")
    assert np.mean([p.density for p in rim]) < np.mean([p.density for p in middle]) - 0.05
    assert np.mean([p.effect for p in rim]) > np.mean([p.effect for p in middle])
