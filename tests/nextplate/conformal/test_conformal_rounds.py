"""Over rounds: levels that correct themselves, an alarm with a known rate, and the diagnostics."""

import numpy as np
import pytest

from nextplate.conformal import (
    RoundRecord,
    adapt,
    calibrate,
    coverage_picture,
    coverage_rows,
    coverage_text,
    drift_alarm,
    measured_p_values,
    start_adaptive,
)
from nextplate.conformal.adaptive import STEP_SIZES
from nextplate.conformal.martingale import log_capital, online_p_values
from nextplate.errors import DataError


@pytest.mark.parametrize("steps", [(0.1,), STEP_SIZES])
def test_adaptive_levels_keep_coverage_while_the_error_grows(steps):
    rng = np.random.default_rng(1)
    known = np.sort(np.abs(rng.normal(size=500)))
    state, missed, missed_fixed = start_adaptive(0.9, steps), [], []
    for number in range(120):
        scores = np.abs(rng.normal(size=24)) * (1 + number / 60)
        p = (500 - np.searchsorted(known, scores) + 1) / 501
        missed.append((p <= state.alpha).mean())
        missed_fixed.append((p <= 0.1).mean())
        state = adapt(state, p)
    assert np.mean(missed_fixed) > 0.25
    assert abs(np.mean(missed[5:]) - 0.1) < 0.02
    assert state.n_rounds == 120
    assert state.level > 0.97


def test_one_step_size_is_the_published_update_and_its_bound_holds():
    state = adapt(start_adaptive(0.9, [0.05]), [0.02, 0.5, 0.6, 0.7])
    assert state.alpha == pytest.approx(0.1 + 0.05 * (0.1 - 0.25))
    assert adapt(state, []) is state
    rng = np.random.default_rng(2)
    state, missed = start_adaptive(0.8, [0.3]), []
    for number in range(200):
        p = rng.random(1) ** (1 + 3 * (number > 90))
        missed.append(float(p[0] <= state.alpha))
        state = adapt(state, p)
    # Gibbs and Candes 2021, proposition 4.1: whatever the data.
    assert abs(np.mean(missed) - 0.2) <= (0.8 + 0.3) / (0.3 * 200)
    assert 0 <= state.level <= 1


def test_without_drift_the_alarm_is_raised_no_more_often_than_named():
    rng = np.random.default_rng(3)
    alarms = [
        drift_alarm(
            np.round(rng.exponential(size=60), 1),
            [np.round(rng.exponential(size=40), 1) for _ in range(4)],
            rng,
            false_alarm_rate=0.1,
        ).is_alarmed
        for _ in range(250)
    ]
    assert np.mean(alarms) <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 250)


@pytest.mark.parametrize("change", [lambda s: 2.5 * s, lambda s: s / 4])
def test_larger_and_smaller_errors_raise_it_soon_and_it_stays_raised(change):
    rng = np.random.default_rng(4)
    rounds = [np.abs(rng.normal(size=48)) for _ in range(8)]
    rounds = [scores if k < 3 else change(scores) for k, scores in enumerate(rounds)]
    alarm = drift_alarm(np.abs(rng.normal(size=200)), rounds, rng, false_alarm_rate=0.01)
    assert alarm.alarmed_round in (3, 4)
    assert alarm.threshold == pytest.approx(100)
    assert alarm.log_capital[alarm.alarmed_at] >= np.log(100)
    assert alarm.rounds.shape == alarm.log_capital.shape == (8 * 48,)


def test_online_p_values_are_uniform_and_the_capital_is_a_mean_of_martingales():
    rng = np.random.default_rng(5)
    p = online_p_values([], np.zeros(4000), rng)
    assert np.abs(np.quantile(p, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.03
    # Expected capital after one bet is 1 whatever was bet before.
    grid = (np.arange(2000) + 0.5) / 2000
    gain = np.exp([log_capital([0.1, 0.2, value])[-1] for value in grid]).mean()
    assert gain == pytest.approx(np.exp(log_capital([0.1, 0.2])[-1]))


def test_nothing_to_bet_on_is_named_and_a_first_score_is_no_error():
    alarm = drift_alarm([1.0], [], np.random.default_rng(6))
    assert not alarm.is_alarmed
    assert alarm.alarmed_round is None
    assert "no score to bet on" in alarm.notes[0]
    assert drift_alarm([], [[1.0]], np.random.default_rng(6)).log_capital.shape == (1,)


def record(number, rng, n=200, method="split"):
    p = np.append(rng.random(n - 1), 1.0)
    is_picked = np.arange(n) < n // 4
    return RoundRecord(
        number, p, is_picked, np.where(np.arange(n) % 2, "kinase", "other"), np.full(n, 0.07), method=method
    )


def test_the_table_holds_every_group_with_its_binomial_interval():
    rng = np.random.default_rng(7)
    rows = coverage_rows([record(1, rng), record(2, rng), record(2, rng, method="weighted")])
    of = {(row.method, row.group, row.nominal): row for row in rows}
    groups = ["all", "picked", "rest", "round 1", "round 2", "class kinase", "class other"]
    assert [row.group for row in rows if row.method == "split" and row.nominal == 0.9] == groups
    everyone = of["split", "all", 0.9]
    assert everyone.n == 400
    assert everyone.low < everyone.empirical < everyone.high
    assert everyone.low < 0.9 < everyone.high
    assert (everyone.n_infinite, of["split", "all", 0.95].n_infinite) == (0, 400)
    assert of["split", "picked", 0.8].n + of["split", "rest", 0.8].n == 400
    assert ("weighted", "round 1", 0.9) not in of
    assert "class kinase" in coverage_text(rows)
    assert coverage_rows([]) == ()


def test_records_that_tell_nothing_apart_show_only_all_and_rounds():
    rows = coverage_rows([RoundRecord(4, [0.5, 0.01]), RoundRecord(5, [])], levels=[0.9])
    assert [(row.group, row.n) for row in rows] == [("all", 2), ("round 4", 2)]
    assert rows[0].empirical == 0.5


def test_the_picture_is_a_png_and_needs_a_row():
    rng = np.random.default_rng(8)
    calibration = calibrate(np.zeros(90), np.ones(90), rng.normal(size=90))
    p, least = measured_p_values(calibration, np.zeros(30), np.ones(30), rng.normal(size=30))
    rows = coverage_rows([RoundRecord(1, p, np.arange(30) < 9, None, least)])
    assert coverage_picture(rows).startswith(b"\x89PNG")
    with pytest.raises(DataError, match="no row"):
        coverage_picture([])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: start_adaptive(0.9, [0.0]), "all positive"),
        (lambda: start_adaptive(1.2), "between 0 and 1"),
        (lambda: adapt(start_adaptive(0.9), [1.5]), "outside of 0 to 1"),
        (lambda: adapt(start_adaptive(0.9), [np.nan]), "not finite"),
        (lambda: drift_alarm([1.0], [[1.0], [np.inf]], np.random.default_rng(1)), "scores of round 1"),
        (lambda: drift_alarm([1.0], [], np.random.default_rng(1), false_alarm_rate=0), "false_alarm_rate is 0"),
        (lambda: coverage_rows([RoundRecord(1, [0.5, np.nan])]), "p-values of round 1"),
        (lambda: coverage_rows([RoundRecord(1, [0.5], [1, 0])]), "is_picked"),
        (lambda: coverage_rows([RoundRecord(1, [0.5], None, ["a", "b"])]), "categories"),
    ],
)
def test_bad_input_says_what_and_where(call, says):
    with pytest.raises(DataError, match=says):
        call()
