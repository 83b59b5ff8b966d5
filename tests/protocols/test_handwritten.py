"""The books of a file written by hand: each of the six wrong files that the vendor's simulator passes is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.analyze import Analysis, analyze_many
from protocols.handwritten import account
from protocols.handwritten_books import Account
from protocols.problems import ProblemKind

HEAD = """
requirements = {"robotType": "Flex", "apiLevel": "2.20"}
def run(ctx):
    plate = ctx.load_labware("corning_96_wellplate_360ul_flat", "C2", label="P-1")
    trough = ctx.load_labware("nest_12_reservoir_15ml", "B2", label="R")
    small = ctx.load_labware("nest_96_wellplate_200ul_flat", "B3", label="S")
    fine = ctx.load_labware("corning_384_wellplate_112ul_flat", "C3", label="F")
    third = ctx.load_labware("opentrons_flex_96_tiprack_50ul", "D2")
    tips = ctx.load_labware("opentrons_flex_96_tiprack_50ul", "A1", label="T")
    more = ctx.load_labware("opentrons_flex_96_tiprack_50ul", "D1")
    trash = ctx.load_trash_bin("A3")
    one = ctx.load_instrument("flex_1channel_50", "left", tip_racks=[tips])
    eight = ctx.load_instrument("flex_8channel_50", "right", tip_racks=[more])
    water = ctx.define_liquid("water", "w", "#0000ff")
    trough["A1"].load_liquid(water, 5000)
    small["A1"].load_liquid(water, 60)
    small["A2"].load_liquid(ctx.define_liquid("dye", "d", "#ff0000"), 100)
"""
FILES = {
    "right": """
    one.transfer([40, 30], trough["A1"], [plate["A1"], plate["B1"]], mix_after=(2, 10), touch_tip=True, air_gap=2)
    one.distribute(10, trough["A1"], plate.rows()[2][:3], disposal_volume=2)
    eight.transfer(20, trough["A1"], plate.columns()[3][0])
    one.transfer(5, plate["A1"], plate["A5"])
""",
    "overfilled": '    one.transfer(50, trough["A1"], [plate["B7"]] * 8)\n',
    "overdrawn": '    one.transfer([30, 30], small["A1"], [plate["A1"], plate["A2"]])\n',
    "never declared": '    one.transfer(30, small["C7"], plate["A1"])\n',
    "declared over the rim": '    small["D2"].load_liquid(water, 5000)\n',
    "below the minimum": '    one.transfer(0.5, trough["A1"], plate["H12"])\n',
    "overdrawn by eight": '    small["B1"].load_liquid(water, 200)\n    eight.transfer(20, small["A1"], plate["A1"])\n',
    "thrown away": """
    one.pick_up_tip()
    for _ in range(2):
        one.aspirate(30, small["A1"]); one.dispense(30, trash)
    one.drop_tip()
""",
    "two of one label": """
    other = ctx.load_labware("nest_96_wellplate_200ul_flat", "D3", label="S")
    one.transfer(30, other["A1"], plate["A1"])
""",
    "an air gap by hand": """
    one.pick_up_tip()
    one.aspirate(30, trough["A1"]); one.air_gap(10)
    one.dispense(25, plate["A1"]); one.dispense(15, plate["B1"])
    one.drop_tip()
""",
    "moved a little": """
    from opentrons import types
    one.pick_up_tip()
    one.aspirate(30, trough["A1"])
    one.move_to(types.Location(types.Point(100, 100, 100), None))
    one.dispense(30)
    one.drop_tip()
""",
    "overfilled by eight": '    eight.transfer(50, trough["A1"], [plate["A9"]] * 8)\n',
    "one tip, two sources": """
    one.pick_up_tip()
    one.aspirate(5, trough["A1"]); one.dispense(5, plate["A1"])
    one.aspirate(5, small["A1"]); one.dispense(5, plate["A2"])
    one.drop_tip()
""",
}
FILES |= {
    "two liquids by one tip": """
    one.pick_up_tip()
    one.aspirate(20, trough["A1"]); one.dispense(20, plate["A1"])
    one.aspirate(20, small["A2"]); one.dispense(20, plate["B1"])
    one.mix(2, 10, trough["A1"])
    one.drop_tip()
