"""Which belief chooses plates: the last that passed its gates and was not rolled back, whatever dies in between."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from controller_fakes import FakeJournal, FakeLab

from controller.decide import decide
from controller.lab import init_lab, open_lab
from controller.narrate import _about, _calibrate
from controller.operators import why_not
from controller.recipe import deployed_round
from controller.state import LabState, fold
from controller.steps import calibrate
from controller.store import NewEvent, open_store
from nextplate.compound import Features
from nextplate.models import forest
from nextplate.models.gates import coverage_gate, not_worse_gate


def inputs_of(lab: FakeLab, task: str) -> dict[int, dict[str, str]]:
    intents = [e.payload for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == task]
    return {p["round"]: p["action"]["inputs"] for p in intents}


def lab_of(rounds: int, shut: set[int]) -> FakeLab:
    lab = FakeLab(rounds=rounds)
    lab.executor.shut_gates |= shut
    return lab


def test_a_belief_that_fails_its_gates_chooses_nothing():
    lab = lab_of(4, {2})
    state = lab.run()
    picks, judged = inputs_of(lab, "pick"), inputs_of(lab, "evaluate")
    used = {r: picks[r].get("predictions") for r in range(4)}
    assert used == {0: None, **{r: f"somewhere/calibrate-{n}/predictions.parquet" for r, n in ((1, 1), (2, 1), (3, 3))}}
    assert {r: judged[r].get("predictions") for r in range(4)} == used
    assert judged[2]["calibration"] == "somewhere/calibrate-1/calibration.json"
    assert judged[2]["promise"] == "somewhere/calibrate-1"
    met = {name: path for name, path in inputs_of(lab, "calibrate")[3].items() if name.startswith("met-")}
    assert met == {f"met-{r}": f"somewhere/evaluate-{r}" for r in range(3)}
    assert {name for name in judged[2] if name.startswith("met-")} == {"met-0", "met-1"}
    against = {r: i.get("deployed") for r, i in inputs_of(lab, "calibrate").items()}
    assert against == {1: None, 2: "somewhere/fit-1", 3: "somewhere/fit-1", 4: "somewhere/fit-3"}
    assert [deployed_round(state, r) for r in range(5)] == [None, 1, 1, 3, 4]


def test_where_none_has_passed_the_newest_chooses():
    lab = lab_of(3, {1, 2, 3})
    lab.run()
    assert inputs_of(lab, "pick")[2]["predictions"] == "somewhere/calibrate-2/predictions.parquet"


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_commit_the_same_beliefs_choose(after):
    calm = lab_of(3, {2})
    calm.run()
    for n in range(2, calm.journal.n_appends + 1, 4):
        lab = lab_of(3, {2})
        lab.journal.die_at, lab.journal.die_after_commit = n, after
        lab.run()
        assert inputs_of(lab, "pick") == inputs_of(calm, "pick")
        assert inputs_of(lab, "evaluate") == inputs_of(calm, "evaluate")


def state_after(lab: FakeLab, key: str) -> tuple[LabState, int]:
    events = lab.journal.events
    at = next(i for i, e in enumerate(events) if e.kind == "outcome" and e.payload["key"] == key)
    return fold(events[: at + 1]), at


def rolled_back(state: LabState, number: int) -> LabState:
    journal = FakeJournal()
    decision = {"what": "rollback", "round": number, "by": "ann", "reason": "bad plate"}
    assert why_not(state, decision) is None
    event = NewEvent("decision", datetime(2026, 1, 9, tzinfo=UTC), "first", decision)
    return fold(journal.append([event], expected_seq=0), state)


def test_a_rollback_takes_the_next_plate_from_the_earlier_belief_until_a_new_one_passes():
    lab = lab_of(4, set())
    end = lab.run()
    before, _ = state_after(lab, "first.r2.calibrate")
    assert deployed_round(before, 2) == 2
    state = rolled_back(before, 1)
    assert deployed_round(state, 2) == 1
    (action,) = decide(state, datetime(2026, 1, 9, tzinfo=UTC), lab.plan)
    assert action.inputs["predictions"] == "somewhere/calibrate-1/predictions.parquet"
    later = rolled_back(state_after(lab, "first.r3.fit")[0], 1)
    assert later.withdrawn == {2: "ann"}
    (action,) = decide(later, datetime(2026, 1, 9, tzinfo=UTC), lab.plan)
    assert (action.task, action.inputs["deployed"]) == ("calibrate", "somewhere/fit-1")
    assert not end.withdrawn


REFUSED = [
    (3, "has no calibrated belief"),
    (1, "did not pass its gates"),
    (2, "is the deployed one already"),
]


@pytest.mark.parametrize(("number", "says"), REFUSED)
def test_a_rollback_that_leads_nowhere_is_refused(number, says):
    lab = lab_of(4, {1})
    lab.run()
    state, _ = state_after(lab, "first.r2.calibrate")
    assert says in why_not(state, {"what": "rollback", "round": number, "by": "ann"})


def test_a_rollback_and_a_shut_gate_are_told():

    assert _about({"what": "rollback", "round": 1, "reason": "bad"}) == "to the belief of round 2 bad"
    gates = [{"name": "coverage", "is_passed": False, "told": "held 3 of 40"}]
    assert _calibrate({"summary": {"gates": gates}}, 0) == "belief NOT deployed: held 3 of 40"


COVERAGE = [(90, 100, True), (82, 100, True), (70, 100, False), (100, 100, True), (0, 9, True), (790, 1000, False)]


@pytest.mark.parametrize(("n_inside", "n", "is_passed"), COVERAGE)
def test_the_gate_of_coverage_shuts_beyond_tolerance_and_error(n_inside, n, is_passed):
    assert coverage_gate(n_inside, n, 0.9).is_passed is is_passed


def test_the_gate_against_the_deployed_shuts_on_what_is_worse_beyond_error():
    rng = np.random.default_rng(1)
    y = rng.normal(size=60)
    near, far = y + rng.normal(0, 0.2, 60), y + rng.normal(0, 1.0, 60)
    assert not_worse_gate(near, far, y).is_passed
    assert not not_worse_gate(far, near, y).is_passed
    assert not_worse_gate(near, near, y).is_passed
    assert "not judged: 5 wells" in not_worse_gate(far[:5], near[:5], y[:5]).told
    assert not_worse_gate(far, np.full(60, np.nan), y).is_passed


def test_calibrate_judges_on_wells_that_neither_belief_has_seen(tmp_path: Path):
    rng = np.random.default_rng(2)
    ids, y = [f"C{i}" for i in range(120)], rng.normal(size=120)

    def fitted(name: str, n: int, noise: float) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        mean = y + rng.normal(0, noise, 120)
        seen = {"label": y[:n], "is_hit": y[:n] > 0.5, "similarity": np.full(n, 0.5)}
        oof = {"compound_id": ids[:n], **seen, "mean": mean[:n], "spread": np.full(n, 0.1)}
        pl.DataFrame(oof).write_parquet(folder / "oof.parquet")
        raw = {"compound_id": ids, "mean": mean, "spread": np.full(120, 0.1), "similarity": np.full(120, 0.5)}
        pl.DataFrame(raw).write_parquet(folder / "raw.parquet")
        return folder

    params = {"confidence": 0.85, "threshold": 0.5, "n_picks": 20, "beta": 0.5}
    good, bad = fitted("good", 70, 0.1), fitted("bad", 120, 0.8)
    (tmp_path / "out").mkdir()
    alone = calibrate.run({"fitted": bad}, params, tmp_path / "out", lambda *_: None)
    assert alone["is_deployed"]
    assert [gate["name"] for gate in alone["gates"]] == ["coverage"]
    assert "85% intervals held" in alone["gates"][0]["told"]
    judged = calibrate.run({"fitted": bad, "deployed": good}, params, tmp_path / "out", lambda *_: None)
    assert not judged["is_deployed"]
    assert "on 50 wells that neither belief has seen" in judged["gates"][1]["told"]
    assert json.loads((tmp_path / "out" / "gates.json").read_text())[1]["is_passed"] is False


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A lab with three beliefs on its journal: the second failed its gates."""
    folder = init_lab(tmp_path / "lab").folder
    rng = np.random.default_rng(1)
    packed = np.packbits(rng.random((40, 64)) < 0.3, axis=1)
    ids = tuple(map(str, range(40)))
    features = Features(
        Path(), "f" * 64, ids, ids, packed, rng.random((40, 1), dtype=np.float32), ("a",), packed, packed
    )
    when, settings = datetime(2026, 1, 5, tzinfo=UTC), json.loads(open_lab(folder).settings.model_dump_json())
    started = {"name": "first", "seed": 1, "rounds": 4, "library": "L", "settings": settings}
    events = [NewEvent("campaign.started", when, "first", started)]
    for r in (1, 2, 3):
        belief = forest.fit(features, np.arange(40), rng.random(40), seed=r, n_trees=5)
        forest.save(belief, folder / "models" / f"fit-{r}" / "belief", metrics={"rmse": 0.2})
        gate = {"name": "coverage", "is_passed": r != 2, "told": "90% intervals held 20 of 40"}
        said = {"n_compounds": 40, "n_hits": 3, "rmse": 0.2, "rmse_error": 0.01, "notes": []}
        for task, summary in (("fit", said), ("calibrate", {"gates": [gate], "is_deployed": r != 2})):
            key = f"first.r{r}.{task}"
            intent = {"key": key, "task": task, "round": r, "action": {"step": task, "inputs": {}, "params": {}}}
            result = {"folder": f"models/{task}-{r}", "summary": summary}
            outcome = {"key": key, "status": "done", "result": result, "message": ""}
            events += [NewEvent("intent", when, "first", intent), NewEvent("outcome", when, "first", outcome)]
    with open_store(open_lab(folder).database) as store:
        store.append(events)
    return folder


