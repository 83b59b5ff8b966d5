"""A journal edited by hand: the first event that was changed is named, and what was changed in it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.evidence.autopsy import examine
from controller.evidence.exporting import check_export, export_journal, read_export
from controller.store import GENESIS, NewEvent, open_store
from controller.store.journal import Head, JournalRow, seal
from nextplate.errors import DataError, JournalBroken

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def history() -> list[JournalRow]:
    """Nine events of two campaigns; two of the same time."""
    kinds = (
        "library.added",
        "campaign.started",
        "intent",
        "accepted",
        "outcome",
        "intent",
        "outcome",
        "fault",
        "intent",
    )
    head, rows = Head(0, GENESIS), []
    for n, kind in enumerate(kinds):
        campaign = None if n == 0 else "first" if n < 7 else "second"
        seconds = n if n != 4 else 5
        payload = {"key": f"first.r0.run-{n}", "volume_nl": 5000 + n}
        rows.append(seal(NewEvent(kind, NOON + timedelta(seconds=seconds), campaign, payload), head))
        head = Head(rows[-1].seq, rows[-1].hash)
    return rows


ROWS = history()
A, B = "a" * 64, "b" * 64
FORGED_PAYLOAD = ROWS[4].payload.replace("5004", "6004")
SPACED = json.dumps(json.loads(ROWS[4].payload), indent=1)

EDITS = {
    "seq": ({"seq": 40}, ("seq",), "5"),
    "previous_hash": ({"previous_hash": A}, ("previous_hash",), ROWS[3].hash),
    "hash": ({"hash": B}, ("hash",), ROWS[4].hash),
    "kind, to another": ({"kind": "intent"}, ("kind",), "outcome"),
    "kind, to nonsense": ({"kind": "nonsense"}, ("kind",), "outcome"),
    "campaign, to another": ({"campaign": "second"}, ("campaign",), "first"),
    "campaign, to none": ({"campaign": None}, ("campaign",), "first"),
    "time, to a neighbour's again": ({"time": "2026-03-01T11:59:00.000000+00:00"}, ("time",), ROWS[5].time),
    "time, to nonsense": ({"time": "yesterday"}, ("time",), ROWS[5].time),
    "payload, a number": ({"payload": FORGED_PAYLOAD}, ("time", "campaign", "payload"), None),
    "payload, its spelling": ({"payload": SPACED}, ("payload",), ROWS[4].payload),
    "payload, damaged": ({"payload": "{"}, ("payload",), None),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_the_column_that_was_changed_is_named_and_what_it_was(edit: str):
    change, columns, was = EDITS[edit]
    rows = [*ROWS[:4], ROWS[4]._replace(**change), *ROWS[5:]]
    found = examine(rows)
    assert (found.seq, found.columns, found.was) == (5, columns, was)
    assert found.head == Head(4, ROWS[3].hash)
    assert "event 5" in found.what
    assert not found.is_intact


def test_an_untouched_journal_is_intact():
    found = examine(ROWS)
    assert found.is_intact
    assert found.head == Head(9, ROWS[-1].hash)
    assert examine([]).head == Head(0, GENESIS)


@pytest.mark.parametrize("hole", range(1, 9))
def test_a_missing_event_is_named(hole: int):
    found = examine([row for row in ROWS if row.seq != hole])
    assert found.seq == hole
    assert f"event {hole} is missing" in found.what
    assert found.columns == ()


def test_the_last_event_has_no_follower_to_testify():
    found = examine([*ROWS[:-1], ROWS[-1]._replace(hash=B)])
    assert (found.seq, found.columns) == (9, ("time", "campaign", "payload", "hash"))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(n=st.integers(0, 8), column=st.sampled_from(JournalRow._fields[1:]), data=st.data())
def test_any_change_of_any_text_is_found_at_its_event_and_the_column_is_among_those_named(n: int, column: str, data):
    old = getattr(ROWS[n], column) or ""
    new = data.draw(st.text(st.characters(codec="utf-8"), max_size=12).map(lambda t: old[: len(t)] + t) | st.text())
    if new == old or (new == "" and old == ""):
        return
    found = examine([*ROWS[:n], ROWS[n]._replace(**{column: new}), *ROWS[n + 1 :]])
    assert found.seq == n + 1
    assert column in found.columns or set(found.columns) & {"kind", "time", "payload"}


@pytest.fixture
def lab(tmp_path: Path, run) -> Path:
    folder = tmp_path / "lab"
    assert run("init", folder)[0] == 0
    with open_store(folder / "nextplate.db") as store:
        for row in ROWS:
            store.append([NewEvent(row.kind, datetime.fromisoformat(row.time), row.campaign, json.loads(row.payload))])
        assert store.head() == (9, ROWS[-1].hash)
    return folder


def edit(lab: Path, statement: str) -> None:
    with open_store(lab / "nextplate.db") as store, store._engine.begin() as connection:
        for name in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER journal_no_{name}")
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(("statement", "said"), [
    ("UPDATE journal SET kind = 'intent' WHERE seq = 5", "event 5: its kind was changed: it was 'outcome'"),
    ("UPDATE journal SET campaign = NULL WHERE seq = 6", "event 6: its campaign was changed: it was 'first'"),
    ("UPDATE journal SET payload = replace(payload, '5004', '6') WHERE seq = 5", "event 5 (outcome): its time or"),
    (f"UPDATE journal SET hash = '{A}' WHERE seq = 3", "event 3: its hash was changed"),
    (f"UPDATE journal SET previous_hash = '{A}' WHERE seq = 3", "event 3: its previous_hash was changed"),
    ("UPDATE journal SET time = '2026-03-01T12:00:01.000000+00:00' WHERE seq = 5", "event 5: its time was changed"),
    ("UPDATE journal SET seq = 99 WHERE seq = 9", "event 9: its seq was changed: it was '9'"),
    ("DELETE FROM journal WHERE seq = 4", "event 4 is missing"),
])  # fmt: skip
def test_the_command_names_it_and_exits_with_1(lab: Path, run, statement: str, said: str):
    code, out, _ = run("journal", "verify", "--lab", lab)
    assert code == 0
    assert out.startswith("intact: 9 events")
    edit(lab, statement)
    code, out, _ = run("journal", "verify", "--lab", lab)
    assert code == 1
    assert said in out
    code, out, _ = run("journal", "verify", "--lab", lab, "--json")
    assert code == 1
    assert json.loads(out)["intact"] is False
    code, _, err = run("journal", "export", lab / "out.jsonl", "--lab", lab)
    assert code == 1
    assert "journal event" in err
    assert not (lab / "out.jsonl").exists()


def test_a_head_noted_elsewhere_proves_that_nothing_was_cut_off(lab: Path, run):
    noted = f"9:{ROWS[8].hash[:16]}"
    assert run("journal", "verify", "--lab", lab, "--head", noted)[0] == 0
    assert run("journal", "verify", "--lab", lab, "--head", f"3:{A}")[0] == 1
    edit(lab, "DELETE FROM journal WHERE seq > 7")
    assert run("journal", "verify", "--lab", lab)[0] == 0
    code, out, _ = run("journal", "verify", "--lab", lab, "--head", noted)
    assert code == 1
    assert "event 9, noted earlier, is gone" in out
    for wrong in ("9", "x:abcdefgh", "9:abc"):
        assert run("journal", "verify", "--lab", lab, "--head", wrong)[0] == 2


def test_an_export_is_the_journal_and_can_be_checked_anywhere(lab: Path, run, tmp_path: Path):
    whole, one = tmp_path / "whole.jsonl", tmp_path / "second.jsonl"
    assert run("journal", "export", whole, "--lab", lab)[0] == 0
    assert list(read_export(whole)) == ROWS
    assert run("journal", "export", one, "--campaign", "second", "--lab", lab)[0] == 0
    assert list(read_export(one)) == ROWS[7:]
    for file in (whole, one):
        code, out, _ = run("journal", "verify", "--file", file)
        assert code == 0
        assert ROWS[-1].hash in out
    code, _, err = run("journal", "export", tmp_path / "none.jsonl", "--campaign", "third", "--lab", lab)
    assert code == 2
    assert "(it has: first, second)" in err
    assert [p.name for p in tmp_path.iterdir() if "none" in p.name] == []


@pytest.mark.parametrize("campaign", [None, "first", "second"])
def test_an_export_edited_by_hand_is_found(tmp_path: Path, campaign: str | None):
    path = tmp_path / "export.jsonl"
    export_journal(ROWS, path, campaign)
    lines = path.read_text().splitlines()
    done = check_export(path)
    assert (done.n_events, done.n_left_out) == ({None: 9, "first": 6, "second": 2}[campaign], 9 - done.n_events)
    for n, line in enumerate(lines[:-1]):
        changed = (
            line.replace("volume_nl", "volume_ul") if "volume_nl" in line else line.replace('"hash":"', '"hash":"0')
        )
        path.write_text("\n".join([*lines[:n], changed, *lines[n + 1 :]]))
        with pytest.raises(JournalBroken, match=r"event \d|closing line"):
            check_export(path)
    path.write_text("\n".join(reversed(lines)))
    with pytest.raises(JournalBroken, match="goes on after its closing line"):
        check_export(path)
    path.write_text(lines[0] + "\n{")
    with pytest.raises(DataError, match=r"export\.jsonl:2: not an event"):
        check_export(path)


@pytest.mark.parametrize("campaign", [None, "first", "second"])
def test_an_export_that_lost_any_of_its_lines_is_no_export_of_anything(tmp_path: Path, campaign: str | None):
    path = tmp_path / "export.jsonl"
    export_journal(ROWS, path, campaign)
    lines = path.read_text().splitlines()
    for first in range(len(lines)):
        for last in range(first + 1, len(lines) + 1):
            path.write_text("\n".join([*lines[:first], *lines[last:]]))
            with pytest.raises(JournalBroken):
                check_export(path)
    for n, line in enumerate(lines[:-1]):  # passed off as an event of another campaign
        body = json.loads(line)
        if "kind" in body:
            stub = json.dumps({"seq": body["seq"], "hash": body["hash"]})
            path.write_text("\n".join([*lines[:n], stub, *lines[n + 1 :]]))
            with pytest.raises(JournalBroken, match="events were removed"):
                check_export(path)


def test_an_export_is_held_against_a_head_noted_earlier(tmp_path: Path, run):
    path = tmp_path / "export.jsonl"
    export_journal(ROWS, path, "second")
    for seq in (3, 9):  # also of an event that was left out
        assert run("journal", "verify", "--file", path, "--head", f"{seq}:{ROWS[seq - 1].hash[:16]}")[0] == 0
    for noted in (f"3:{A}", f"10:{ROWS[8].hash}"):
        code, _, err = run("journal", "verify", "--file", path, "--head", noted)
        assert code == 1
        assert "not the one noted earlier" in err
