"""One plain line says why a compound was picked; what is not known is left out."""

import math

import pytest

from nextplate.acquisition.reasons import explain, explain_all, ordinal
from nextplate.prediction import Pick

NAN = math.nan
EXPLOIT = Pick("CPD-4", "exploit", 0.912, 0.75, 0.2, 0.31, 1.2, 0.62, 0.54, 1)
FIRST = Pick("CPD-5", "cold-start", NAN, NAN, NAN, NAN, NAN, NAN, NAN, 2)
CONFIRM = Pick("CPD-6", "confirm", 0.8, 0.8, NAN, NAN, NAN, NAN, 1.0, 1)
UNBOUND = Pick("CPD-7", "explore", 0.1, 0.2, 0.2, -math.inf, math.inf, 0.05, 0.31, 1)


def test_a_pick_by_score_says_all_that_is_known():
    line = explain(
        EXPLOIT, rank=3, n_picks=320, rule="ucb", n_of_reason=288, confidence=0.9, nearest="CPD-17",
        scaffold="c1ccccc1", cluster="12", alerts=("PAINS: quinone", "Michael acceptor"),
    )  # fmt: skip
    assert line == (
        "CPD-4: exploit (288 of 320 picks), 3rd of the batch, ucb score 0.912; predicted 0.75 (90% interval 0.31 to "
        "1.2), P(hit) 62%; nearest tested CPD-17, similarity 0.54; scaffold c1ccccc1, cluster 12; "
        "alerts PAINS: quinone, Michael acceptor"
    )


def test_what_is_not_known_is_left_out():
    assert explain(FIRST) == "CPD-5: first plate, drawn by lot among unlike structures; 2 wells"
    assert explain(CONFIRM, rule="ucb") == "CPD-6: confirm, a hit seen in one well only; measured 0.8"
    line = explain(UNBOUND, scaffold="")
    assert "predicted 0.2, P(hit) 5%; nearest tested similarity 0.31; no ring" in line
    assert "nan" not in line
    assert "inf" not in line


def test_a_batch_counts_its_budget():
    lines = explain_all([EXPLOIT, UNBOUND, EXPLOIT], rule="ei", nearest={"CPD-4": "A"}, alerts={"CPD-7": ("nitro",)})
    assert [line.split(" (")[1].split(")")[0] for line in lines] == ["2 of 3 picks", "1 of 3 picks", "2 of 3 picks"]
    assert "3rd of the batch, ei score" in lines[2]
    assert "nearest tested A" in lines[0]
    assert lines[1].endswith("alerts nitro")


@pytest.mark.parametrize(
    ("n", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (12, "12th"), (113, "113th"), (121, "121st")]
)
def test_ordinals(n, text):
    assert ordinal(n) == text
