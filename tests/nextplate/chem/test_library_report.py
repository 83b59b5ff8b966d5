"""A report counts what standardisation changed and what is flagged, and drops nothing."""

import pytest

from nextplate.chem.library import featurise, read_library
from nextplate.chem.report import Counted, as_lines, library_report
from nextplate.chem.stream import stream_library
from nextplate.errors import DataError

LIBRARY = """smiles,id
CC(=O)[O-].[Na+],SALT
CCN.Cl.O,HYDRATE
C[C@H](N)C(=O)O,ALA
C[C@H](C)CC=O,FALSE-CENTRE
O=C1C=CC(=O)C=C1,QUINONE
CS(C)=O,DMSO
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "library.csv").write_text(LIBRARY)
    return tmp_path / "library.csv"


def test_changes_stereo_and_alerts_are_counted(path, tmp_path):
    report = library_report(featurise(read_library(path).rows, tmp_path / "features").folder)
    assert (report.n, report.n_unchanged, report.n_with_stereo, report.n_scaffolds) == (6, 3, 1, 1)
    assert {c.name: c.n for c in report.changes} == {
        "removed [Na+]": 1, "removed Cl": 1, "removed O": 1, "neutralised": 1, "groups normalised": 1,
    }  # fmt: skip
    assert report.stereo_lost == Counted("stereochemistry lost", 1, ("FALSE-CENTRE",))
    assert report.alerts is not None
    assert {c.name: c.examples for c in report.alerts} == {
        "quinone_A(370)": ("QUINONE",),
        "reactive: Michael acceptor: ketone, aldehyde or ester": ("QUINONE",),
        "reactive: aldehyde": ("FALSE-CENTRE",),
    }
    assert report.n_flagged == 2
    text = "\n".join(as_lines(report))
    assert "6 compounds, 3 unchanged" in text
    assert "2 compounds flagged, none dropped" in text


def test_what_was_not_computed_is_said(path, tmp_path):
    result = stream_library(path, lambda _: tmp_path / "out", tmp_path, with_alerts=False, n_jobs=1)
    report = library_report(result.features.folder)
    assert (report.alerts, report.n_flagged, report.n_scaffolds) == (None, None, None)
    assert as_lines(report)[-1] == "scaffolds and alerts: not computed"


def test_without_a_folder_it_is_said(tmp_path):
    with pytest.raises(DataError, match=r"compounds.parquet: cannot be read"):
        library_report(tmp_path)