def test_the_shelf_is_listed_shown_and_exported(run, shelf: Path, tmp_path: Path):
    code, out, _ = run("model", "list", "--lab", shelf)
    assert code == 0
    assert "deployed" in out
    assert "kept out by its gates" in out
    assert "coverage: 90% intervals held 20 of 40" in out
    models = json.loads(run("model", "list", "--lab", shelf, "--json")[1])["models"]
    assert [(m["round"], m["status"], m["kind"]) for m in models] == [
        (2, "passed", "forest"), (3, "kept out by its gates", "forest"), (4, "deployed", "forest"),
    ]  # fmt: skip
    code, out, _ = run("model", "show", "--lab", shelf)
    assert "of round 4, kind forest: deployed" in out
    assert "all as they were written" in out
    card = json.loads(run("model", "show", "--round", 2, "--lab", shelf, "--json")[1])["card"]
    assert (card["kind"], card["learned"]["n_labels"], card["metrics"]) == ("forest", 40, {"rmse": 0.2})
    code, out, _ = run("model", "export", tmp_path / "taken", "--round", 2, "--lab", shelf)
    assert code == 0
    assert forest.load(tmp_path / "taken").learned.seed == 1
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_damaged_belief_is_listed_as_such_and_neither_shown_nor_exported_nor_gone_back_to(
    run, shelf: Path, tmp_path: Path
):
    trees = shelf / "models" / "fit-1" / "belief" / "trees.npz"
    trees.write_bytes(trees.read_bytes()[:-1])
    code, out, _ = run("model", "list", "--lab", shelf)
    assert code == 0
    assert "DAMAGED" in out
    for command in (("show",), ("export", tmp_path / "taken")):
        code, _, err = run("model", *command, "--round", 2, "--lab", shelf)
        assert code == 2
        assert "trees.npz: was cut short or altered" in err
        assert "nextplate model rollback ROUND" in err
    code, _, err = run("model", "rollback", 2, "--lab", shelf)
    assert code == 2
    assert "trees.npz: was cut short or altered" in err
    assert not (tmp_path / "taken").exists()


