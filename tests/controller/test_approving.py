"""A round is summed up, let go inside the limits of lab.toml or held; what is let go is what is pipetted."""

import json
import re
from datetime import timedelta

import polars as pl
import pytest
from controller_fakes import START, FakeLab
from journal_lab import typed, write_lab

from controller.approving import beyond, cost_of, hits_text, summed_up
from controller.operators import sort_out
from controller.settings import ApprovalSection, CostSection, Settings
from controller.state import LabState
from controller.steps import propose
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol
from protocols.steps import Transfer

HAND = Settings(approval=ApprovalSection(policy="hand"))


def held(**limits: object) -> list[str]:
    lab = FakeLab(settings=Settings(approval=ApprovalSection(**limits), cost=CostSection(per_plate=100.0)))
    asked = lab.run().proposals.get(0)
    return [] if asked is None else next(e.payload["held"] for e in lab.journal.events if e.kind == "proposal")


@pytest.mark.parametrize(
    ("limit", "inside", "beyond_it", "why"),
    [
        ("max_compounds", 4, 3, "compounds 4, at most 3 allowed"),
        ("max_new_scaffolds", 3, 2, "new scaffolds 3, at most 2 allowed"),
        ("max_volume_ul", 20.0, 19.0, "volume drawn 20 ul, at most 19 ul allowed"),
        ("max_cost", 100.0, 99.0, "cost 100, at most 99 allowed"),
        ("max_hours", 48.0, 24.0, "h, at most 24 h allowed"),
        ("latest_finish", START + timedelta(days=2), START + timedelta(days=1), "allowed until 2026-01-06 17:00 UTC"),
        ("min_expected_hits", None, 1.0, "new hits expected unknown, at least 1 wanted"),
    ],
)
def test_each_limit_lets_go_what_is_inside_and_holds_what_is_not(limit, inside, beyond_it, why):
    assert held(**{limit: inside}) == []
    (said,) = held(**{limit: beyond_it})
    assert why in said
    assert f"({limit})" in said


def test_what_is_not_known_is_inside_of_no_limit():
    lab = FakeLab(settings=Settings(approval=ApprovalSection(max_cost=1e9)))
    assert lab.run().open_proposals() == (0,), "nobody knows what it costs: there are no prices"
    assert cost_of({}, None) is None


def test_hits_are_expected_with_an_interval_and_held_against_the_least():
    lab = FakeLab(settings=HAND)
    hits = {"expected": 4.2, "low": 1, "high": 8, "level": 0.9}
    summary = {**lab.run().proposals[0].summary, "hits": hits}
    assert hits_text(hits) == "4.2 (90 % interval 1 to 8)"
    assert list(beyond(summary, {"min_expected_hits": 4.0})) == []
    (why,) = beyond(summary, {"min_expected_hits": 5.0})
    assert why.startswith("new hits expected 4.2, at least 5 wanted")


def test_the_end_has_a_spread_that_comes_from_what_was_seen():
    lab = FakeLab(settings=HAND, rounds=2)
    ends = []
    for number in range(2):
        state = lab.run()
        ends.append(state.proposals[number].summary["end"])
        lab.decide(what="approve", round=number)
    assert [end["n_seen"] for end in ends] == [0, 1]
    assert ends[0]["p05"] < ends[0]["p50"] < ends[0]["p95"]
    # deck, load, deck, load, clear, store, fetch, stage and acquire of seven minutes each beside a day of incubation
    assert 24 < ends[1]["hours"] < 26


def test_who_approved_what_and_when_is_in_the_journal_also_of_the_policy():
    lab = FakeLab(rounds=1)
    state = lab.run()
    (said,) = [e for e in lab.journal.events if e.kind == "decision"]
    assert said.payload["by"] == "policy"
    assert said.payload["digest"] == state.approvals[0].digest == "first.r0.propose:"
    assert state.approvals[0].time == said.time
    assert said.payload["summary"]["sources"][0]["least_left_nl"] == 5000


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ({"round": 1}, "round 2 does not wait for approval \\(waiting: 1\\)"),
        ({"digest": "another"}, "what waits as round 1 is first.r0.propose, not another"),
        ({"digest": ""}, "not what was not named"),
        ({"by": "policy"}, "nobody but the loop decides as 'policy'"),
    ],
)
def test_the_loop_refuses_what_a_client_should_not_have_sent(word, why):
    lab = FakeLab(settings=HAND)
    state = lab.run()
    digest = state.proposals[0].digest
    posted = {"what": "approve", "round": 0, "by": "ann", "reason": "", "digest": digest, **word}
    ((kind, _, told),) = sort_out(state, [posted])
    assert kind == "decision.refused"
    assert re.search(why, told["why"])


def test_an_approval_of_another_plan_sets_nothing_off_and_the_plan_is_asked_about_again():
    lab = FakeLab(settings=HAND, rounds=1)
    lab.run()
    lab.decide(what="approve", round=0, digest="another")
    state = lab.run()
    assert not lab.device.log
    assert state.open_proposals() == (0,)
    lab.decide(what="approve", round=0)
    assert lab.run().is_finished


