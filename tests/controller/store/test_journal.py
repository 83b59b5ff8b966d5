"""The journal is append-only, in order, and any change to it shows."""

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import exc

from controller.store import GENESIS, Event, Head, JournalMoved, NewEvent, RowWrite, open_store, read_journal
from controller.store.journal import JournalRow, canonical_json, check_link, seal
from controller.store.store import Store
from nextplate.errors import JournalBroken, LabBusy, StoreError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

HISTORY = (
    NewEvent("campaign.started", NOON, "first", {"seed": 7, "settings": {"confidence": 0.9}}),
    NewEvent("intent", NOON + timedelta(seconds=1.5), "first", {"key": "first.r1.run-0", "round": 1}),
    NewEvent("stock.added", NOON, None, {"name": "µ-plate ❄.csv", "nothing": None, "deep": [[1, 2.5, -0.0], True]}),
    NewEvent("outcome", NOON, "first", {"tiny": 5e-324, "big": 2**70, "third": 1 / 3, "text": 'a"\\\n\0b'}),
)


def intent(n: int) -> NewEvent:
    return NewEvent("intent", NOON, "first", {"key": f"k{n}"})


def test_an_empty_journal(store: Store):
    assert store.head() == store.verify() == (0, GENESIS)
    assert list(store.events()) == []
    assert store.append([]) == ()


def test_what_was_appended_is_read_back(store: Store, database_url: str):
    written = store.append(HISTORY, expected_seq=0)
    assert tuple(store.events()) == written == read_journal(database_url)
    assert tuple(store.events(2)) == written[2:] == read_journal(database_url, 2)
    assert [e.payload for e in written] == [e.payload for e in HISTORY]
    assert [(e.seq, e.kind, e.campaign, e.time) for e in written] == [
        (i + 1, e.kind, e.campaign, e.time) for i, e in enumerate(HISTORY)
    ]
    assert store.head() == store.verify() == (4, written[-1].hash)
    assert written[0].previous_hash == GENESIS


def test_one_history_has_one_hash_for_ever(store: Store):
    """The same on every database and machine; a change of the canonical form would orphan every journal."""
    assert store.append(HISTORY)[-1].hash == "497bcf9278255036baaa65318a69d1c969ac1c0fc945622c38d4111fd7f9b744"


def test_appending_at_once_or_one_by_one_is_the_same(store: Store, tmp_path: Path):
    store.append(HISTORY)
    with open_store(tmp_path / "other.db", create=True) as other:
        for event in HISTORY:
            other.append([event])
        assert other.head() == store.head()


def test_key_order_and_zone_do_not_matter(store: Store, tmp_path: Path):
    cet = timezone(timedelta(hours=1))
    store.append([NewEvent("x", NOON, None, {"a": 1, "b": (1, 2)})])
    with open_store(tmp_path / "other.db", create=True) as other:
        (event,) = other.append([NewEvent("x", NOON.astimezone(cet), None, {"b": [1, 2], "a": 1})])
        assert other.head() == store.head()
        assert event.time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"picks": [{"mean": math.nan}]}, r"x: payload\.picks\[0\]\.mean is nan.*write None"),
        ({"lower": -math.inf}, r"payload\.lower is -inf"),
        ({"when": NOON}, r"payload\.when is a datetime"),
        ({"path": Path("a")}, r"payload\.path is a PosixPath"),
        ({"set": {1}}, r"payload\.set is a set"),
        ({"map": {1: 2}}, r"payload\.map has the key 1"),
        ({"raw": b"x"}, r"payload\.raw is a bytes"),
    ],
)
def test_what_json_cannot_say_is_refused(payload, message):
    with pytest.raises(StoreError, match=message):
        seal(NewEvent("x", NOON, None, payload), Head(0, GENESIS))


def test_one_bad_event_keeps_its_companions_out(store: Store):
    with pytest.raises(StoreError, match="is nan"):
        store.append([intent(1), NewEvent("x", NOON, None, {"mean": math.nan})])
    assert store.head().seq == 0


@pytest.mark.parametrize("event", [
    NewEvent("", NOON, None, {}), NewEvent("a\0b", NOON, None, {}), NewEvent("x", NOON, "a\nb", {}),
    NewEvent("x", NOON.replace(tzinfo=None), None, {}),
])  # fmt: skip
def test_events_without_name_or_zone_are_refused(event: NewEvent):
    with pytest.raises(StoreError):
        seal(event, Head(0, GENESIS))


def test_a_stale_writer_is_told(store: Store, database_url: str):
    with open_store(database_url) as second:
        store.append([intent(1)], expected_seq=0)
        with pytest.raises(JournalMoved, match="holds 1 events and this process has seen 0"):
            second.append([intent(2)], expected_seq=0)
        second.append([intent(2)], expected_seq=1)
    assert store.verify().seq == 2
    assert issubclass(JournalMoved, LabBusy)


@pytest.mark.parametrize("statement", [
    "UPDATE journal SET kind = 'x'", "DELETE FROM journal", "DELETE FROM journal WHERE seq = 2",
    "INSERT INTO journal SELECT 9, time, kind, campaign, payload, previous_hash, hash FROM journal WHERE seq = 1",
    "REPLACE INTO journal SELECT * FROM journal WHERE seq = 1", "TRUNCATE journal CASCADE",
])  # fmt: skip
def test_the_database_itself_refuses_changes(store: Store, statement: str):
    store.append(HISTORY)
    with pytest.raises(exc.DBAPIError), store._engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert store.verify().seq == 4


