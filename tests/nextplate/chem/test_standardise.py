"""One structure has one standard form, and what was changed is said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.chem.standardise import standardise, standardise_all
from nextplate.errors import DataError

CASES = [
    ("OCC", "CCO", ""),
    ("CC(=O)[O-].[Na+]", "CC(=O)O", "removed [Na+]; neutralised"),
    ("CCN.Cl", "CCN", "removed Cl"),
    ("C[NH+](C)C", "CN(C)C", "neutralised"),
    ("C[N+](C)(C)C", "C[N+](C)(C)C", ""),
    ("CS(C)=O", "C[S+](C)[O-]", "groups normalised"),
    ("N[C@@H](C)C(=O)O", "C[C@H](N)C(=O)O", ""),
    ("C/C=C/C", "C/C=C/C", ""),
    ("CC(=O)O[Na]", "CC(=O)O", "metal disconnected; removed [Na+]; neutralised"),
]


@pytest.mark.parametrize(("raw", "smiles", "change"), CASES)
def test_standard_form_and_what_changed(raw, smiles, change):
    standard = standardise(raw)
    assert (standard.smiles, standard.change) == (smiles, change)


@pytest.mark.parametrize("raw", [case[0] for case in CASES])
def test_standard_form_is_stable(raw):
    smiles = standardise(raw).smiles
    assert standardise(smiles).smiles == smiles


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("C1CC", "not valid SMILES"),
        ("hello", "not valid SMILES"),
        ("C(C)(C)(C)(C)C", "valence"),
        ("c1cccc1", "kekulize"),
        ("", "empty"),
    ],
)
def test_impossible_structures_say_why(raw, says, capfd):
    with pytest.raises(DataError, match=says):
        standardise(raw)
    assert capfd.readouterr().err == ""


def test_rdkit_log_is_silenced_only_while_standardising(capfd):
    from rdkit import Chem

    with pytest.raises(DataError):
        standardise("C1CC")
    Chem.MolFromSmiles("C1CC")
    assert "SMILES Parse Error" in capfd.readouterr().err


@given(st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_a_structure_or_a_data_error(text):
    (result,) = standardise_all([text])
    assert result if isinstance(result, str) else standardise(result.smiles).smiles == result.smiles


def test_skipping_the_steps_changes_no_answer():
    """What the one query passes over, every step of rdkit leaves as it is."""
    import csv
    from pathlib import Path

    from rdkit import Chem, RDConfig
    from rdkit.Chem.MolStandardize import rdMolStandardize

    normalizer, uncharger = rdMolStandardize.Normalizer(), rdMolStandardize.Uncharger()
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    with path.open(encoding="utf-8", newline="") as file:
        smiles = [row[0] for row in list(csv.reader(file))[::20]]
    unchanged = [s for s in smiles if standardise(s).change == ""]
    assert len(unchanged) > 0.9 * len(smiles)
    for raw in unchanged:
        mol = Chem.MolFromSmiles(raw)
        expected = Chem.MolToSmiles(uncharger.uncharge(normalizer.normalize(mol)))
        assert standardise(raw).smiles == expected
