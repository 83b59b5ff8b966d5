"""The table of messages to people, on both databases."""

from datetime import UTC, datetime

import pytest

from controller.store import NewEvent, open_store, read_untold
from nextplate.errors import StoreError


def row(name: str, **changes) -> dict:
    empty = {
        "kind": "fault",
        "subject": "s",
        "step": 0,
        "channel": "mail",
        "due_at": f"2026-01-0{name}",
        "content": "{}",
    }
    kept = {"state": "waiting", "attempts": 0, "kept_at": "t", "told_at": None, "error": ""}
    return {"id": name, "event_seq": 1, **empty, **kept, **changes}


@pytest.fixture
def begun(store):
    store.append([NewEvent("tips.added", datetime(2026, 1, 1, tzinfo=UTC), None, {})])
    return store


def test_a_row_is_replaced_by_its_later_self(begun):
    begun.keep_notices([row("1"), row("2")])
    begun.keep_notices([row("2", state="sent", attempts=3, told_at="now")])
    found = {r["id"]: (r["state"], r["attempts"], r["told_at"]) for r in begun.select("notices")}
    assert found == {"1": ("waiting", 0, None), "2": ("sent", 3, "now")}
    begun.keep_notices([])


def test_what_was_not_told_is_found_without_opening_the_store(begun, database_url):
    begun.keep_notices([row("3", state="given-up", error="refused"), row("1", state="sending"), row("2", state="sent")])
    found = read_untold(database_url)
    assert [(r["channel"], r["state"], r["error"]) for r in found] == [
        ("mail", "sending", ""),
        ("mail", "given-up", "refused"),
    ]


@pytest.mark.parametrize("wrong", [{"state": "lost"}, {"event_seq": 99}, {"step": -1}])
def test_a_row_that_makes_no_sense_is_refused_and_nothing_is_written(begun, wrong):
    with pytest.raises(StoreError):
        begun.keep_notices([row("1"), row("2", **wrong)])
    assert begun.select("notices") == []


def test_messages_leave_the_journal_alone(begun, database_url):
    before = begun.head()
    begun.keep_notices([row("1")])
    with open_store(database_url) as again:
        assert again.verify(before) == before


def test_an_absent_database_has_nothing_to_tell(tmp_path):
    with pytest.raises(StoreError, match="no lab database"):
        read_untold(tmp_path / "nextplate.db")
