"""The referee is asked once per state of the journal, and only where nothing else uses the simulated lab."""

import json

import pytest

from controller.lab import init_lab
from controller.lock import lab_lock
from controller.report.referee import ask_referee

HEAD = "a" * 64


@pytest.fixture
def lab(tmp_path):
    made = init_lab(tmp_path / "lab")
    (made.folder / "sim").mkdir()
    return made


def test_what_was_told_is_kept_for_the_same_head(lab):
    kept = lab.folder / "reports" / "referee.json"
    kept.write_text(json.dumps({"head": HEAD, "report": {"n_true_hits": 7}}))
    assert ask_referee(lab, HEAD, [["C1"]], []).body == {"n_true_hits": 7}


def test_a_lab_in_use_is_left_alone(lab):
    with lab_lock(lab.folder, "nextplate run", lab.database):
        verdict = ask_referee(lab, HEAD, [["C1"]], [])
    assert verdict.body is None
    assert "nextplate run" in verdict.why


def test_a_compound_the_simulated_lab_never_had_is_told(lab):
    verdict = ask_referee(lab, HEAD, [["C1"]], [])
    assert verdict.body is None
    assert "C1" in verdict.why


def test_nothing_is_asked_before_anything_was_tested(lab):
    assert "no compound" in ask_referee(lab, HEAD, [[]], []).why
