"""Recombined compounds are possible, distinct, canonical, and the same for the same seed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from nextplate.chem import enumeration
from nextplate.chem.enumeration import BuildingBlocks, Seen, building_blocks, recombine, wehi_smiles, write_library
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


@given(st.lists(st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), max_size=12), max_size=12))
def test_what_was_there_is_known_again_whatever_the_chunks(chunks):
    seen, known = Seen(), set()
    for chunk in chunks:
        expected = [s not in known and s not in chunk[:i] for i, s in enumerate(chunk)]
        assert seen.add(chunk).tolist() == expected
        known |= set(chunk)
    assert len(seen) == len(known)


@pytest.mark.parametrize("n_done", [137, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 300))])
def test_a_draw_goes_on_where_it_was_cut(blocks, n_done):
    whole = list(recombine(blocks, 300, seed=1))
    assert whole[:n_done] + list(recombine(blocks, 300, seed=1, done=whole[:n_done])) == whole


def test_a_library_that_was_cut_is_finished_and_not_begun_again(tmp_path, monkeypatch):
    monkeypatch.setattr(enumeration, "wehi_smiles", lambda: wehi_smiles()[:60])
    write_library(tmp_path / "calm.csv", 50, seed=1, n_jobs=1)
    path, real = tmp_path / "out.csv", enumeration.recombine

    def dying(*arguments, **options):
        for i, product in enumerate(real(*arguments, **options)):
            if i == 30:
                raise KeyboardInterrupt
            yield product

    monkeypatch.setattr(enumeration, "recombine", dying)
    with pytest.raises(KeyboardInterrupt):
        write_library(path, 50, seed=1, n_jobs=1)
    assert not path.exists()
    (cut,) = tmp_path.glob(".out.csv.*.part")
    cut.write_text(cut.read_text() + "E1-A")  # the last line is torn
    given = []
    monkeypatch.setattr(
        enumeration, "recombine", lambda *a, done, **k: given.append(len(done)) or real(*a, done=done, **k)
    )
    write_library(path, 50, seed=1, n_jobs=1)
    assert given == [30]
    assert path.read_text() == (tmp_path / "calm.csv").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calm.csv", "out.csv"]


def test_two_writers_of_one_library_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(enumeration, "wehi_smiles", lambda: wehi_smiles()[:60])
    real = enumeration.recombine

    def second(*arguments, **options):
        with pytest.raises(PlanError, match="another process writes this library"):
            write_library(tmp_path / "out.csv", 20, seed=1, n_jobs=1)
        return real(*arguments, **options)

    monkeypatch.setattr(enumeration, "recombine", second)
    write_library(tmp_path / "out.csv", 20, seed=1, n_jobs=1)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 21


def test_a_partial_file_that_is_none_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(enumeration, "wehi_smiles", lambda: wehi_smiles()[:60])
    blocks = building_blocks(enumeration.wehi_smiles())
    (tmp_path / f".out.csv.{enumeration._key(blocks, 1)}.part").write_text("compound_id,smiles\nnonsense\n")
    write_library(tmp_path / "out.csv", 20, seed=1, n_jobs=1)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 21


def test_a_smaller_library_after_a_larger_one_that_was_cut_holds_no_more_than_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(enumeration, "wehi_smiles", lambda: wehi_smiles()[:60])
    write_library(tmp_path / "out.csv", 40, seed=1, n_jobs=1)
    whole = (tmp_path / "out.csv").read_text().splitlines(keepends=True)
    blocks = building_blocks(enumeration.wehi_smiles())
    (tmp_path / f".out.csv.{enumeration._key(blocks, 1)}.part").write_text("".join(whole))
    write_library(tmp_path / "out.csv", 10, seed=1, n_jobs=1)
    assert (tmp_path / "out.csv").read_text() == "".join(whole[:11])


def test_a_file_renamed_between_opening_and_locking_is_left_alone(tmp_path, monkeypatch):
    part, done = tmp_path / "part", tmp_path / "done"
    part.write_text("whole")
    real = enumeration.fcntl.flock

    def slow(*arguments):
        if not done.exists():
            part.rename(done)
        return real(*arguments)

    monkeypatch.setattr(enumeration.fcntl, "flock", slow)
    with enumeration._locked(part) as file:
        file.write("new")
    assert (done.read_text(), part.read_text()) == ("whole", "new")
