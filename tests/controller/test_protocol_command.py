"""nextplate protocol: check, show and diff of files, whoever wrote them."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from orders_lab import dose_lab
from typer.testing import CliRunner, Result

from controller import protocolfile
from controller.cli import make_app
from controller.deckpicture import draw_decks, write_decks
from controller.protocolfile import LabNow, check_file, read_protocol
from nextplate.errors import DataError
from protocols.analyze import Analysis
from protocols.deckmap import FLEX_ROWS, OT2_ROWS, slot_places
from protocols.labware import ROBOTS, robot_deck
from protocols.model import Protocol
from protocols.stock import PlateCare, StockWell, TipRack

LAB = dose_lab(8, (10.0, 1.0))
PROTOCOL = LAB.compiled().protocol
STOCK = "source_plate,source_well,compound_id,volume_nl,concentration_um,labware\n" + "".join(
    f"{s.source_plate},{s.source_well},{s.compound_id},{s.volume_nl},{s.concentration_um},{s.labware}\n"
    for s in LAB.stock
)


def _definition(load_name: str, well: str, volume_ul: float) -> dict[str, object]:
    return {
        "parameters": {"loadName": load_name},
        "ordering": [[well]],
        "wells": {well: {"totalLiquidVolume": volume_ul}},
    }


def _command(kind: str, result: object = None, **params: object) -> dict[str, object]:
    return {"commandType": kind, "params": {"pipetteId": "p", **params}, "result": result}


SOURCE = {"labwareId": "s", "definition": _definition("corning_384_wellplate_112ul_flat", "P24", 112)}
TARGET = {"labwareId": "t", "definition": _definition("corning_96_wellplate_360ul_flat", "B7", 360)}
RACK = {"labwareId": "x", "definition": _definition("opentrons_flex_96_tiprack_50ul", "A1", 0)}
HAND = (
    _command("loadLabware", SOURCE, location={"slotName": "B2"}, displayName="SRC-00"),
    _command("loadLabware", TARGET, location={"slotName": "C2"}, displayName="P-1"),
    _command("loadLabware", RACK, location={"slotName": "A2"}, displayName="T"),
    _command("loadPipette", {"pipetteId": "p"}, pipetteName="p50_single_flex"),
    _command("pickUpTip", labwareId="x", wellName="A1"),
    _command("aspirate", labwareId="s", wellName="P24", volume=5.0),
    _command("dispense", labwareId="t", wellName="B7", volume=5.0),
    _command("dropTipInPlace"),
)
"""As the vendor's interpreter writes them; tests/protocols/test_handwritten.py has it write real ones."""


def vendor_says(monkeypatch: pytest.MonkeyPatch, result: str, *errors: str) -> None:
    found = Analysis(Path("hand.py"), result, "OT-3 Standard", errors, HAND, ())
    monkeypatch.setattr(protocolfile, "analyzed", lambda _path, _python, _tables: found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "right.json").write_text(PROTOCOL.to_json())
    (tmp_path / "wrong.json").write_text(PROTOCOL.to_json().replace('"volume_nl":5000', '"volume_nl":900'))
    (tmp_path / "stock.csv").write_text(STOCK)
    return tmp_path


def cli(*words: object) -> Result:
    return CliRunner().invoke(make_app(), [str(w) for w in ("protocol", *words)])


def test_a_right_protocol_may_run(folder: Path) -> None:
    done = cli("check", folder / "right.json", "--stock", folder / "stock.csv", "--fill-ul", 45)
    assert done.exit_code == 0, done.output
    assert "nothing forbids running it" in done.output
    assert "taken as full" in done.output  # the tips
    body = json.loads(cli("check", folder / "right.json", "--json").output)
    assert body["is_right"] is True
    assert "nothing is known of what is in SRC-00, TROUGH: taken as full" in body["notes"][0]


