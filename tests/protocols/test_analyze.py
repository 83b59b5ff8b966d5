"""The vendor's interpreter proves a right file, and every spoiled file is caught with the well named.

All files are analysed by one start of the interpreter: its import is most of the time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nextplate.errors import DataError, PlanError, StepError
from protocols.analyze import Analysis, AnalysisEndless, analyze, analyze_many, compare, transfers_of
from protocols.model import Protocol
from protocols.render import render
from tests.support.protocol_lab import SmallLab

FLEX = SmallLab("flex", compounds=("C1", "C2", "C3", '"); os.system("true"); ("', "line\nbreak"))
PLAN = FLEX.protocol()
GOOD = render(PLAN, 0)
HAND = 'requirements = {"robotType": "Flex", "apiLevel": "2.20"}\ndef run(ctx):\n'
DISPENSE = "        pipette.dispense(volume_ul, labware[target][target_well])\n"
ASPIRATE = "        pipette.aspirate(volume_ul, labware[source][source_well])\n"


def row(number: int) -> str:
    """Return the table line of a transfer of the good file."""
    return next(line for line in GOOD.splitlines(keepends=True) if line.startswith(f"    ({number}, "))


def at(number: int) -> str:
    """Return transfer's source and destination as the differences name them."""
    t = PLAN.transfers[number - 1]
    return f"({t.source_well} on {t.source_plate} to {t.destination_well} on {t.destination_plate}"