""",
    "a dirty tip given to a source": """
    one.pick_up_tip()
    one.aspirate(40, trough["A1"]); one.dispense(20, plate["A1"]); one.dispense(20, small["A2"])
    one.drop_tip()
    one.transfer(20, small["A2"], plate["A3"])
""",
    "a dirty tip blown out into a source": """
    one.transfer(20, small["A2"], plate["A1"])
    one.pick_up_tip()
    one.aspirate(20, trough["A1"]); one.dispense(20, plate["A1"]); one.blow_out(trough["A1"])
    one.drop_tip()
""",
    "a dirty tip drawing from a second source": """
    one.pick_up_tip()
    one.aspirate(20, trough["A1"]); one.dispense(20, plate["A1"])
    one.aspirate(20, small["A2"]); one.dispense(20, plate["B1"])
    one.drop_tip()
""",
    "each liquid its own tip": """
    one.transfer(20, trough["A1"], plate["A1"], new_tip="always")
    one.transfer(20, small["A2"], [plate["A1"], plate["B1"]], new_tip="always", mix_after=(2, 10))
    one.pick_up_tip()
    one.aspirate(30, trough["A1"]); one.dispense(10, plate["A1"].top()); one.dispense(10, plate["C1"])
    one.blow_out(trough["A1"])
    one.drop_tip()
    one.distribute(10, trough["A1"], plate.rows()[2][:3], blow_out=True, blowout_location="source well")
    eight.transfer(5, trough["A1"], plate["A4"], mix_before=(2, 5))
""",
    "part of a column": """
    from opentrons.protocol_api import ALL, PARTIAL_COLUMN, SINGLE
    eight.configure_nozzle_layout(style=PARTIAL_COLUMN, start="H1", end="F1", tip_racks=[more])
    eight.transfer(10, trough["A1"], plate["C5"])
    eight.transfer(10, trough["A1"], fine["F5"])
    eight.configure_nozzle_layout(style=SINGLE, start="H1", tip_racks=[more])
    eight.transfer(10, trough["A1"], plate["G6"])
    eight.configure_nozzle_layout(style=ALL, tip_racks=[third])
    eight.transfer(10, trough["A1"], plate["A7"])
""",
    "a rack taken as full again": """
    one.transfer(20, trough["A1"], [plate["A1"], plate["B1"]], new_tip="always")
    tips.reset()
    one.transfer(20, trough["A1"], plate["C1"])
""",
    "a rack set by somebody": """
    one.transfer(20, trough["A1"], [plate["A1"], plate["B1"]], new_tip="always")
    ctx.pause("set a fresh rack in A1")
    tips.reset()
    one.transfer(20, trough["A1"], plate["C1"])