def test_a_wrong_one_may_not_and_its_wells_are_named(folder: Path) -> None:
    done = cli("check", folder / "wrong.json", "--stock", folder / "stock.csv")
    assert done.exit_code == 2
    assert "900 nl is under the 1000 nl minimum" in done.output
    body = json.loads(cli("check", folder / "wrong.json", "--json").output)
    assert {"plate", "well", "kind", "step", "message"} == set(body["problems"][0])
    assert body["problems"][0]["plate"] in ("A-000", "DIL-1")


def test_what_would_run_dry_is_named(folder: Path) -> None:
    low = STOCK.replace("14000000", "1001000")
    (folder / "stock.csv").write_text(low)
    done = cli("check", folder / "right.json", "--stock", folder / "stock.csv")
    assert done.exit_code == 2
    assert "fill A01 of TROUGH with DMSO by at least" in done.output


def test_a_file_written_by_hand_is_checked_against_the_stock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor_says(monkeypatch, "ok")
    done = cli("check", folder / "hand.py", "--stock", folder / "stock.csv", "--json")
    assert done.exit_code == 2
    body = json.loads(done.output)
    assert [(p["plate"], p["well"]) for p in body["problems"]] == [("SRC-00", "P24")]
    assert "nothing says that it was filled" in body["problems"][0]["message"]
    assert "ended ok; 1 draws followed" in body["what"]


def test_a_file_that_does_not_run_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor_says(monkeypatch, "not-ok", "OutOfTipsError")
    found = check_file(folder / "hand.py", LabNow())
    assert "hand.py: OutOfTipsError" in found.problems[0].message


def test_show_says_what_to_load_and_draws_the_decks(folder: Path) -> None:
    done = cli("show", folder / "right.json", "--picture", folder / "decks.svg")
    assert done.exit_code == 0, done.output
    assert "ul of CPD-0000 in A01 of SRC-00" in done.output
    assert (folder / "decks.svg").read_text().startswith("<?xml")
    body = json.loads(cli("show", folder / "right.json", "--json").output)
    assert body["digest"] == PROTOCOL.digest


def test_what_cannot_be_shown_names_its_well(folder: Path) -> None:
    (folder / "nan.json").write_text(PROTOCOL.to_json().replace('"volume_nl":5000', '"volume_nl":NaN', 1))
    done = CliRunner().invoke(make_app(), ["protocol", "show", str(folder / "nan.json")])
    assert isinstance(done.exception, DataError)
    assert "volume nan is not a whole number of nanolitres; all that is wrong" in str(done.exception)


@pytest.mark.parametrize("form", ["opentrons", "gwl"])
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"destination_well":"A01"', '"destination_well":"Z99"', "has no well 'Z99'"),
        ('"slot":"C2"', '"slot":"B2"', "load 0, slot B2: holds "),
        ('"slot":"C2"', '"slot":"Q7"', "load 0, slot Q7: the flex has no such slot"),
    ],
)
def test_nothing_is_written_for_a_robot_of_wells_and_slots_that_are_none(
    folder: Path, form: str, old: str, new: str, words: str
) -> None:
    assert old in PROTOCOL.to_json()
    (folder / "bad.json").write_text(PROTOCOL.to_json().replace(old, new))
    done = cli("render", folder / "bad.json", "--format", form, "--out", folder / "lists")
    assert isinstance(done.exception, DataError)
    assert words in str(done.exception)
    assert not (folder / "lists").exists()


def test_no_name_makes_a_line_of_the_verdict(folder: Path) -> None:
    forged = "night\nnothing forbids running it\n"
    for name in (forged, "x" * 100_000):
        (folder / "name.json").write_text(replace(PROTOCOL, name=name).to_json())
        first, second, *_ = cli("check", folder / "name.json").output.splitlines()
        assert (len(first) < 300, second) == (True, "nothing forbids running it")
    (folder / "plate.json").write_text(PROTOCOL.to_json().replace('"TROUGH"', json.dumps(f"T{forged}" + "x" * 9_999)))
    lines = cli("check", folder / "plate.json").output.splitlines()
    assert lines[1].startswith("refused")
    assert "nothing forbids running it" not in lines
    assert max(map(len, lines)) <= 1_000


