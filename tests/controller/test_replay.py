"""The replay command: sizes as people write them, one JSON and one picture out."""

import json
from dataclasses import replace

import numpy as np
import pytest

from controller.replay import ReplayRequest, parse_size, run_replay
from controller.replay_figures import Campaign, _first_notes, strategy_figures
from controller.replay_shown import replay_text
from nextplate.acquisition.replay import ReplayCurve, ReplayPlan, ReplayRound
from nextplate.acquisition.retrospect import Listed
from nextplate.acquisition.strategies import Strategy, parse_strategy
from nextplate.errors import DataError, PlanError


@pytest.mark.parametrize(
    ("text", "n", "size"),
    [("1%", 10_560, 106), ("64", 100, 64), ("0.5 %", 1000, 5), ("0.01%", 50, 1), ("100%", 7, 7), ("300", 3, 3)],
)
def test_sizes(text, n, size):
    assert parse_size(text, n) == size


NAMES = [
    ("auto", "auto", "ucb"),
    ("auto:greedy", "auto", "greedy"),
    ("ucb", "auto", "ucb"),
    ("minmax-gp", "minmax-gp", "greedy"),
    ("forest:ei", "forest", "ei"),
    ("random", "", "random"),
    ("similarity", "", "similarity"),
]


@pytest.mark.parametrize(("name", "kind", "rule"), NAMES)
def test_what_a_strategy_is_called(name, kind, rule):
    assert parse_strategy(name) == Strategy(kind, rule, "greedy" if name == "auto" else "")


def test_auto_picks_hits_greedily_and_responses_by_their_upper_bound():
    assert [parse_strategy("auto").rule_for(is_binary) for is_binary in (True, False)] == ["greedy", "ucb"]
    assert parse_strategy("gp:ei").rule_for(True) == "ei"


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "0", "0%", "200%", "1e3", "%"])
def test_sizes_that_cannot_be_meant(text):
    with pytest.raises(PlanError, match=r"ask for between|not a size"):
        parse_size(text, 100)


@pytest.fixture
def request_(tmp_path):
    rng = np.random.default_rng(1)
    lines = [f"{'C' * (i % 30 + 1)}{'NOSF'[i % 4]},{-(i % 30) + rng.normal():.2f}" for i in range(120)]
    lines[5] = "CCCCCC,"
    lines[6] = "C1CC,4"
    path = tmp_path / "values.csv"
    path.write_text("smiles,score\n" + "\n".join(lines) + "\n")
    return ReplayRequest(
        path, "smiles", "score", "minimize", 0.5, "20", "10%", 2, 2, ("minmax-gp:ucb",), "10", tmp_path / "out"
    )


def test_zeros_that_are_sought_are_found_as_ones_would_be(request_):
    lines = request_.file.read_text().splitlines()
    found = {}
    for goal in ("maximize", "minimize"):
        labels = [str(int((n % 7 == 0) == (goal == "maximize"))) for n in range(len(lines))]
        request_.file.write_text(
            "\n".join([lines[0], *(f"{row.split(',')[0]},{y}" for row, y in zip(lines[1:], labels, strict=False))])
            + "\n"
        )
        body = run_replay(replace(request_, goal=goal, strategies=("nearest",), seeds=1), lambda *_: None)
        found[goal] = [{**s, "seconds_mean": 0} for s in body["strategies"]]
    assert found["maximize"] == found["minimize"]


def test_a_threshold_must_be_a_number(request_):
    with pytest.raises(PlanError, match="--threshold nan"):
        run_replay(replace(request_, goal="hits", threshold=float("nan")), lambda *_: None)


