"""The folder driver: what it writes, what it believes, and what it asks a person about."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.folder import SETTLE_S, FolderDevice, make
from drivers.key_files import file_name
from drivers.options import checked
from drivers.ports import AcquirePlate, FetchPlate, Move, MovePlates, ProvenFile, RunLoad, Status, StorePlate
from nextplate.errors import NeedsOperator, SettingsError, Transient
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer

KEY = "first.r0.run-0"
MOVES = MovePlates((Move("P1", "stack/new", "deck/A1"), Move("S1", "hotel/S1", "deck/B1")))
DONE_LOAD = {"transfers": [[1, 5000], [2, 5000]]}


class Bench:
    """A lab folder, one device behind its exchange, and the replies that are put there."""

    def __init__(self, lab: Path, command: Any) -> None:
        self.lab, self.exchange, self.now = lab, lab / "exchange", 0.0
        (lab / "readouts" / "P1").mkdir(parents=True, exist_ok=True)
        kinds = {RunLoad: "liquid-handler", MovePlates: "plate-mover", AcquirePlate: "imager"}
        make(kinds.get(type(command), "incubator"), {"exchange": "exchange"}, lab)
        kind = kinds.get(type(command), "incubator")
        self.device = FolderDevice(self.exchange, lab, kind, monotonic=lambda: self.now)
        self.device.submit(command, KEY)

    @property
    def request(self) -> Path:
        return self.exchange / "requests" / f"{KEY}.json"

    def reply(self, raw: bytes) -> None:
        (self.exchange / "replies" / f"{KEY}.json").write_bytes(raw)

    def told(self, **body: Any) -> Any:
        self.reply(json.dumps({"key": KEY, **body}).encode())
        return self.device.poll(KEY)


def run_load(folder: Path) -> RunLoad:
    deck = (DeckItem("A1", "S1", "source", DeckRole.SOURCE), DeckItem("A2", "P1", "plate", DeckRole.DESTINATION))
    moved = tuple(Transfer(n, "S1", "A01", "P1", f"A0{n}", 5000, "T1", f"A0{n}", "C1") for n in (1, 2))
    protocol = Protocol("P1", "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, moved),))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.json").write_text(protocol.to_json())
    (folder / "load-0.flex.py").write_text("# for the robot\n")
    return RunLoad(folder / "protocol.json", folder / "load-0.flex.py", protocol.digest, 0)


def bench(lab: Path, verb: str = "run-load") -> Bench:
    commands = {"move": MOVES, "store": StorePlate("P1"), "fetch": FetchPlate("P1"), "acquire": AcquirePlate("P1")}
    return Bench(lab, commands[verb] if verb in commands else run_load(lab / "protocols"))


# What is written


def test_tables_and_offsets_go_beside_the_file_as_they_were_proven(tmp_path: Path):
    load = run_load(tmp_path / "protocols")
    files = {"steps": "load-0.csv", "offsets": "offsets.json"}
    proven = {}
    for name, file in files.items():
        (tmp_path / "protocols" / file).write_text(f"{name}\n")
        digest = hashlib.sha256(f"{name}\n".encode()).hexdigest()
        proven[name] = ProvenFile(name, tmp_path / "protocols" / file, digest)
    whole = replace(load, tables=(proven["steps"],), offsets=proven["offsets"])
    lab = Bench(tmp_path, whole)
    said = json.loads(lab.request.read_bytes())["command"]["files"]
    assert (lab.request.parent / said["tables"]["steps"]).read_text() == "steps\n"
    assert (lab.request.parent / said["offsets"]).read_text() == "offsets\n"
    (tmp_path / "protocols" / "load-0.csv").write_text("other\n")
    with pytest.raises(NeedsOperator, match=r"load-0\.csv was changed after it was proven"):
        lab.device.submit(whole, "another")


def test_a_request_says_everything_and_carries_the_files(tmp_path: Path):
    lab = bench(tmp_path)
    request = json.loads(lab.request.read_bytes())
    assert (request["key"], request["device"], request["format"]) == (KEY, "liquid-handler", 1)
    command = request["command"]
    assert [t["volume_nl"] for t in command["transfers"]] == [5000, 5000]
    assert command["deck"][1] == {"slot": "A2", "barcode": "P1", "labware": "plate", "role": "destination"}
    for name, original in {"protocol": "protocol.json", "rendered": "load-0.flex.py"}.items():
        copy = lab.exchange / "requests" / command["files"][name]
        assert copy.read_bytes() == (tmp_path / "protocols" / original).read_bytes()


def test_a_request_is_never_written_twice_or_changed(tmp_path: Path):
    lab = bench(tmp_path, "move")
    before = lab.request.read_bytes(), lab.request.stat().st_mtime_ns
    lab.device.submit(MovePlates((Move("P9", "stack/new", "imager"),)), KEY)
    assert (lab.request.read_bytes(), lab.request.stat().st_mtime_ns) == before
    assert not list(lab.exchange.rglob(".*")), "no scratch file stays"


def test_a_protocol_that_is_not_the_approved_one_is_refused(tmp_path: Path):
    load = run_load(tmp_path / "protocols")
    lab = bench(tmp_path / "lab", "fetch")
    handler = FolderDevice(lab.exchange, lab.lab, "liquid-handler")
    cases = {
        "not the one approved": RunLoad(load.protocol_path, None, "0" * 64, 0),
        "no load 7": RunLoad(load.protocol_path, None, load.protocol_digest, 7),
        "cannot read": RunLoad(tmp_path / "gone.json", None, load.protocol_digest, 0),
    }
    for reason, command in cases.items():
        with pytest.raises(NeedsOperator, match=reason):
            handler.submit(command, "other")
        assert handler.lookup("other").status is Status.NOT_FOUND


def test_a_reply_that_was_there_before_the_request_is_not_believed(tmp_path: Path):
    lab = bench(tmp_path, "fetch")
    (lab.exchange / "replies" / "later.json").write_text('{"key": "later", "status": "done", "result": {}}')
    with pytest.raises(NeedsOperator, match="never asked for"):
        lab.device.submit(FetchPlate("P1"), "later")
    assert lab.device.lookup("later").status is Status.NOT_FOUND


def test_what_nobody_can_tell_does_not_keep_the_device_busy(tmp_path: Path):
    lab = bench(tmp_path, "fetch")
    with pytest.raises(Transient, match=r"busy with first\.r0\.run-0"):
        lab.device.submit(FetchPlate("P1"), "other")
    lab.told(status="perhaps")
    lab.device.submit(FetchPlate("P1"), "other")


def test_devices_may_share_an_exchange(tmp_path: Path):
    lab = bench(tmp_path, "fetch")
    mover = make("plate-mover", {"exchange": "exchange"}, tmp_path)
    mover.submit(MOVES, "moves")
    assert mover.poll("moves").status is lab.device.poll(KEY).status is Status.RUNNING


@given(st.lists(st.text(max_size=300), min_size=2, max_size=2, unique=True))
@example(["a", "A"])
@example(["a/b", "a%2Fb"])
@example(["", "%-"])
@example(["..", "."])
@example(["x" * 400, "x" * 401])
def test_names_of_files_are_safe_and_no_two_keys_share_one(keys: list[str]):
    names = [file_name(key) for key in keys]
    assert names[0].casefold() != names[1].casefold()
    for name in names:
        assert name
        assert not name.startswith(".")
        assert len(name) < 200
        assert not set(name) & set('/\\:*?"<>| \0')
    assert file_name("first.r0.run-0") == "first.r0.run-0"


# What is believed

GOOD: list[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]] = [
    ("run-load", "done", DONE_LOAD, DONE_LOAD),
    ("run-load", "done", {"transfers": [[2, 0], [1, 4999]]}, {"transfers": [[2, 0], [1, 4999]]}),
    ("run-load", "failed", {"transfers": [[1, 5000]]}, {"transfers": [[1, 5000]]}),
    ("run-load", "failed", {"transfers": []}, {"transfers": []}),
    ("run-load", "failed", {"transfers": [], "begun": 0}, {"transfers": [], "begun": 0}),
    ("move", "done", {"moved": ["P1", "S1"], "by": "Ann", "told_by": "Ann"}, {"moved": ["P1", "S1"]}),
    ("move", "failed", {"moved": ["P1"]}, {"moved": ["P1"]}),
    ("move", "failed", {"moved": ["P1"], "occupied": ["deck/B1", ""]}, {"moved": ["P1"], "occupied": ["deck/B1", ""]}),
    ("store", "done", {"slot": "07"}, {"slot": "07"}),
    ("store", "done", {"slot": 7}, {"slot": "7"}),
    ("store", "failed", {}, {}),
    ("fetch", "done", {}, {}),
    ("acquire", "done", {"folder": "readouts/P1/", "images": 192}, {"folder": "readouts/P1", "images": 192}),
    ("acquire", "failed", {}, {}),
    ("acquire", "failed", {"folder": "readouts/P1_2", "images": 0}, {"folder": "readouts/P1_2", "images": 0}),
]


@pytest.mark.parametrize(("verb", "status", "result", "kept"), GOOD)
def test_a_good_reply_is_believed(tmp_path: Path, verb: str, status: str, result: Any, kept: Any):
    lab = bench(tmp_path, verb)
    report = lab.told(status=status, result=result, message="all well")
    assert (report.status.value, report.result) == (status, kept)
    assert lab.device.lookup(KEY) == report


def test_failed_without_a_word_still_says_something(tmp_path: Path):
    assert bench(tmp_path, "fetch").told(status="failed").message == "failed; the reply says no more"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_what_windows_tools_write_is_read(tmp_path: Path, encoding: str):
    lab = bench(tmp_path, "fetch")
    lab.reply(json.dumps({"key": KEY, "status": "failed", "message": "Lämpchen"}, ensure_ascii=False).encode(encoding))
    assert lab.device.poll(KEY).message == "Lämpchen"


def test_running_may_say_when_it_ends(tmp_path: Path):
    lab = bench(tmp_path, "fetch")
    assert lab.told(status="running").ready_at is None
    report = lab.told(status="running", ready_at="2026-01-05T18:00:00+01:00")
    assert report.ready_at == datetime(2026, 1, 5, 17, tzinfo=UTC)
    assert lab.told(status="done").status is Status.DONE


# What is put before a person

LONG = "1" * 5000
WRONG: list[tuple[str, bytes | dict[str, Any], str]] = [
    ("run-load", b"[1, 2]", "no JSON object but"),
    ("run-load", b"null", "no JSON object but None"),
    ("run-load", {"key": "first.r1.run-0", "status": "done", "result": DONE_LOAD}, "for key 'first.r1.run-0', not"),
    ("run-load", {"status": "finished"}, "status is 'finished'; it should be running, done or failed"),
    ("run-load", {"status": ["done"]}, "status is"),
    ("run-load", {"status": "done"}, "lacks 'transfers'"),
    ("run-load", {"status": "done", "result": []}, "no JSON object"),
    ("run-load", {"status": "done", "result": {"transfers": 2}}, "should be a list"),
    ("run-load", {"status": "done", "result": {"transfers": [[1, 5000]]}}, r"does not tell transfers \[2\]"),
    ("run-load", {"status": "done", "result": {"transfers": [[1, 5001], [2, 0]]}}, "planned were 5000 nl"),
    ("run-load", {"status": "done", "result": {"transfers": [[1, -1], [2, 0]]}}, "moved -1 nl"),
    ("run-load", {"status": "done", "result": {"transfers": [[1, 5.0], [2, 5.0]]}}, "whole nanolitres"),
    ("run-load", {"status": "done", "result": {"transfers": [[True, 1], [2, 5]]}}, "whole nanolitres"),
    ("run-load", {"status": "done", "result": {"transfers": [[1, 5], [1, 5], [2, 5]]}}, "told twice"),
    ("run-load", {"status": "failed", "result": {"transfers": [[3, 5]]}}, "transfer 3 is not in this load"),
    ("run-load", {"status": "failed", "message": "motor stall"}, "lacks 'transfers'"),
    ("run-load", {"status": "failed", "result": {"transfers": [[1, 5]], "begun": 0}}, "begun is 0"),
    ("run-load", {"status": "failed", "result": {"transfers": [], "begun": False}}, "begun is False"),
    ("run-load", f'{{"key": "{KEY}", "status": "done", "result": {{"transfers": [[1, NaN]]}}}}'.encode(), "NaN"),
    ("fetch", f'{{"key": "{KEY}", "status": "failed", "status": "done"}}'.encode(), "'status' twice"),
    ("fetch", f'{{"key": "{KEY}", "status": "failed", "message": "\\ud800"}}'.encode(), "message is"),
    ("fetch", {"status": "failed", "message": "a\0b"}, "plain text"),
    ("fetch", {"status": "failed", "message": 7}, "plain text"),
    ("fetch", {"status": "running", "ready_at": "soon"}, "ready_at is 'soon'"),
    ("fetch", {"status": "running", "ready_at": "2026-01-05T18:00:00"}, r"like 2026-01-05T17:00:00\+00:00"),
    ("move", {"status": "done", "result": {"moved": ["P1"]}}, "plates to move, in order"),
    ("move", {"status": "done", "result": {"moved": ["S1", "P1"]}}, "plates to move, in order"),
    ("move", {"status": "failed", "result": {"moved": ["S1"]}}, "plates to move, in order"),
    ("move", {"status": "failed", "result": {"moved": "P1"}}, "should be a list"),
    ("move", {"status": "failed"}, "lacks 'moved'"),
    ("move", {"status": "failed", "result": {"moved": [], "occupied": ["deck/B1", "X"]}}, "'deck/A1', the barcode"),
    ("move", {"status": "failed", "result": {"moved": [], "occupied": "deck/A1"}}, "'deck/A1', the barcode"),
    ("store", {"status": "done"}, "lacks 'slot'"),
    ("store", {"status": "done", "result": {"slot": None}}, "plain text"),
    ("acquire", {"status": "done", "result": {"images": 2}}, "lacks 'folder'"),
    ("acquire", {"status": "done", "result": {"folder": "readouts/P1"}}, "lacks 'images'"),
    ("acquire", {"status": "done", "result": {"folder": "readouts/P1", "images": 0}}, "count the images"),
    ("acquire", {"status": "done", "result": {"folder": "readouts/P1", "images": True}}, "count the images"),
    ("acquire", {"status": "done", "result": {"folder": "readouts/P2", "images": 2}}, "is not there"),
    ("acquire", {"status": "done", "result": {"folder": "/etc", "images": 2}}, "not a path inside the lab"),
    ("acquire", {"status": "done", "result": {"folder": "readouts/../..", "images": 2}}, "not a path inside the lab"),
    ("acquire", {"status": "done", "result": {"folder": "readouts\\P1", "images": 2}}, "not a path inside the lab"),
    ("acquire", {"status": "done", "result": {"folder": ".", "images": 2}}, "not a path inside the lab"),
    ("acquire", {"status": "done", "result": {"folder": "x" * 5000, "images": 2}}, "is not there"),
]


@pytest.mark.parametrize(("verb", "reply", "reason"), WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_a_wrong_reply_is_unknown_and_says_why(tmp_path: Path, verb: str, reply: Any, reason: str):
    lab = bench(tmp_path, verb)
    raw = reply if isinstance(reply, bytes) else json.dumps({"key": KEY, **reply}).encode()
    lab.reply(raw)
    report = lab.device.poll(KEY)
    assert report.status is Status.UNKNOWN
    assert not report.result
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(report.message)
    assert f"{KEY}.json" in report.message
    assert report.message.isprintable()


def test_a_corrected_reply_is_believed(tmp_path: Path):
    lab = bench(tmp_path)
    assert lab.told(status="done").status is Status.UNKNOWN
    assert lab.told(status="done", result=DONE_LOAD).status is Status.DONE


HALVES = [b"", b"{", b'{"key": "first.r0.run-0", "status": "do', b"[" * 100_000, b"\xff\xfe\x00", b"\x00" * 9]


@pytest.mark.parametrize("half", [*HALVES, LONG.encode()], ids=lambda half: repr(half[:12]))
def test_a_half_written_reply_is_waited_for_but_not_for_ever(tmp_path: Path, half: bytes):
    lab = bench(tmp_path, "fetch")
    lab.reply(half)
    assert lab.device.poll(KEY).status is Status.RUNNING
    lab.now += SETTLE_S - 1
    lab.reply(half + b" ")
    assert lab.device.poll(KEY).status is Status.RUNNING, "it still changes"
    lab.now += SETTLE_S - 1
    assert lab.device.poll(KEY).status is Status.RUNNING
    lab.now += 1
    assert lab.device.poll(KEY).status is Status.UNKNOWN
    assert lab.told(status="done").status is Status.DONE


def test_a_reply_that_cannot_be_opened_is_treated_like_a_half_written_one(tmp_path: Path):
    lab = bench(tmp_path, "fetch")
    (lab.exchange / "replies" / f"{KEY}.json").mkdir()
    assert lab.device.poll(KEY).status is Status.RUNNING
    lab.now += SETTLE_S
    assert lab.device.poll(KEY).status is Status.UNKNOWN


@pytest.mark.parametrize("spoil", [b"", b"{}", b"7", b"[" * 100_000, None])
def test_a_request_file_that_was_tampered_with_is_unknown(tmp_path: Path, spoil: bytes | None):
    lab = bench(tmp_path)
    raw = lab.request.read_bytes()
    lab.request.write_bytes(raw.replace(b"5000", b"9000") if spoil is None else spoil)
    lab.reply(json.dumps({"key": KEY, "status": "done", "result": DONE_LOAD}).encode())
    assert lab.device.lookup(KEY).status is Status.UNKNOWN
    lab.device.submit(run_load(tmp_path / "protocols"), KEY)
    assert lab.device.lookup(KEY).status is Status.UNKNOWN, "it is not written anew"


def test_a_request_file_renamed_to_another_key_is_unknown(tmp_path: Path):
    lab = bench(tmp_path, "fetch")
    (lab.exchange / "requests" / "other.json").write_bytes(lab.request.read_bytes())
    assert "is for key 'first.r0.run-0'" in lab.device.lookup("other").message


# Any reply at all

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 6000)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["P1", KEY]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
TRANSFERS = st.lists(st.lists(st.integers(-1, 5002) | VALUES, min_size=1, max_size=3) | VALUES, max_size=3)
RESULTS = st.fixed_dictionaries(
    {}, optional={"transfers": TRANSFERS | VALUES, "moved": st.lists(st.sampled_from(["P1", "S1"])) | VALUES,
                  "slot": VALUES, "folder": st.sampled_from(["readouts/P1", "..", "/", ""]) | VALUES, "images": VALUES}
)  # fmt: skip
REPLIES = st.fixed_dictionaries(
    {"key": st.just(KEY) | VALUES, "status": st.sampled_from(["done", "failed", "running"]) | VALUES},
    optional={"result": RESULTS | VALUES, "message": VALUES, "ready_at": VALUES},
)


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """Bytes: at random, a reply of random values, or one with bytes changed, cut away or put in."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.binary(max_size=200))
    raw = bytearray(json.dumps(draw(REPLIES)).encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


@pytest.fixture(scope="module")
def benches() -> Any:
    """One request of every kind; only the replies change."""
    verbs = ("run-load", "move", "store", "fetch", "acquire")
    with TemporaryDirectory() as folder:
        yield {verb: bench(Path(folder) / verb, verb) for verb in verbs}


@given(st.sampled_from(["run-load", "move", "store", "fetch", "acquire"]), replies())
def test_no_reply_crashes_or_passes_for_a_success_that_it_is_not(benches: dict[str, Bench], verb: str, raw: bytes):
    lab = benches[verb]
    lab.reply(raw)
    report = lab.device.poll(KEY)
    assert report.status is not Status.NOT_FOUND
    json.dumps(report.result, allow_nan=False).encode()
    (report.message + str(report.result)).encode()
    assert bool(report.message) == (report.status in (Status.FAILED, Status.UNKNOWN))
    if report.status is not Status.DONE:
        return
    reply = json.loads(raw)
    assert (reply["key"], reply["status"]) == (KEY, "done")
    assert _is_true(verb, reply.get("result", {}))


def _is_true(verb: str, result: Any) -> bool:
    """Say in other words what a success of each kind is."""
    match verb:
        case "run-load":
            volumes = dict(result["transfers"])
            return len(result["transfers"]) == 2 and all(0 <= volumes[n] <= 5000 for n in (1, 2))
        case "move":
            return bool(result["moved"] == ["P1", "S1"])
        case "store":
            return isinstance(result["slot"], str | int)
        case "acquire":
            return result["images"] > 0 and Path(result["folder"]) == Path("readouts/P1")
    return True


# Options and the exchange folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "option 'exchange' is missing (allowed: exchange (str))"),
        ({"exchange": 3}, "option exchange = 3 should be str (allowed: exchange (str))"),
        ({"exchange": "x", "folder": "y"}, "'folder' is no option (allowed: exchange (str))"),
    ],
)
def test_a_wrong_option_is_named_with_the_options_allowed(tmp_path: Path, options: Any, expected: str):
    with pytest.raises(SettingsError) as caught:
        make("imager", options, tmp_path)
    assert str(caught.value) == expected


