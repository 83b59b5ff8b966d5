"""Recombined compounds are possible, distinct, canonical, and the same for the same seed."""

import re

import pytest
from rdkit import Chem

from nextplate.chem import enumeration
from nextplate.chem.enumeration import BuildingBlocks, building_blocks, recombine, wehi_smiles, write_library
from nextplate.errors import PlanError


@pytest.fixture(scope="module")
def blocks():
    return building_blocks(wehi_smiles()[:400])


@pytest.mark.parametrize(
    ("smiles", "electrophile", "amine"),
    [
        ("CCC(=O)NCCC", "C%99(=O)CC", "N%99CCC"),  # an amide
        ("CCCNC(=O)CC", "C%99(=O)CC", "N%99CCC"),  # the same, written from the other end
        ("CCS(=O)(=O)N1CCCC1", "S%99(=O)(=O)CC", "N%991CCCC1"),  # a sulfonamide
        ("c1ccccc1CN1CCCC1", "C%99c1ccccc1", "N%991CCCC1"),  # an alkylated amine
        ("CCC(=O)OCCC", None, None),
        ("O=C1CCCN1", None, None),  # a ring bond is not cut
        ("CCC(=O)NC(=O)CC", None, None),  # an imide
        ("not a structure", None, None),
    ],
)
def test_where_a_compound_is_cut(smiles, electrophile, amine):
    blocks = building_blocks([smiles])
    assert blocks.electrophiles[:1] == ((electrophile,) if electrophile else ())
    assert (amine in blocks.amines) if amine else blocks.amines == ()


def test_halves_give_back_the_compound_they_came_from():
    blocks = building_blocks(["O=C(c1ccccc1)N1CCC[C@@H]1C"])
    assert [s for _, s in recombine(blocks, 1, seed=0)] == ["C[C@H]1CCCN1C(=O)c1ccccc1"]


def test_products_are_canonical_distinct_and_whole(blocks):
    products = list(recombine(blocks, 500, seed=3))
    smiles = [s for _, s in products]
    assert len(set(smiles)) == 500
    assert smiles == [Chem.MolToSmiles(Chem.MolFromSmiles(s)) for s in smiles]
    assert all("." not in s and "*" not in s and "%99" not in s for s in smiles)
    assert all(re.fullmatch(r"E\d+-A\d+", name) for name, _ in products)
    assert len({name for name, _ in products}) == 500


def test_the_seed_decides_and_the_longer_starts_with_the_shorter(blocks):
    first = list(recombine(blocks, 300, seed=1))
    assert list(recombine(blocks, 200, seed=1)) == first[:200]
    assert list(recombine(blocks, 300, seed=2)) != first


def test_every_pair_is_drawn_once():
    import numpy as np

    for n in (1, 2, 12, 97):
        assert sorted(enumeration._drawn(n, np.random.default_rng(n))) == list(range(n))


def test_more_than_there_is_cannot_be_asked_for():
    few = building_blocks(["CCC(=O)NCCC", "CCCC(=O)NCCCC"])
    with pytest.raises(PlanError, match="2 electrophiles and 2 amines give 4 compounds, not 5"):
        list(recombine(few, 5, seed=0))
    with pytest.raises(PlanError, match="give 0 compounds"):
        list(recombine(BuildingBlocks((), ()), 1, seed=0))


def test_the_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(enumeration, "wehi_smiles", lambda: wehi_smiles()[:60])
    write_library(tmp_path / "out.csv", 50, seed=1, n_jobs=1)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "compound_id,smiles"
    assert len(lines) == 51
    with pytest.raises(PlanError):
        write_library(tmp_path / "more.csv", 10**7, seed=1, n_jobs=1)
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
