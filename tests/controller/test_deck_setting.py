"""[deck] of lab.toml: what is said of the deck reaches the compiler and the proof; what is not said changes no key."""

from pathlib import Path

import pytest

from controller.settings import Settings, deck_of
from controller.steps import check as check_step
from controller.steps import compile as compile_step
from nextplate.design import layout_to_csv
from nextplate.errors import PlanError
from protocols.labware import LABWARE, robot_deck
from protocols.model import Protocol
from tests.controller.test_backfill import PARAMS, layout
from tests.controller.test_backfill import stock as stock
from tests.support.protocol_lab import full_rack

DECK = {"modules": {"B1": "heater-shaker"}, "blocked": ("D3",), "hand_grip_height_mm": 20.0, "hand_axis": "x"}


def compiled(stock: Path, monkeypatch: pytest.MonkeyPatch, **params: object) -> Protocol:
    (stock.parent / "layout.csv").write_text(layout_to_csv(layout((4.0, 8.0, 10.0))))
    for step in (compile_step, check_step):
        monkeypatch.setattr(step, "tip_racks", lambda _path: (full_rack("TIPS-1", robot_deck("flex")),))
    inputs = {"layout": stock.parent / "layout.csv", "stock": stock, "tips": stock}
    compile_step.run(inputs, {**PARAMS, **params}, stock.parent, lambda _done, _total: None)
    return Protocol.from_json((stock.parent / "protocol.json").read_text())


def test_nothing_stands_in_a_blocked_slot_or_too_high_beside_a_module(stock: Path, monkeypatch: pytest.MonkeyPatch):
    protocol = compiled(stock, monkeypatch, deck=DECK)
    slots = {item.slot: LABWARE[item.labware].height_mm for load in protocol.loads for item in load.deck}
    assert not slots.keys() & {"B1", "D3"}
    assert slots.get("B2", 0.0) <= 53.0
    assert "B3" in slots  # where the tip rack went instead


def test_the_proof_refuses_a_deck_that_the_lab_does_not_have(stock: Path, monkeypatch: pytest.MonkeyPatch):
    protocol = compiled(stock, monkeypatch)
    taken = protocol.loads[0].deck[0].slot
    params = {**PARAMS, "python": "", "timeout_s": 120, "deck": {**DECK, "blocked": (taken,)}}
    with pytest.raises(PlanError, match=f"slot {taken}: the slot is blocked on the lab's flex"):
        check_step.run({"protocol": stock.parent, "stock": stock, "tips": stock}, params, stock.parent, _silent)


@pytest.mark.opentrons
def test_eight_channels_and_kept_tips_reach_the_compiler_and_the_proof(stock: Path, monkeypatch: pytest.MonkeyPatch):
    deck = {**DECK, "multichannel": "flex_8channel_50", "tip_policy": "keep"}
    fresh = compiled(stock, monkeypatch, deck={**deck, "tip_policy": "fresh"})
    protocol = compiled(stock, monkeypatch, deck=deck)
    n_tips = [len({(t.tip_rack, t.tip_well) for t in p.transfers}) for p in (protocol, fresh)]
    assert n_tips[0] < n_tips[1] == len(fresh.transfers)
    params = {**PARAMS, "python": "", "timeout_s": 120, "deck": deck}
    inputs = {"protocol": stock.parent, "stock": stock, "tips": stock}
    assert check_step.run(inputs, params, stock.parent, _silent)["n_proven"] == len(protocol.transfers)


def test_each_line_of_robots_may_have_its_own_interpreter():
    proof = Settings.model_validate({"proof": {"python": "/a", "robots": {"ot2": "/b"}}}).proof
    assert (proof.python_for("flex"), proof.python_for("ot2")) == ("/a", "/b")
    assert "robots" not in Settings().journal_body()["proof"]


def test_settings_give_the_deck_and_leave_older_journals_as_they_were():
    said = Settings.model_validate({"deck": {"modules": {"B1": "heater-shaker"}, "hand_finger_mm": 40.0}})
    deck = deck_of(said)
    assert (deck.fixtures[0].kind, deck.hand.finger_mm if deck.hand else 0.0) == ("heater-shaker", 40.0)
    assert "deck" in said.journal_body()
    assert "deck" not in Settings().journal_body()


def _silent(_done: int, _total: int) -> None: ...