def edit(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1, (old, text.count(old))
    return text.replace(old, new)


def trade_targets(text: str, one: int, other: int) -> str:
    a, b = row(one), row(other)
    wells = [line.split(", ")[4] for line in (a, b)]
    return edit(b, b.replace(wells[1], wells[0], 1), edit(a, a.replace(wells[0], wells[1], 1), text))


def only(number: int, code: str) -> str:
    return f"        if _number == {number}:\n            {code}\n"


CTRL_SLOT = next(i.slot for i in PLAN.loads[0].deck if i.barcode == "CTRL")
SPOILED: dict[str, tuple[str, list[str]]] = {
    "wells swapped": (trade_targets(GOOD, 2, 5), [at(2), at(5), "destination is"]),
    "wrong volume": (edit(row(3), row(3).replace("1.25", "1.3")), [at(3), "volume is 1300 nl, planned 1250 nl"]),
    "missing transfer": (edit(row(4), ""), [at(4), "missing from the file"]),
    "transfer twice": (edit(row(7), row(7) + row(7).replace("'A1'", "'D4'", 1)), ["the file moves 1250 nl"]),
    "other order": (edit(row(1) + row(2), row(2) + row(1)), [at(2), "as its transfer number 1"]),
    "dispense elsewhere": (
        edit(DISPENSE, DISPENSE.replace("target_well]", 'target_well if _number != 6 else "H12"]')),
        [at(6), "destination is H12 in slot C2"],
    ),
    "extra aspirate": (
        edit(ASPIRATE, ASPIRATE + only(2, f'pipette.aspirate(2, labware["{CTRL_SLOT}"]["A5"])')),
        [f"2000 nl are drawn from A05 in slot {CTRL_SLOT}"],
    ),
    "half dispensed": (
        edit(DISPENSE, DISPENSE.replace("volume_ul,", "volume_ul if _number != 2 else 1.0,")),
        ["1000 nl of 1250 nl", at(2)],
    ),
    "tip used again": (
        edit(DISPENSE, DISPENSE + only(3, 'pipette.aspirate(1, labware[source]["P24"]); pipette.dispense(1)')),
        ["P24", "used tip"],
    ),
    "other tip": (
        edit(row(1), row(1).replace("'F12'", "'H12'")).replace(row(3), row(3).replace("'H12'", "'F12'")),
        [at(1), at(3), "tip is"],
    ),
    "blow out elsewhere": (edit(DISPENSE, DISPENSE + only(1, 'pipette.blow_out(labware[target]["H1"])')), ["blowout"]),
    "beside the well": (
        edit(DISPENSE, DISPENSE.replace("[target_well])", "[target_well].top(70))")),
        ["the tip goes beside the well"],
    ),
    "drawn from the air": (
        edit(ASPIRATE, ASPIRATE.replace("[source_well])", "[source_well].top(-0.5))")),
        ["mm over its bottom, planned 1 mm"],
    ),
    "drawn too slowly": (
        edit(ASPIRATE, "        pipette.flow_rate.aspirate = 0.5\n" + ASPIRATE),
        ["at 0.5 ul/s, planned 35 ul/s"],
    ),
    "given too fast": (
        edit(DISPENSE, DISPENSE.replace("[target_well])", "[target_well], rate=2)")),
        ["at 114 ul/s, planned 57 ul/s"],
    ),
    "air pushed after": (
        edit(DISPENSE, DISPENSE.replace("[target_well])", "[target_well], push_out=5)")),
        ["5.0 ul of air pushed after"],
    ),
    "dropped full": (
        edit(DISPENSE, DISPENSE.replace("        pipette", "        if _number != 5: pipette")),
        ["is dropped with 1250 nl", at(5)],
    ),
    "plates swapped": (
        GOOD.replace("'SRC-0', 's", "'SRC-x', 's").replace("'SRC-1', 's", "'SRC-0', 's").replace("SRC-x", "SRC-1"),
        ["'SRC-1'", "'SRC-0'"],
    ),
    "other labware": (
        edit("'corning_96_wellplate_360ul_flat'", "'nest_96_wellplate_200ul_flat'"),
        ["slot C2", "nest_96"],
    ),
    "other mount": (edit("'left'", "'right'"), ["p50_single_flex", "right"]),
    "pauses": (
        edit(DISPENSE, DISPENSE + only(4, 'protocol.pause("look at the tips")')),
        ["after step 4: it moves 1250 nl", "pauses ('look at the tips') and waits for a person"],
    ),
    "fails half way": (edit(DISPENSE, DISPENSE + only(2, "pipette.pick_up_tip()")), ["not-ok", "OutOfTipsError"]),
    "does not compile": (GOOD + "\n  oops(", ["no-result"]),
    "needs a newer robot": (edit("'2.20'", "'2.99'"), ["no-result", "2.99"]),
}  # fmt: skip


def _with_transfer(number: int, **fields: object) -> Protocol:
    load = PLAN.loads[0]
    moves = tuple(replace(t, **fields) if t.transfer_id == number else t for t in load.transfers)  # type: ignore[arg-type]
    return replace(PLAN, loads=(replace(load, steps=moves),))


def _all_into(well: str, volume_nl: int) -> Protocol:
    load = PLAN.loads[0]
    moves = tuple(replace(t, destination_well=well, volume_nl=volume_nl) for t in load.transfers)
    return replace(PLAN, loads=(replace(load, steps=moves),))


# Protocol, volume already in the assay plate, what the ledger says.
SILENT: dict[str, tuple[Protocol, int, str]] = {
    "overfill": (_all_into("D04", 30_000), 200_000, "overfill: D04 on P-1"),
    "overdraw": (_with_transfer(3, volume_nl=16_001), 0, "overdraw: "),
    "empty source": (_with_transfer(3, source_well="P24"), 0, "overdraw: P24 on"),
    "under the minimum": (_with_transfer(3, volume_nl=500), 0, "500 nl is under the 1000 nl minimum"),
}


@pytest.fixture(scope="module")
def analyses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Analysis]:
    """Analyse every file of this module at once; spoiled and silent ones by their case's name."""
    folder = tmp_path_factory.mktemp("files")
    texts = {"flex": GOOD, "ot2": render(SmallLab("ot2").protocol(), 0)}
    texts |= {name: text for name, (text, _) in SPOILED.items()}
    texts |= {f"silent {name}": render(plan, 0) for name, (plan, _, _) in SILENT.items()}
    paths = []
    for name, text in texts.items():
        path = folder / f"{name}.py"
        path.write_text(text, encoding="ascii")
        paths.append(path)
    return dict(zip(texts, analyze_many(paths), strict=True))


pytestmark = pytest.mark.opentrons


@pytest.mark.parametrize("robot", ["flex", "ot2"])
def test_a_rendered_file_does_exactly_the_plan(analyses: dict[str, Analysis], robot: str) -> None:
    plan = PLAN if robot == "flex" else SmallLab("ot2").protocol()
    assert analyses[robot].errors == ()
    assert compare(analyses[robot], plan, 0) == []
    seen = transfers_of(analyses[robot])
    assert [(s.source.well, s.destination.well, s.volume_nl, s.tip.well) for s in seen] == [
        (t.source_well, t.destination_well, t.volume_nl, t.tip_well) for t in plan.transfers
    ]


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_file_is_caught_with_the_place(analyses: dict[str, Analysis], case: str) -> None:
    found = "\n".join(compare(analyses[case], PLAN, 0))
    for word in SPOILED[case][1]:
        assert word in found, found


