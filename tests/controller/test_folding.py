"""A whole journal folded: the same state, and the collector as it was."""

import gc
from datetime import UTC, datetime, timedelta

import pytest

from controller.folding import collector_paused, fold_journal
from controller.state import fold
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
