"""Result files: what really happened is told, and nothing else passes for it."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from result_files import damaged, echo_report, result_table, run_record, trace
from worklist_lab import SOURCE, TARGET, TIPS, small_protocol

from nextplate.errors import DataError
from protocols.labware import LABWARE
from protocols.ledger import Ledger
from protocols.model import Protocol
from protocols.stock import StockWell, TipRack
from protocols.volumes import Interval
from protocols.worklists.account import Account, Fate, as_outcome, as_result, differences
from protocols.worklists.echo_report import read_echo_report
from protocols.worklists.formats import read_settings
from protocols.worklists.hamilton_trace import TraceForm, read_hamilton_trace
from protocols.worklists.names import Names
from protocols.worklists.opentrons_record import read_opentrons_record
from protocols.worklists.results import ResultColumns, read_result_columns, read_results

N = 6
NAMES = Names({})
PLAN = small_protocol(N)
LOAD = PLAN.loads[0]
Read = Callable[[bytes], Account]
READERS: dict[str, tuple[Read, bytes, bytes]] = {
    "echo": (
        lambda raw: read_echo_report(raw, LOAD, NAMES),
        echo_report(PLAN),
        echo_report(PLAN, {2: ("0", "no liquid"), 3: ("0", "no liquid"), 5: ("0", "no liquid")}),
    ),
    "table": (
        lambda raw: read_results(raw, LOAD, NAMES, ResultColumns(end="END")),
        result_table(PLAN, end="END,complete"),
        result_table(PLAN, dict.fromkeys((2, 3, 5), ("0", "error")), end="END,complete"),
    ),
    "opentrons": (
        lambda raw: read_opentrons_record(raw, LOAD),
        run_record(PLAN),
        run_record(PLAN, {3: "aspirate"}, "failed"),
    ),
    "hamilton": (lambda raw: read_hamilton_trace(raw, LOAD, NAMES), trace(PLAN), trace(PLAN, {3: "aspirate"})),
}
readers = pytest.mark.parametrize("name", sorted(READERS))


def fates(account: Account) -> list[str]:
    return [h.fate.value for h in account.happened]


@readers
def test_a_good_file_says_that_all_was_done(name: str) -> None:
    read, good, _ = READERS[name]
    account = read(good)
    assert account.is_as_planned
    assert as_result(account)[0] == "done"
    assert not differences(account)


@readers
def test_a_bad_file_says_what_was_not(name: str) -> None:
    read, _, bad = READERS[name]
    account = read(bad)
    assert not account.is_as_planned
    assert fates(account)[:2] == ["done", "failed" if name in ("echo", "table") else "done"]
    assert differences(account)


@readers
def test_damaged_files_never_crash_or_pass_for_more_than_they_say(name: str) -> None:
    read, good, bad = READERS[name]
    rng = random.Random(7)
    for n in range(10_000):
        raw = damaged((good, bad)[n % 2], rng)
        try:
            account = read(raw)
        except DataError:
            continue
        assert [h.transfer_id for h in account.happened] == [t.transfer_id for t in LOAD.transfers]
        assert n % 2 == 0 or not account.is_as_planned, raw
        as_outcome(account)


ODD = (None, True, -1, 0, 1e308, 10**40, "", "P1", "\x00", [], {}, [[]], {"a": 1}, "succeeded", "A1", "9" * 400)


def _odd(body: object, rng: random.Random) -> object:
    """Replace one value somewhere in a tree of JSON."""
    if isinstance(body, dict) and body and rng.random() < 0.9:
        name = rng.choice(list(body))
        return {**body, name: _odd(body[name], rng)}
    if isinstance(body, list) and body and rng.random() < 0.9:
        n = rng.randrange(len(body))
        return [*body[:n], _odd(body[n], rng), *body[n + 1 :]]
    return rng.choice(ODD)


def test_a_record_of_odd_values_never_crashes_or_passes() -> None:
    rng = random.Random(3)
    bad = json.loads(run_record(PLAN, {3: "dispense"}, "failed"))
    for _ in range(10_000):
        try:
            account = read_opentrons_record(json.dumps(_odd(bad, rng)).encode(), LOAD)
        except DataError:
            continue
        assert not account.is_as_planned
        as_outcome(account)


@readers
def test_a_cut_file_is_refused_or_not_as_planned(name: str) -> None:
    read, good, _ = READERS[name]
    for n in range(len(good) - 2):
        try:
            account = read(good[:n])
        except DataError:
            continue
        assert not account.is_as_planned, good[:n]


@readers
def test_another_plates_file_is_refused(name: str) -> None:
    read, _, _ = READERS[name]
    make = {
        "echo": echo_report,
        "table": lambda p: result_table(p, end="END"),
        "opentrons": run_record,
        "hamilton": trace,
    }
    with pytest.raises(DataError, match=r"other|another"):
        read(make[name](_renamed("P2")))


def _renamed(barcode: str) -> Protocol:
    deck = tuple(replace(i, barcode=barcode) if i.barcode == "P1" else i for i in LOAD.deck)
    moved = tuple(replace(t, destination_plate=barcode) for t in LOAD.transfers)
    return replace(PLAN, loads=(replace(LOAD, deck=deck, steps=moved),))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (echo_report(PLAN).replace(b",A3,P1", b",A30,P1"), "line 12: well 'A30'"),
        (echo_report(PLAN).replace(b",A3,P1", b",B3,P1"), "no transfer from B03"),
        (echo_report(PLAN).replace(b"5000,5000", b"5000,6000", 1), "more than was planned"),
        (echo_report(PLAN).replace(b"5000,5000", b"4000,4000", 1), "another plan"),
        (echo_report(PLAN).replace(b"5000,5000", b"5000,NaN", 1), "no number"),
        (echo_report(PLAN).replace(b"Actual Volume", b"Real Volume"), "column 'Actual Volume' is not there"),
        (echo_report(PLAN).decode().encode("utf-16"), "UTF-16"),
        (echo_report(PLAN).replace(b"E5XX", b"\xe9"), "not utf-8"),
        (b"", "empty"),
        (echo_report(PLAN)[:-60], "cut"),
        (echo_report(PLAN) + b"[DETAILS]\r\n", "second section"),
    ],
)
def test_what_an_echo_report_is_refused_for(raw: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_echo_report(raw, LOAD, NAMES)


def test_a_row_told_twice_is_refused() -> None:
    raw = echo_report(PLAN)
    row = next(line for line in raw.splitlines() if b",A3,P1" in line)
    with pytest.raises(DataError, match="once more than it was planned"):
        read_echo_report(raw.replace(row, row + b"\r\n" + row), LOAD, NAMES)


def test_an_exception_repeated_among_the_details_is_one() -> None:
    raw = echo_report(PLAN, {2: ("0", "no liquid")})
    row = next(line for line in raw.splitlines() if b"no liquid" in line)
    raw = raw.replace(b"\r\n\r\nInstrument", b"\r\n" + row + b"\r\n\r\nInstrument")
    assert fates(read_echo_report(raw, LOAD, NAMES)) == ["done", "failed", *["done"] * (N - 2)]


def test_an_empty_volume_confirms_nothing() -> None:
    raw = echo_report(PLAN).replace(b"5000,5000,", b"5000,,", 1)
    assert fates(read_echo_report(raw, LOAD, NAMES)) == ["unknown", *["done"] * (N - 1)]
    only_status = ResultColumns(planned="", actual="")
    assert read_results(result_table(PLAN), LOAD, NAMES, only_status).is_as_planned


def test_a_table_tells_what_arrived_and_an_echo_both_ends() -> None:
    raw = result_table(PLAN, {2: ("0", "failed"), 3: ("1000", "failed")})
    status, result, _ = as_result(read_results(raw, LOAD, NAMES))
    assert (status, result["transfers"][1:3]) == ("done", [[2, 0], [3, 1000]])
    assert [number for number, _ in result["drawn"]] == [1, 4, 5, 6]
    both = read_result_columns({"actual_end": "both"})
    assert as_result(read_results(raw, LOAD, NAMES, both))[1]["drawn"][1:3] == [[2, 0], [3, 1000]]
    with pytest.raises(DataError, match="actual_end"):
        read_result_columns({"actual_end": "drawn"})


@pytest.mark.parametrize(
    "words", [{"aspirate": "Aspirate", "dispense": "DISPENSE", "abort": "Abort", "end": "End Method"}]
)
def test_the_words_of_a_trace_may_be_written_in_any_case(words: dict[str, str]) -> None:
    raw = trace(PLAN, {3: "aspirate"})
    plain, capital = (read_hamilton_trace(raw, LOAD, NAMES, form) for form in (None, TraceForm(**words)))
    assert as_result(capital) == as_result(plain)
    assert fates(capital)[:2] == ["done", "done"]


def test_an_aborted_trace_without_a_liquid_step_proves_nothing() -> None:
    foreign = TraceForm(aspirate="ansaugen", dispense="abgeben")
    account = read_hamilton_trace(
        trace(PLAN, {3: "aspirate"}).replace(b"spirate", b"x").replace(b"ispense", b"y"), LOAD, NAMES, foreign
    )
    assert as_result(account)[0] == "unknown"


@pytest.mark.parametrize("body", [{"aspirate": ""}, {"dispense": "Aspirate"}, {"end": " "}])
def test_words_of_a_trace_that_cannot_be_told_apart_are_refused(body: dict[str, str]) -> None:
    with pytest.raises(DataError, match="none is empty"):
        read_settings({"trace": body})


def test_a_record_without_a_status_does_not_say_that_the_run_ended() -> None:
    body = json.loads(run_record(PLAN, {3: "aspirate"}, "failed"))
    del body["run"]
    account = read_opentrons_record(json.dumps(body).encode(), LOAD)
    assert fates(account) == ["done", "done", *["unknown"] * (N - 2)]
    assert as_result(account)[0] == "unknown"


def test_rows_that_lack_are_unknown() -> None:
    account = read_echo_report(echo_report(PLAN, skip=frozenset({2, 6})), LOAD, NAMES)
    assert [h.transfer_id for h in account.happened if h.fate is Fate.UNKNOWN] == [2, 6]
    assert as_result(account)[0] == "unknown"


def test_an_opentrons_run_tells_what_was_drawn_and_lost() -> None:
    account = read_opentrons_record(run_record(PLAN, {3: "stop"}, "stopped"), LOAD)
    third = account.happened[2]
    assert (third.fate, third.drawn_nl, third.dispensed_nl) == (Fate.FAILED, 5_000, 0)
    assert fates(account)[3:] == ["not-begun"] * (N - 3)
    assert as_result(account)[0] == "failed"


def test_a_running_record_is_no_end() -> None:
    account = read_opentrons_record(run_record(PLAN, {3: "stop"}, "running"), LOAD)
    assert fates(account)[2:] == ["unknown"] * (N - 2)
    assert as_result(account)[0] == "unknown"


def test_missing_pages_are_refused() -> None:
    raw = run_record(PLAN).replace(b'"totalLength": ', b'"totalLength": 9')
    with pytest.raises(DataError, match="all pages"):
        read_opentrons_record(raw, LOAD)


@pytest.mark.parametrize(
    ("body", "says"),
    [({"colour": "x"}, "colour"), ({"ok": "yes"}, "list"), ({"unit": "ml"}, "unit"), ({"status": ""}, "status")],
)
def test_wrong_result_columns_are_refused(body: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_result_columns(body)


def ledger() -> Ledger:
    stock = [StockWell("SRC-001", t.source_well, t.compound_id, 60_000, 10.0, SOURCE) for t in PLAN.transfers]
    rack = TipRack("TIPS-001", TIPS, LABWARE[TIPS].wells_by_column())
    return Ledger.of(stock, [rack], {"P1": (TARGET, 100_000)}).reserve(PLAN)


@pytest.mark.parametrize(
    ("account", "source", "target"),
    [
        (read_echo_report(echo_report(PLAN), LOAD, NAMES), Interval(55_000, 55_000), Interval(105_000, 105_000)),
        (
            read_echo_report(echo_report(PLAN, {3: ("0", "empty")}), LOAD, NAMES),
            Interval(60_000, 60_000),
            Interval(100_000, 100_000),
        ),
        (
            read_echo_report(echo_report(PLAN, {3: ("2500", "low")}), LOAD, NAMES),
            Interval(57_500, 57_500),
            Interval(102_500, 102_500),
        ),
        (
            read_echo_report(echo_report(PLAN, {3: ("2.5", "half a droplet")}), LOAD, NAMES),
            Interval(55_000, 60_000),
            Interval(100_000, 105_000),
        ),
        (
            read_echo_report(echo_report(PLAN, {3: ("", "no word of a volume")}), LOAD, NAMES),
            Interval(55_000, 60_000),
            Interval(100_000, 105_000),
        ),
        (
            read_echo_report(echo_report(PLAN, skip=frozenset({3})), LOAD, NAMES),
            Interval(55_000, 60_000),
            Interval(100_000, 105_000),
        ),
        (
            read_opentrons_record(run_record(PLAN, {3: "stop"}, "stopped"), LOAD),
            Interval(55_000, 55_000),
            Interval(100_000, 100_000),
        ),
        (
            read_opentrons_record(run_record(PLAN, {3: "dispense"}, "failed"), LOAD),
            Interval(55_000, 60_000),
            Interval(100_000, 105_000),
        ),
        (
            read_hamilton_trace(trace(PLAN, {3: "aspirate"}), LOAD, NAMES),
            Interval(55_000, 60_000),
            Interval(100_000, 105_000),
        ),
    ],
)
def test_the_ledger_holds_what_happened(account: Account, source: Interval, target: Interval) -> None:
    after = ledger().commit(PLAN.digest, 0, as_outcome(account))
    assert not after.pending
    assert after.volume("SRC-001", "A03").low_nl <= source.low_nl
    assert (after.volume("SRC-001", "A03"), after.volume("P1", "A03")) == (source, target)
    assert after.volume("P1", "A01") == Interval(105_000, 105_000)
    begun_not = [h.transfer_id for h in account.happened if h.fate is Fate.NOT_BEGUN]
    for n in begun_not[1:]:
        assert after.volume("SRC-001", f"A{n:02d}").high_nl == 60_000


def test_liquid_for_labware_that_was_never_loaded_is_no_waste():
    protocol = small_protocol(2)
    body = json.loads(run_record(protocol))
    commands = body["data"] if "data" in body else body["commands"]
    given = [c for c in commands if c["commandType"] == "dispense"]
    given[1]["params"]["labwareId"] = "nobody"
    with pytest.raises(DataError, match="'nobody' was never loaded"):
        read_opentrons_record(json.dumps(body).encode(), protocol.loads[0])


def _edited(edit: Callable[[list[dict[str, Any]]], None], status: str = "succeeded") -> bytes:
    body = json.loads(run_record(PLAN, status=status))
    edit(body["data"])
    body["meta"]["totalLength"] = len(body["data"])
    return json.dumps(body).encode()


def _result(kind: str, n: int, result: object) -> Callable[[list[dict[str, Any]]], None]:
    def edit(commands: list[dict[str, Any]]) -> None:
        [c for c in commands if c["commandType"] == kind][n]["result"] = result

    return edit


def _without(kind: str, n: int) -> Callable[[list[dict[str, Any]]], None]:
    def edit(commands: list[dict[str, Any]]) -> None:
        commands.remove([c for c in commands if c["commandType"] == kind][n])

    return edit


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_result("dispense", 2, {"volume": 3.0}), "3000 of 5000 nl were dispensed"),
        (_result("dispense", 2, {"volume": 0}), "0 of 5000 nl were dispensed"),
        (_result("dispense", 2, {}), "does not say how much was dispensed"),
        (_result("dispense", 2, None), "does not say how much was dispensed"),
        (_result("aspirate", 2, {"volume": 3.0}), "3000 of 5000 nl were drawn"),
        (_result("aspirate", 2, None), "does not say how much was drawn"),
        (_without("pickUpTip", 2), "tells of no tip that was picked up"),
    ],
)
def test_what_the_robot_says_it_moved_counts_and_not_what_it_was_told(
    edit: Callable[[list[dict[str, Any]]], None], says: str
) -> None:
    account = read_opentrons_record(_edited(edit), LOAD)
    assert fates(account) == ["done", "done", "unknown", *["done"] * (N - 3)]
    assert as_result(account)[0] == "unknown"
    assert says in differences(account)[0]


def test_a_load_done_with_other_tips_is_of_another_plan() -> None:
    def edit(commands: list[dict[str, Any]]) -> None:
        [c for c in commands if c["commandType"] == "pickUpTip"][2]["params"]["wellName"] = "H12"

    with pytest.raises(DataError, match="draws with tip H12 of TIPS-001, planned is "):
        read_opentrons_record(_edited(edit), LOAD)


@pytest.mark.parametrize("status", ["awaiting-recovery", "running", "paused", "idle", "warming-up"])
def test_a_run_that_has_not_ended_is_not_done(status: str) -> None:
    account = read_opentrons_record(run_record(PLAN, status=status), LOAD)
    assert not account.is_as_planned
    assert as_result(account)[0] == "unknown"
    assert account.message == f"the run has not ended: it is {status}"


@pytest.mark.parametrize(
    "envelope",
    [
        lambda commands: {"commands": commands, "robotType": "OT-3 Standard", "result": "ok", "config": {}},
        lambda commands: {"data": {"id": "a", "status": "completed", "result": "ok", "commands": commands}},
    ],
)
def test_an_analysis_is_no_record_of_a_run(envelope: Callable[[object], object]) -> None:
    commands = json.loads(run_record(PLAN))["data"]
    with pytest.raises(DataError, match="an analysis, of which nothing was run"):
        read_opentrons_record(json.dumps(envelope(commands)).encode(), LOAD)