def test_options_are_checked_by_type():
    types = {"rate": float, "port": int, "fast": bool, "name": str}
    good = {"rate": 1, "port": 2, "fast": True, "name": ""}
    assert checked(good, types) == good
    with pytest.raises(SettingsError, match=r"port = True should be int; option fast = 1 should be bool"):
        checked({"rate": 1.5, "port": True, "fast": 1, "name": ""}, types)
    with pytest.raises(SettingsError, match=r"'a' is no option \(allowed: none\)"):
        checked({"a": 1}, {})


def test_folders_outside_the_lab_are_made_by_people(tmp_path: Path):
    share = tmp_path / "share"
    with pytest.raises(SettingsError, match="mount the share it lies on, or make it: mkdir"):
        make("imager", {"exchange": str(share)}, tmp_path / "lab")
    for name in ("requests", "replies"):
        (share / name).mkdir(parents=True)
    make("imager", {"exchange": str(share)}, tmp_path / "lab")
    make("plate-mover", {"exchange": str(share)}, tmp_path / "lab")


def test_an_exchange_serves_one_lab_for_ever(tmp_path: Path):
    share = tmp_path / "share"
    for name in ("requests", "replies"):
        (share / name).mkdir(parents=True)
    make("incubator", {"exchange": str(share)}, tmp_path / "lab").submit(FetchPlate("P1"), KEY)
    with pytest.raises(SettingsError, match="belongs to another lab"):
        make("incubator", {"exchange": str(share)}, tmp_path / "lab2")