""",
}


@pytest.fixture(scope="module")
def analyses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Analysis]:
    folder = tmp_path_factory.mktemp("hand")
    paths = []
    for name, body in FILES.items():
        paths.append(folder / f"{name}.py")
        paths[-1].write_text(HEAD + body)
    return dict(zip(FILES, analyze_many(paths), strict=True))


WRONG = {
    "thrown away": (ProblemKind.OVERDRAW, "S", "A01", "holds 30000 nl, 10000 of them dead volume, and gives 30000"),
    "two of one label": (ProblemKind.OVERDRAW, "S in D3", "A01", "nothing says that it was filled"),
    "moved a little": (ProblemKind.STEP, "", "", "nobody can tell where to"),
    "overfilled": (ProblemKind.OVERFILL, "P-1", "B07", "would hold 400000 nl, its maximum is 360000"),
    "overdrawn": (ProblemKind.OVERDRAW, "S", "A01", "holds 30000 nl, 10000 of them dead volume, and gives 30000"),
    "never declared": (ProblemKind.OVERDRAW, "S", "C07", "nothing says that it was filled"),
    "declared over the rim": (ProblemKind.OVERFILL, "S", "D02", "declared to hold 5000000 nl, its maximum is 200000"),
    "below the minimum": (ProblemKind.VOLUME, "R", "A01", "500 nl from A01 of R are under the 1000 nl minimum"),
    "overdrawn by eight": (ProblemKind.OVERDRAW, "S", "C01", "nothing says that it was filled"),
    "two liquids by one tip": (
        ProblemKind.TIP,
        "R",
        "A01",
        "A02 of S and is used again for A01 of R; take a fresh tip",
    ),
    "a dirty tip given to a source": (ProblemKind.TIP, "S", "A02", "from A01 of R and is used again for A02 of S"),
    "a dirty tip blown out into a source": (
        ProblemKind.TIP,
        "R",
        "A01",
        "met other liquid in A01 of P-1 and goes back into A01 of R",
    ),
    "a dirty tip drawing from a second source": (
        ProblemKind.TIP,
        "S",
        "A02",
        "drew liquid from A01 of R and is used again for A02 of S",
    ),
    "a rack taken as full again": (
        ProblemKind.ATTENDED,
        "T",
        "A01",
        "the file takes T as full again (reset), and A01 of T and 1 more wells",
    ),
    "overfilled by eight": (ProblemKind.OVERFILL, "P-1", "H09", "would hold 400000 nl"),
}


@pytest.mark.opentrons
def test_a_right_file_is_followed_to_the_nanolitre(analyses: dict[str, Analysis]) -> None:
    books = account(analyses["right"].commands)
    assert books.problems == []
    # Air gaps are no liquid; the tip of the distribution throws its rest away.
    assert books.volumes["P-1", "A01"] == 35_000
    assert books.volumes["P-1", "B01"] == 30_000
    assert [books.volumes["P-1", f"C0{n}"] for n in (1, 2, 3)] == [10_000] * 3
    assert [books.volumes["P-1", f"{row}04"] for row in "ABCDEFGH"] == [20_000] * 8
    assert books.volumes["P-1", "A05"] == 5_000
    assert books.volumes["R", "A01"] == 5_000_000 - 70_000 - 32_000 - 160_000


@pytest.mark.opentrons
@pytest.mark.parametrize("case", WRONG)
def test_what_the_vendors_simulator_passes_is_refused_with_the_well(case: str, analyses: dict[str, Analysis]) -> None:
    kind, plate, well, words = WRONG[case]
    assert analyses[case].is_ok, "the vendor's interpreter finds nothing wrong with it"
    found = account(analyses[case].commands).problems
    assert any((p.kind, p.plate, p.well) == (kind, plate, well) and words in p.message for p in found), found


@pytest.mark.opentrons
def test_clean_tips_go_back_into_their_sources(analyses: dict[str, Analysis]) -> None:
    assert analyses["each liquid its own tip"].is_ok
    assert account(analyses["each liquid its own tip"].commands).problems == []


@pytest.mark.opentrons
def test_a_part_of_a_column_is_followed_nozzle_by_nozzle(analyses: dict[str, Analysis]) -> None:
    books = account(analyses["part of a column"].commands)
    assert analyses["part of a column"].is_ok
    assert books.problems == []
    filled = {key for key, nl in books.volumes.items() if key[0] in ("P-1", "F") and nl == 10_000}
    whole = {("P-1", f"{row}07") for row in "ABCDEFGH"}
    assert (
        filled == {("P-1", f"{row}05") for row in "ABC"} | {("F", f"{r}05") for r in "BDF"} | {("P-1", "G06")} | whole
    )
    assert len({key for _, key in books.tips}) == len(books.tips) == 3 + 3 + 1 + 8


@pytest.mark.opentrons
def test_a_rack_is_full_again_once_somebody_can_have_set_one(analyses: dict[str, Analysis]) -> None:
    assert account(analyses["a rack set by somebody"].commands, is_attended=True).problems == []
    (found,) = account(analyses["a rack taken as full again"].commands, is_attended=True).problems
    assert (found.kind, found.plate) == (ProblemKind.TIP, "T")
    assert "needs a fresh rack; pause before it" in found.message
    alone = account(analyses["a rack set by somebody"].commands).problems
    assert {p.kind for p in alone} == {ProblemKind.ATTENDED}


@pytest.mark.opentrons
def test_air_in_the_tip_comes_out_before_the_liquid_behind_it(analyses: dict[str, Analysis]) -> None:
    books = account(analyses["an air gap by hand"].commands)
    assert books.problems == []
    assert (books.volumes["P-1", "A01"], books.volumes["P-1", "B01"]) == (15_000, 15_000)


@pytest.mark.opentrons
def test_a_label_of_the_labs_books_used_twice_is_refused(analyses: dict[str, Analysis]) -> None:
    found = account(analyses["two of one label"].commands, {("S", "A01"): 90_000}).problems
    assert any("two pieces of labware are called S" in p.message for p in found)


NINETY_SIX = """
requirements = {"robotType": "Flex", "apiLevel": "2.22"}
def run(ctx):
    tips = ctx.load_labware("opentrons_flex_96_tiprack_200ul", "D1", adapter="opentrons_flex_96_tiprack_adapter")
    trough = ctx.load_labware("nest_1_reservoir_195ml", "C1", label="R")
    fine = ctx.load_labware("corning_384_wellplate_112ul_flat", "C2", label="D")
    plate = ctx.load_labware("corning_96_wellplate_360ul_flat", "B2", label="P")
    ctx.load_trash_bin("A3")
    head = ctx.load_instrument("flex_96channel_1000", "left", tip_racks=[tips])
    trough.load_liquid(["A1"], 25000, ctx.define_liquid("w", "w"))
    head.pick_up_tip()
    head.aspirate(150, trough["A1"]); head.dispense(70, fine["B2"]); head.dispense(80, plate["A1"])
    head.drop_tip()