def test_a_replay_is_written_and_said(request_):
    done = []
    body = run_replay(request_, lambda *n: done.append(n))
    assert done[-1] == (6, 6)
    assert body == json.loads((request_.out / "replay.json").read_text())
    assert (request_.out / "replay.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(p.name for p in request_.out.iterdir()) == ["replay.json", "replay.png"]
    assert (body["n_compounds"], body["n_unscored"], body["n_left_out"], body["n_initial"]) == (119, 1, 1, 20)
    by = {entry["strategy"]: entry for entry in body["strategies"]}
    ours = by["minmax-gp:ucb"]
    assert list(by) == ["minmax-gp:ucb", "random", "similarity"]
    assert ours["tested"] == 44
    assert [point["tested"] for point in ours["curve"]] == [20, 32, 44]
    assert ours["recall_structures_mean"] > by["random"]["recall_structures_mean"]
    assert 0 <= ours["coverage_90_low"] <= ours["coverage_90"] <= ours["coverage_90_high"] <= 1
    assert ours["n_covered_of"] > 20
    assert ours["coverage_90_interval"] == "t between 2 seeds"
    assert ours["coverage_90_trivial"] == 0.0
    assert ours["yield_90"] is not None
    assert by["random"]["coverage_90"] is None
    assert by["random"]["coverage_90_interval"] is None
    text = replay_text(body)
    assert "119 compounds, 1 without a value, 1 left out" in text
    (line,) = (one for one in text.splitlines() if one.startswith("minmax-gp:ucb"))
    assert line.count(" ± ") == 5, "structures, scores, hits, scaffolds, times chance; no hit could be listed"
    assert "cover 90%, t 95%" in text
    assert (
        f"{100 * by['minmax-gp:ucb']['coverage_90_low']:.1f} to {100 * by['minmax-gp:ucb']['coverage_90_high']:.1f}"
        in line
    )


def test_the_error_of_false_discoveries_is_between_seeds_and_notes_that_are_cut_are_counted():
    def curve(seed, false):
        listed = [Listed(10, n, 50) for n in false]
        notes = tuple(f"note {seed} {letter}" for letter in "abcdefghijklmno"[: 8 + 7 * seed])
        rounds = [ReplayRound(1, 0.0, 0.0, 0, 0, None, None, None, one, notes) for one in listed]
        plan = ReplayPlan("nearest", 1, 1, 2, 1, seed=seed)
        return Campaign(ReplayCurve(plan, 100, 10, tuple(rounds), np.arange(2)), 1.0)

    told = strategy_figures("nearest", [curve(0, (1, 3)), curve(1, (5, 7))])
    assert told["fdr_mean"] == pytest.approx(0.4)
    assert told["fdr_error"] == pytest.approx(np.std([0.2, 0.6], ddof=1) / np.sqrt(2))
    assert len(told["notes"]) == 15
    assert (told["notes"][0], told["notes"][8]) == ("note 0 a (1 more like it)", "note 1 i")
    alone = strategy_figures("nearest", [curve(0, (1, 3))])
    assert alone["fdr_error"] is None
    assert len(alone["notes"]) == 8


def test_notes_beyond_twenty_are_counted():
    notes = [f"note {'x' * n}" for n in range(25)]
    assert _first_notes(notes) == [*notes[:20], "... and 5 more notes"]


def test_lists_that_hold_nothing_have_no_rate_of_false_discoveries(request_):
    empty, full = Listed(0, 0, 9), Listed(10, 1, 9)
    rounds = [ReplayRound(1, 0.0, 0.0, 0, 0, None, None, None, one) for one in (empty, empty)]
    plan = ReplayPlan("nearest", 1, 1, 2, 1)

    def told(*made):
        curve = ReplayCurve(plan, 100, 10, tuple(replace(rounds[0], listed=one) for one in made), np.arange(2))
        return strategy_figures("nearest", [Campaign(curve, 1.0)])

    none = told(empty, empty)
    assert (none["fdr_mean"], none["fdr_error"], none["n_listed_mean"]) == (None, None, 0.0)
    assert none["fdr_reason"].startswith("all 2 hit lists are empty")
    assert [point["fdr"] for point in none["curve"]] == [None, None]
    some = told(empty, full)
    assert (some["fdr_mean"], some["fdr_reason"]) == (0.05, None)
    assert [point["fdr"] for point in some["curve"]] == [None, 0.1]
    assert told(None, None)["fdr_reason"] == "no belief was fitted that hits could be listed by"
    body = run_replay(replace(request_, seeds=1, rounds=1, initial="6", strategies=("nearest",)), lambda *_: None)
    assert body["strategies"][0]["fdr_mean"] is None
    (line,) = (one for one in replay_text(body).splitlines() if one.startswith("nearest"))
    assert line.split()[-3:-1] == ["-", "0.0"]


IGNORED = [
    (("--maximize", "--threshold", "3"), "--threshold 3 is the least value of a hit; it goes with --hits"),
    (("--minimize", "--threshold", "nan"), "'--threshold': nan is not a finite number"),
    (("--hits", "--top", "2%"), "--top 2% goes with --maximize or --minimize"),
    (("--hits", "--threshold", "nan"), "'--threshold': nan is not a finite number"),
    (("--hits", "--threshold", "inf"), "'--threshold': inf is not a finite number"),
    (("--maximize", "--top", "nan"), "--top 'nan' is not a size"),
    (("--maximize", "--initial", "nan%"), "--initial 'nan%' is not a size"),
    (("--maximize", "--batch", "inf"), "--batch 'inf' is not a size"),
    (("--maximize", "--rounds", "nan"), "--rounds"),
    (("--maximize", "--seeds", "nan"), "--seeds"),
]


@pytest.mark.parametrize(("options", "says"), IGNORED)
def test_an_option_that_would_be_ignored_or_is_no_number_is_refused_by_name(request_, run, options, says):
    code, _, err = run("replay", request_.file, "--value", "score", "--out", request_.out, *options)
    assert code == 2
    assert says in " ".join(err.split())
    assert not request_.out.exists()


def test_one_seed_shows_no_deviation(request_):
    body = run_replay(replace(request_, seeds=1, strategies=("random",)), lambda *_: None)
    assert body["strategies"][0]["hits_sd"] is None
    (line,) = (one for one in replay_text(body).splitlines() if one.startswith("random"))
    assert line.count("(1 seed)") == 5
    assert "±" not in line


def test_the_interval_of_a_coverage_is_between_seeds_else_between_rounds_else_missing(request_):
    one = replace(request_, seeds=1, strategies=("nearest",))
    told = run_replay(one, lambda *_: None)["strategies"][0]
    assert told["coverage_90_interval"] == "t between 2 rounds"
    alone = run_replay(replace(one, rounds=1), lambda *_: None)
    told = alone["strategies"][0]
    assert told["coverage_90"] is not None
    assert told["coverage_90_low"] is told["coverage_90_high"] is told["coverage_90_interval"] is None
    assert " to " not in next(line for line in replay_text(alone).splitlines() if line.startswith("nearest"))


def test_intervals_that_promise_nothing_are_told_beside_the_coverage(request_):
    """Of 6 compounds no interval at 90 % is finite: coverage is full, and empty."""
    body = run_replay(replace(request_, initial="6", rounds=1, strategies=("nearest",)), lambda *_: None)
    told = body["strategies"][0]
    assert (told["coverage_90"], told["coverage_90_trivial"], told["coverage_90_plain_trivial"]) == (1.0, 1.0, 1.0)
    (line,) = (one for one in replay_text(body).splitlines() if one.startswith("nearest"))
    assert "100.0, 100.0" in line


def test_label_sets_are_told_class_by_class(request_):
    lines = request_.file.read_text().splitlines()
    flags = [f"{line.split(',')[0]},{int(n % 30 > 22)}" for n, line in enumerate(lines[1:])]
    request_.file.write_text("\n".join([lines[0], *flags]) + "\n")
    body = run_replay(replace(request_, goal="hits", strategies=("nearest",)), lambda *_: None)
    told = body["strategies"][0]
    assert 0 <= told["coverage_90_trivial"] <= told["coverage_90"] <= 1
    assert told["coverage_90_hits"] is not None
    assert told["coverage_90_rest"] is not None


def test_hits_are_recalled_over_all_hits(request_):
    body = run_replay(replace(request_, goal="hits", threshold=-3.0, seeds=1, strategies=("random",)), lambda *_: None)
    assert body["top_k"] == body["n_hits"] > 0
    assert body["hit_threshold"] == -3.0


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"strategies": ("magic",)}, PlanError, "'magic'; the strategies are"),
        ({"goal": "best"}, PlanError, "must be one of maximize, minimize, hits"),
        ({"goal": "hits", "threshold": 99.0}, DataError, "no value reaches the threshold 99"),
        ({"seeds": 0}, PlanError, "0 seeds"),
        ({"value_column": "nope"}, DataError, "no column 'nope'"),
        ({"top": "0%"}, PlanError, "ask for between 1 and 119"),
        ({"strategies": ()}, PlanError, "no strategy is named"),
    ],
)
def test_what_cannot_be_replayed_says_why_and_leaves_nothing(request_, change, error, says):
    with pytest.raises(error, match=says):
        run_replay(replace(request_, **change), lambda *_: None)
    assert not request_.out.exists()


def test_what_falls_back_is_named(request_):
    lines = request_.file.read_text().splitlines()
    lines[3], lines[4] = lines[3].split(",")[0] + ",inf", lines[3].split(",")[0] + ",-3"
    request_.file.write_text("\n".join([*lines, lines[1].split(",")[0] + ",7"]) + "\n")
    body = run_replay(replace(request_, batch="300", seeds=1, strategies=("nearest",)), lambda *_: None)
    assert (body["n_infinite"], body["n_unscored"]) == (1, 2)
    text = replay_text(body)
    assert "(1 infinite, read as not measured)" in text
    assert "note: --batch 300: the file holds 120 compounds, so all of them are taken" in text
    assert "structures occur more than once with different values" in text
    assert "note: left out: line" in text


def test_infinite_values_reach_no_threshold(request_):
    lines = request_.file.read_text().splitlines()
    request_.file.write_text("\n".join([*lines[:3], lines[3].split(",")[0] + ",inf", *lines[4:]]) + "\n")
    with pytest.raises(DataError, match="no value reaches the threshold 100"):
        run_replay(replace(request_, goal="hits", threshold=100.0), lambda *_: None)