def test_when_the_campaign_is_over_no_message_advises_a_rollback_that_is_refused(run, shelf: Path):
    with open_store(open_lab(shelf).database) as store:
        store.append([NewEvent("campaign.finished", datetime(2026, 1, 9, tzinfo=UTC), "first", {})])
    trees = shelf / "models" / "fit-1" / "belief" / "trees.npz"
    whole = trees.read_bytes()
    trees.write_bytes(whole[:-1])
    for command in (("show", "--round", 2), ("export", shelf / "x", "--round", 2), ("rollback", 2)):
        code, _, err = run("model", *command, "--lab", shelf)
        assert code == 2
        assert "the campaign is over: put the file back from a copy" in err
        assert "rollback" not in err.replace(str(shelf), "")
    assert "rollback" not in run("model", "list", "--lab", shelf)[1]
    trees.write_bytes(whole)
    code, _, err = run("model", "rollback", 2, "--lab", shelf)
    assert code == 2
    assert "'first' is finished; nothing is left to choose by a belief, and so nothing to roll back" in err


def test_what_is_not_there_is_exit_code_2(run, shelf: Path, tmp_path: Path):
    for command, says in (
        (("show", "--round", 9), "round 9 has no belief (rounds with one: 2, 3, 4)"),
        (("export", shelf), "exists already"),
        (("rollback", 3), "did not pass its gates"),
        (("rollback", 4), "is the deployed one already"),
    ):
        code, out, err = run("model", *command, "--lab", shelf, "--json")
        assert code == 2
        assert says in err
        assert json.loads(out)["exit_code"] == 2
    empty = init_lab(tmp_path / "empty").folder
    assert run("model", "list", "--lab", empty)[0] == 2


def test_one_command_rolls_back_and_the_inbox_keeps_it(run, shelf: Path):
    code, out, _ = run("model", "rollback", 2, "--reason", "bad plate", "--lab", shelf)
    assert code == 0
    assert "rollback: noted" in out
    with open_store(open_lab(shelf).database) as store:
        (waiting,) = [json.loads(row["decision"]) for row in store.waiting_decisions()]
    assert (waiting["what"], waiting["round"], waiting["reason"]) == ("rollback", 1, "bad plate")
    assert run("model", "rollback", 2, "--lab", shelf)[0] == 2, "it waits already"