def test_approvals_through_the_command_line(tmp_path):
    fake = FakeLab(settings=HAND, rounds=2)
    state = fake.run()
    lab = write_lab(tmp_path / "lab", fake)
    shown = typed(lab, "approve", 1, "--show")
    assert "round 1 of first: waits for approval" in shown.out
    assert "new scaffolds: 3 of 4: c1ccccc1 (2) and 2 more" in shown.out
    body = json.loads(typed(lab, "approve", 1, "--show", "--json").out)
    assert body["digest"] == state.proposals[0].digest
    for words, why in [
        ((2,), "round 2 does not wait for approval (waiting: 1)"),
        ((1, "--digest", "beef"), "what waits as round 1 is first.r0.propose, not beef"),
        ((2, "--show"), "round 2 was not put before anybody (waiting: 1)"),
    ]:
        said = typed(lab, "approve", *words)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert why in said.err
    assert typed(lab, "approve", 1, "--digest", "first.r0").code == 0
    again = typed(lab, "approve", 1)
    assert again.code == 2
    assert "round 1 was approved already, by " in again.err


def test_a_round_under_way_cannot_be_approved_or_rejected_again(tmp_path):
    fake = FakeLab(rounds=1)
    fake.device.unknown.add("first.r0.run-0")
    fake.run()
    lab = write_lab(tmp_path / "lab", fake)
    for word in ("approve", "reject"):
        said = typed(lab, word, 1)
        assert said.code == 2
        assert "round 1 was approved already, by policy and is under way since 2026-01-05 17:00 UTC" in said.err


def test_a_round_is_summed_up_from_its_files(tmp_path):
    out, folder, library = tmp_path / "out", tmp_path / "protocol", tmp_path / "library"
    for path in (out, folder, library):
        path.mkdir()
    scaffolds = {"A": "c1ccccc1", "B": "c1ccccc1", "C": "c1ccncc1", "D": "", "OLD": "c1ccncc1"}
    pl.DataFrame({"compound_id": list(scaffolds), "scaffold": list(scaffolds.values())}).write_parquet(
        library / "compounds.parquet"
    )
    for name, ids in (("picks", "ABCD"), ("before", ["OLD"])):
        table = {"compound_id": list(ids), "reason": ["exploit"] * len(ids), "why": [""] * len(ids)}
        pl.DataFrame({**table, "p_hit": [float("nan")] * len(ids)}).write_parquet(tmp_path / f"{name}.parquet")
    stock = [
        ("SRC", f"{row}01", name, 9_000, 1e4, "corning_96_wellplate_360ul_flat")
        for row, name in map(tuple, ("AA", "BB", "CC", "DD"))
    ]
    names = ["source_plate", "source_well", "compound_id", "volume_nl", "concentration_um", "labware"]
    pl.DataFrame(stock, schema=names, orient="row").write_parquet(tmp_path / "stock.parquet")
    moves = [
        Transfer(n, "SRC", f"{row}01", "NP", f"{row}02", 2_000 + 1_000 * n, "TIPS", f"A0{n}", row)
        for n, row in enumerate("ABCD", 1)
    ]
    deck = (DeckItem("C2", "NP", "corning_96_wellplate_360ul_flat", DeckRole.DESTINATION),)
    protocol = Protocol("night", "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, tuple(moves)),))
    (folder / "protocol.json").write_text(protocol.to_json())
    (folder / "load-0.py").write_text("one")
    inputs = {"picks": tmp_path / "picks.parquet", "picks-0": tmp_path / "before.parquet", "library": library}
    inputs |= {"protocol": folder, "stock": tmp_path / "stock.parquet"}
    params = {"campaign": "first", "round": 1, "rule": "ucb"}
    said = propose.run(inputs, params, out, lambda *_: None)
    assert (said["n_scaffolds"], said["new_scaffolds"]) == (2, [["c1ccccc1", 2]]), "pyridine was picked before"
    assert (said["n_compounds"], said["n_wells"], said["n_tips"], said["drawn_nl"]) == (4, 4, 4, 18_000)
    assert said["sources"] == [
        {"plate": "SRC", "n_wells": 4, "drawn_nl": 18_000, "least_left_nl": 3_000, "least_left_well": "D01"}
    ]
    assert json.loads((out / "proposal.json").read_text())["picks"][0]["p_hit"] is None
    (folder / "load-0.py").write_text("two")
    assert propose.run(inputs, params, out, lambda *_: None)["digest"] != said["digest"], "another file is another plan"
    other = propose.run(inputs, {**params, "round": 2}, out, lambda *_: None)["digest"]
    (folder / "load-0.py").write_text("one")
    assert other not in (said["digest"], propose.run(inputs, {**params, "round": 2}, out, lambda *_: None)["digest"])


def test_a_summary_is_a_function_of_state_time_and_plan():
    lab = FakeLab(settings=HAND)
    state: LabState = lab.run()
    assert summed_up(state, START, lab.plan, lab.plans, 0) == summed_up(state, START, lab.plan, lab.plans, 0)