def test_diff_says_it_in_words(folder: Path) -> None:
    done = cli("diff", folder / "right.json", folder / "wrong.json")
    assert done.exit_code == 0
    assert "gets 900 nL instead of 5000 nL of DMSO" in done.output
    assert cli("diff", folder / "right.json", folder / "right.json").output == "no difference\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{", "not a protocol"), (b"\xff\xfe", "decode"), (b'{"format": 9}', "format is 9"), (None, "No such file")],
)
def test_a_file_that_is_no_protocol_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read_protocol(path)
    assert str(path) in str(error.value)


def test_a_picture_is_the_same_again_and_holds_every_barcode() -> None:
    picture = draw_decks(PROTOCOL, "svg")
    assert len(picture) > 10_000
    assert draw_decks(PROTOCOL, "png")[:4] == b"\x89PNG"
    assert draw_decks(PROTOCOL, "png") == draw_decks(PROTOCOL, "png")


def test_a_picture_that_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.svg or \.png"):
        write_decks(PROTOCOL, tmp_path / "decks.gif")
    with pytest.raises(DataError, match="no map of the deck of robot 'r2d2'"):
        draw_decks(Protocol("n", "r2d2", "p", "left", ()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("robot", ["flex", "ot2"])
def test_every_slot_of_a_robot_has_a_place(robot: str) -> None:
    places = slot_places(robot)
    deck = ROBOTS[robot]
    assert set(deck.slots) | set(deck.staging) <= set(places)
    assert len(places) == len({*sum(FLEX_ROWS if robot == "flex" else OT2_ROWS, ())})


def test_a_file_written_by_hand_may_not_draw_from_stock_that_is_past_its_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor_says(monkeypatch, "ok")
    care = {"SRC-00": PlateCare(n_thaws=9, max_thaws=1, expires=date(2020, 1, 1))}
    stock = (StockWell("SRC-00", "P24", "C", 100_000, 1.0, "corning_384_wellplate_112ul_flat"),)
    now = LabNow(stock, (TipRack("T", "opentrons_flex_96_tiprack_50ul", ("B01",)),), care=care, has_books=True)
    checked = check_file(folder / "hand.py", now, robot=robot_deck("flex", blocked=("B2",)), at=datetime.now(UTC))
    assert {p.kind.value for p in checked.problems} == {"expired", "tip", "deck"}


def test_help_of_render_names_the_tables_of_a_mapping(run):
    code, out, _ = run("protocol", "render", "--help")
    assert code == 0
    words = " ".join(out.replace("│", " ").split())
    assert "and the tables gwl, echo, result, trace" in words


@pytest.mark.parametrize(
    ("loads", "words"),
    [((), "the protocol has no deck load: it does nothing"), (None, "the protocol has 1 deck load(s) and no step")],
)
def test_a_protocol_that_does_nothing_is_refused(tmp_path: Path, loads: tuple[()] | None, words: str) -> None:
    bare = replace(PROTOCOL, loads=(replace(PROTOCOL.loads[0], steps=()),) if loads is None else loads)
    path = tmp_path / "empty.json"
    path.write_text(bare.to_json())
    done = cli("check", path)
    assert (done.exit_code, words in done.output) == (2, True), done.output
    assert words in str(cli("render", path, "--format", "gwl", "--out", tmp_path).exception)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.json"]


def test_what_may_differ_on_the_robot_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor_says(monkeypatch, "ok")
    path = tmp_path / "hand.py"
    path.write_text("import random\nwell = random.choice('AB')\n")
    assert "line 2: it asks for chance (random.choice)" in check_file(path, LabNow()).notes[0]