@pytest.mark.parametrize("case", SILENT)
def test_what_the_vendor_lets_pass_the_ledger_refuses(analyses: dict[str, Analysis], case: str) -> None:
    plan, fill_nl, words = SILENT[case]
    analysis = analyses[f"silent {case}"]
    assert analysis.is_ok
    assert compare(analysis, plan, 0) == []
    with pytest.raises(PlanError, match=words):
        FLEX.ledger(fill_nl).check(plan)


def test_one_missing_transfer_is_one_difference(analyses: dict[str, Analysis]) -> None:
    assert len(compare(analyses["missing transfer"], PLAN, 0)) == 1


def test_a_file_for_the_other_robot_is_no_proof(analyses: dict[str, Analysis]) -> None:
    assert any("OT-2 Standard" in problem for problem in compare(analyses["ot2"], PLAN, 0))


def test_nothing_is_left_in_the_callers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text(edit(row(1), row(1)), encoding="ascii")
    assert analyze(tmp_path / "p.py", Path(sys.executable)).is_ok
    assert [path.name for path in tmp_path.iterdir()] == ["p.py"]


def test_an_interpreter_that_cannot_do_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text(GOOD, encoding="ascii")
    with pytest.raises(StepError, match="cannot start /nowhere/python"):
        analyze(path, Path("/nowhere/python"))
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(StepError, match="has no opentrons package"):
        analyze(path, bare)
    with pytest.raises(StepError, match=r"took over 0\.01 s"):
        analyze(path, timeout_s=0.01)
    with pytest.raises(DataError, match="no such protocol file"):
        analyze(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import sys; sys.exit(0)", "the file ends the interpreter: sys.exit(0)"),
        ("import os; os._exit(0)", "the file ended the interpreter (sys.exit or os._exit?)"),
        ("import os; os.write(2, b'out of tips\\n'); os._exit(3)", "out of tips"),
    ],
)
def test_a_file_that_ends_the_interpreter_is_told_of(line: str, said: str, tmp_path: Path) -> None:
    """And not what the vendor's package says of every file."""
    path = tmp_path / "p.py"
    path.write_text(HAND + f"    {line}\n", encoding="ascii")
    found = analyze(path)
    assert found.result == "no-result"
    assert said in found.errors[-1]
    assert not any("calibration" in words or "Loading defaults" in words for words in found.errors)


def test_a_file_without_an_end_is_a_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text(HAND + "    while True: pass\n", encoding="ascii")
    with pytest.raises(AnalysisEndless, match=r"look for a loop without end in p\.py") as caught:
        analyze(path, timeout_s=45.0)
    assert isinstance(caught.value, DataError)


def test_no_files_need_no_interpreter() -> None:
    assert analyze_many([]) == []


@pytest.mark.parametrize("line", ["while True: pass", "time.sleep(10_000)"])
def test_an_analysis_ends_with_the_process_that_asked_for_it(tmp_path: Path, line: str) -> None:
    """Killed, it says nothing to anybody: its end of a pipe closes, and that is enough."""
    path, seen = tmp_path / "p.py", tmp_path / "pid"
    path.write_text(
        f"import os, pathlib, time\npathlib.Path({str(seen)!r}).write_text(str(os.getpid()))\n"
        f'requirements = {{"robotType": "Flex", "apiLevel": "2.19"}}\n\n\ndef run(protocol):\n    {line}\n'
    )
    asking = f"import pathlib; from protocols.analyze import analyze; analyze(pathlib.Path({str(path)!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    caller = subprocess.Popen([sys.executable, "-c", asking], env=environment)
    try:
        _wait(lambda: seen.exists() and seen.read_text())
        child = int(seen.read_text())
        assert Path(f"/proc/{child}").exists()
    finally:
        caller.kill()
        caller.wait()
    _wait(lambda: not _is_alive(child))


def _wait(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    """A zombie that nobody has collected is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