"""


@pytest.mark.opentrons
def test_ninety_six_channels_draw_ninety_six_times_and_stand_in_every_second_well(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(NINETY_SIX)
    (analysis,) = analyze_many([tmp_path / "file.py"])
    assert analysis.is_ok, analysis.errors
    books = account(analysis.commands)
    assert books.drawn["R", "A01"] == 96 * 150_000
    assert books.problems == []
    filled = {well for (plate, well), nl in books.volumes.items() if plate == "D" and nl == 70_000}
    assert filled == {f"{row}{column:02d}" for row in "BDFHJLNP" for column in range(2, 25, 2)}
    assert sum(nl == 80_000 for (plate, _), nl in books.volumes.items() if plate == "P") == 96
    assert len({key for _, key in books.tips}) == 96


@pytest.mark.opentrons
def test_a_tip_that_draws_from_two_wells_is_noted(analyses: dict[str, Analysis]) -> None:
    books = account(analyses["one tip, two sources"].commands)
    assert books.problems == []
    assert "drew from A01 of R draws from A01 of S: carry-over is possible" in books.notes[0]


@pytest.mark.opentrons
def test_the_books_of_a_lab_count_before_what_a_file_declares(analyses: dict[str, Analysis]) -> None:
    found = account(analyses["right"].commands, {("R", "A01"): 1_050_000}).problems
    assert [(p.plate, p.well) for p in found] == [("R", "A01")]
    assert account(analyses["never declared"].commands, {("S", "C07"): 50_000}).problems == []


def test_a_command_that_is_not_followed_is_a_problem() -> None:
    books = account([{"commandType": "sealPipetteToTip", "params": {}}])
    assert "does sealPipetteToTip, which is not followed here" in books.problems[0].message


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(
    st.sampled_from(["commandType", "params", "result"]),
    st.one_of(
        st.sampled_from(["aspirate", "dispense", "loadLabware", "loadPipette", "loadLiquid", "blowout", "moveToWell"]),
        st.none(), st.integers(), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    ),
), max_size=4))  # fmt: skip
def test_nonsense_is_a_problem_and_never_a_crash(commands: list[dict[str, Any]]) -> None:
    books = account(commands)
    assert isinstance(books, Account)
    assert len(books.problems) == len(commands)


def test_the_files_are_python(tmp_path: Path) -> None:
    for body in FILES.values():
        compile(HEAD + body, str(tmp_path), "exec")