def test_cutting_off_the_end_shows_against_a_noted_head(store: Store):
    noted = store.append(HISTORY)[-1]
    _unfence(store)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM journal WHERE seq > 2")
    assert store.verify().seq == 2
    assert store.verify(store.head()).seq == 2
    with pytest.raises(JournalBroken, match="event 4 is not the one noted earlier"):
        store.verify((noted.seq, noted.hash))


def test_a_rewritten_history_shows_against_a_noted_head(store: Store, tmp_path: Path):
    noted = store.append(HISTORY)[1]
    with open_store(tmp_path / "forged.db", create=True) as forged:
        forged.append([intent(i) for i in range(4)])
        forged.verify()
        with pytest.raises(JournalBroken, match="event 2 is not the one"):
            forged.verify((noted.seq, noted.hash))


@pytest.mark.parametrize("hole", [1, 2, 3])
def test_a_missing_event_is_named(store: Store, hole: int):
    store.append(HISTORY)
    _unfence(store)
    with store._engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM journal WHERE seq = {hole}")
    with pytest.raises(JournalBroken, match=f"event {hole} is missing"):
        store.verify()


def _unfence(store: Store) -> None:
    with store._engine.begin() as connection:
        if store.address.is_file:
            for name in ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER journal_no_{name}")
        else:
            connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER USER")


COLUMNS = ("seq", "time", "kind", "campaign", "payload", "previous_hash", "hash")


@pytest.mark.parametrize("column", COLUMNS)
def test_tampering_with_a_column_is_found_and_named(store: Store, column: str):
    store.append(HISTORY)
    _unfence(store)
    new = {"seq": "9", "hash": f"'{'a' * 64}'", "previous_hash": f"'{'b' * 64}'"}.get(column, "'2026'")
    with store._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE journal SET {column} = {new} WHERE seq = 2")
    with pytest.raises(JournalBroken, match=r"event 2\b"):
        store.verify()


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, sqlite3.Connection]]:
    """A journal whose fences are down, so that its bytes can be changed and put back."""
    path = tmp_path_factory.mktemp("tampered") / "nextplate.db"
    with open_store(path, create=True) as store, closing(sqlite3.connect(path, isolation_level=None)) as raw:
        store.append(HISTORY)
        _unfence(store)
        yield store, raw


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, 4), column=st.sampled_from(COLUMNS[1:]), data=st.data())
def test_changing_any_byte_of_any_event_is_found(tampered, seq: int, column: str, data: st.DataObject):
    store, raw = tampered
    (there,) = raw.execute(f"SELECT {column} FROM journal WHERE seq = ?", (seq,)).fetchone()
    old = b"" if there is None else there.encode()
    what = data.draw(st.sampled_from(["replace", "insert", "remove"]))
    at = data.draw(st.integers(0, max(0, len(old) - (what != "insert"))))
    byte = bytes([data.draw(st.integers(0, 255))])
    new = old[:at] + (b"" if what == "remove" else byte) + old[at + (what != "insert") :]
    raw.execute("PRAGMA ignore_check_constraints=ON")
    raw.execute(f"UPDATE journal SET {column} = CAST(? AS TEXT) WHERE seq = ?", (new, seq))
    try:
        if new == old and there is not None:
            store.verify()
        else:
            with pytest.raises(JournalBroken):
                store.verify()
    finally:
        raw.execute(f"UPDATE journal SET {column} = ? WHERE seq = ?", (there, seq))
    store.verify()


def test_an_unreadable_payload_is_named_when_read(tampered):
    store, raw = tampered
    (there,) = raw.execute("SELECT payload FROM journal WHERE seq = 3").fetchone()
    raw.execute("UPDATE journal SET payload = '{' WHERE seq = 3")
    try:
        for read in (lambda: list(store.events()), lambda: read_journal(store.address.path)):
            with pytest.raises(JournalBroken, match=r"event 3 (is damaged|.* was changed)"):
                read()
    finally:
        raw.execute("UPDATE journal SET payload = ? WHERE seq = 3", (there,))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_canonical_json_says_the_same_and_has_one_spelling(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert text.isascii()


def test_a_field_that_is_no_text_is_damage():
    row = JournalRow(1, "2026", "x", None, b"{}", GENESIS, GENESIS)  # type: ignore[arg-type]
    with pytest.raises(JournalBroken, match="not text"):
        check_link(row, Head(0, GENESIS))


def test_long_journals_are_read_in_chunks(store: Store):
    store.append([intent(i) for i in range(5_003)])
    assert [e.seq for e in store.events(1_990)] == list(range(1_991, 5_004))
    assert store.verify().seq == 5_003
    reader = store.events()
    assert isinstance(next(reader), Event)
    store.append([intent(0)])
    assert sum(1 for _ in reader) == 5_003


def test_rows_need_an_event(store: Store):
    with pytest.raises(StoreError, match="rows need an event"):
        store.append([], [RowWrite("libraries", [{"library": "x", "n_compounds": 1}])])
