"""A vendor's file is checked with everything the lab says, and a file that cannot be judged is refused by its cause."""

from pathlib import Path

import pytest

from controller import protocolfile, protocoltables
from controller.protocolfile import Checked, LabNow, check_file
from nextplate.errors import DataError
from protocols.analyze import Analysis, AnalysisEndless, analyze

pytestmark = pytest.mark.opentrons

HEAD = 'requirements = {"robotType": "OT-2", "apiLevel": "2.20"}\n'
SMALL = (
    HEAD
    + """
def run(ctx):
    tips = ctx.load_labware("opentrons_96_tiprack_300ul", "1")
    source = ctx.load_labware("nest_96_wellplate_2ml_deep", "2", "S")
    plate = ctx.load_labware("corning_96_wellplate_360ul_flat", "3", "D")
    one = ctx.load_instrument("p300_single", "left", tip_racks=[tips])
    source["A1"].load_liquid(ctx.define_liquid("w", "w", "#0000ff"), 1000)
    one.transfer(VOLUME, source["A1"], plate["C5"])
"""
)


def write(folder: Path, text: str) -> Path:
    path = folder / "hand.py"
    path.write_text(text)
    return path


def said(checked: Checked) -> str:
    return "\n".join(str(problem) for problem in checked.problems)


def test_the_least_volume_comes_from_the_vendor_and_the_fill_from_the_lab(tmp_path: Path) -> None:
    small = check_file(write(tmp_path, SMALL.replace("VOLUME", "25")), LabNow())
    assert "25000 nl from A01 of S are under the 30000 nl minimum of p300_single" in said(small)
    path = write(tmp_path, SMALL.replace("VOLUME", "50"))
    right = check_file(path, LabNow(fill_nl=310_000))
    assert not right.problems
    assert "; about " in right.what
    assert "overfill: C05 of D would hold 361000 nl" in said(check_file(path, LabNow(fill_nl=311_000)))


def test_a_file_that_ends_the_interpreter_says_so(tmp_path: Path) -> None:
    found = check_file(write(tmp_path, HEAD + "def run(ctx):\n    import sys; sys.exit(0)\n"), LabNow())
    assert "the file ends the interpreter: sys.exit(0)" in said(found)
    assert "Belt calibration" not in said(found)


def test_a_table_that_is_asked_for_and_not_used_has_to_be_named_too(tmp_path: Path) -> None:
    text = f'{HEAD}def add_parameters(p):\n    p.add_csv_file(variable_name="t", display_name="t", description="t")\n'
    with pytest.raises(DataError, match="takes table 't', and got none; add --table t=FILE"):
        check_file(write(tmp_path, text + "def run(ctx):\n    pass\n"), LabNow())


def test_a_loop_without_end_is_a_wrong_file_and_no_fault_of_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, HEAD + "def run(ctx):\n    while True:\n        pass\n")

    def soon(path: Path, python: Path | None, tables: object) -> Analysis:
        return analyze(path, python, timeout_s=6.0)

    with pytest.raises(AnalysisEndless):
        soon(path, None, {})
    monkeypatch.setattr(protocolfile, "analyzed", soon)
    assert protocoltables.analyzed is not soon
    assert "look for a loop without end" in said(check_file(path, LabNow()))


def test_what_a_file_does_on_the_robot_alone_nobody_can_check(tmp_path: Path) -> None:
    text = SMALL.replace("VOLUME", "50") + "    if not ctx.is_simulating():\n        one.aspirate(900)\n"
    assert "hand.py, line 10: it asks is_simulating()" in said(check_file(write(tmp_path, text), LabNow()))
