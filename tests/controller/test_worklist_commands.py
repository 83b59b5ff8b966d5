"""nextplate protocol render and result."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from result_files import echo_report, result_table, run_record, trace
from typer.testing import CliRunner, Result
from worklist_lab import for_sound, small_protocol

from controller.cli import make_app

PLAN = small_protocol(4)


def cli(*words: object) -> Result:
    return CliRunner().invoke(make_app(), [str(w) for w in ("protocol", *words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.json").write_text(PLAN.to_json())
    return tmp_path


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("gwl", "load-0.gwl"),
        ("echo", "load-0.csv"),
        ("csv", "load-0.csv"),
        ("pylabrobot", "load-0.py"),
        ("opentrons", "load-0.py"),
    ],
)
def test_render_writes_a_file_a_load(folder: Path, form: str, name: str) -> None:
    if form == "echo":
        (folder / "p.json").write_text(for_sound(PLAN).to_json())
    done = cli("render", folder / "p.json", "--format", form, "--out", folder / "out", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["files"] == [str(folder / "out" / name)]
    assert [p.name for p in (folder / "out").iterdir()] == [name]


def test_an_opentrons_file_sets_the_offsets_that_are_named(folder: Path) -> None:
    item = PLAN.loads[0].deck[0]
    offset = {"labware": item.labware, "slot": item.slot, "x_mm": 0.25, "y_mm": -0.5, "z_mm": 0.125}
    (folder / "o.json").write_text(json.dumps([offset]))
    words = ("render", folder / "p.json", "--offsets", folder / "o.json", "--out", folder / "out", "--format")
    assert cli(*words, "opentrons").exit_code == 0
    text = (folder / "out" / "load-0.py").read_text()
    assert "set_offset(" in text
    assert "0.25, -0.5, 0.125" in text
    assert "are for opentrons" in str(cli(*words, "gwl").exception)
    (folder / "o.json").write_text(json.dumps([{**offset, "slot": "5"}]))
    assert "the flex has no slot '5' for labware" in str(cli(*words, "opentrons").exception)


def test_names_that_a_format_cannot_carry_are_told_beside_it(folder: Path) -> None:
    moved = (replace(PLAN.transfers[0], compound_id='"); os.system('), *PLAN.transfers[1:])
    nasty = replace(PLAN, loads=(replace(PLAN.loads[0], steps=moved),))
    (folder / "n.json").write_text(for_sound(nasty).to_json())
    assert cli("render", folder / "n.json", "--format", "echo", "--out", folder).exit_code == 0
    assert "os.system(" not in (folder / "load-0.csv").read_text()
    assert (folder / "load-0.names.csv").read_text().splitlines()[1] == "N0001-ossystem,%22%29%3B%20os.system%28"


@pytest.mark.parametrize(
    ("form", "says"), [("xml", "known are opentrons, gwl"), ("echo", "not for sound; compile it for")]
)
def test_what_cannot_be_rendered_is_refused_and_nothing_written(folder: Path, form: str, says: str) -> None:
    (folder / "p.json").write_text(small_protocol(2, 5_003).to_json())
    done = cli("render", folder / "p.json", "--format", form, "--out", folder / "out")
    assert done.exit_code != 0
    assert says in str(done.exception) + done.output
    assert not (folder / "out").exists()


def test_a_list_for_sound_is_of_whole_droplets(folder: Path) -> None:
    (folder / "p.json").write_text(for_sound(small_protocol(2, 5_003)).to_json())
    done = cli("render", folder / "p.json", "--format", "echo", "--out", folder / "out")
    assert "whole number of droplets" in str(done.exception)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("echo", echo_report(PLAN), echo_report(PLAN, {2: ("0", "no liquid")})),
        ("table", result_table(PLAN), result_table(PLAN, {2: ("0", "no liquid")})),
        ("opentrons", run_record(PLAN), run_record(PLAN, {2: "aspirate"}, "failed")),
        ("hamilton", trace(PLAN), trace(PLAN, {2: "dispense"})),
    ],
)
def test_result_tells_what_happened(folder: Path, form: str, good: bytes, bad: bytes) -> None:
    (folder / "good").write_bytes(good)
    (folder / "bad").write_bytes(bad)
    done = cli("result", folder / "p.json", folder / "good", "--format", form)
    assert (done.exit_code, done.output) == (0, "load 0: 4 transfers: 4 done\n")
    done = cli("result", folder / "p.json", folder / "bad", "--format", form)
    assert done.exit_code == 1
    assert "transfer 2 from A02 of SRC-001 to A02 of P1" in done.output
    body = json.loads(cli("result", folder / "p.json", folder / "bad", "--format", form, "--json").output)
    assert body["is_as_planned"] is False
    assert body["transfers"][0]["fate"] == "done"


def test_a_file_of_another_plate_is_bad_input(folder: Path) -> None:
    (folder / "r").write_bytes(echo_report(PLAN).replace(b"P1", b"P2"))
    done = cli("result", folder / "p.json", folder / "r", "--format", "echo")
    assert "for other plates" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "says"),
    [("[echo]\ndroplet_nl = 3\n", "2500 or 25000"), ("x = ", "m.toml"), ("[gwl]\ncolour = 1\n", "colour")],
)
def test_a_wrong_mapping_names_its_file(folder: Path, text: str, says: str) -> None:
    (folder / "m.toml").write_text(text)
    done = cli("render", folder / "p.json", "--format", "echo", "--mapping", folder / "m.toml", "--out", folder)
    assert says in str(done.exception)
    assert "m.toml" in str(done.exception)
