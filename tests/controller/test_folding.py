"""A whole journal folded: the same state, and the collector as it was."""

import gc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from controller_fakes import FakeLab
from hypothesis import given
from hypothesis import strategies as st

from controller.folding import collector_paused, fold_journal
from controller.state import fold
from controller.state.growing import Growing, Grown, opened
from controller.store import NewEvent
from controller.store.store import Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_state_is_the_same(store: Store):
    for n in range(30):
        key = f"first.r0.move-{n}"
        action = {"device": "plate-mover", "command": {"verb": "move", "moves": [["P1", "a", f"b{n}"]]}}
        intent = {"key": key, "task": f"move-{n}", "round": 0, "action": action}
        outcome = {"key": key, "status": "done", "result": {"moved": ["P1"]}, "message": ""}
        when = NOON + timedelta(minutes=n)
        store.append([NewEvent("intent", when, "first", intent), NewEvent("outcome", when, "first", outcome)])
    state = fold_journal(store)
    assert state == fold(store.events())
    assert state.places == {"P1": "b29"}


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_left_as_it_was_even_after_an_error(was_on: bool):
    (gc.enable if was_on else gc.disable)()
    try:
        with collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled() is was_on
        with pytest.raises(ZeroDivisionError), collector_paused():
            raise ZeroDivisionError
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


def test_event_by_event_gives_the_state_of_the_whole_however_much_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.state.growing._FEW", 0)
    lab = FakeLab(rounds=2)
    lab.run()
    state, before = fold([]), []
    for event in lab.journal.events:
        state = fold([event], state)
        before.append(state)
    assert state == fold(lab.journal.events)
    assert state.digest() == fold(lab.journal.events).digest()
    assert list(state.intents) == list(fold(lab.journal.events).intents)
    # what a state said does not change by what came after it
    for n, then in enumerate(before[::7]):
        assert then == fold(lab.journal.events[: 7 * n + 1])


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers()), max_size=4), max_size=30))
def test_what_only_grows_is_what_a_dict_would_be(writes: list[list[tuple[str, int]]]) -> None:
    plain: dict[str, int] = {}
    grown: Mapping[str, int] = Grown({}, {})
    for some in writes:
        growing = opened(grown)
        for key, value in some:
            plain[key] = growing[key] = value
        grown = growing.closed() if isinstance(growing, Growing) else growing
        assert (dict(grown), list(grown), len(grown)) == (plain, list(plain), len(plain))
