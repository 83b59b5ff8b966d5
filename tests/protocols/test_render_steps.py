"""Strokes, kept tips, mixes, dilutions, carried plates, tables, offsets: rendered and proven in the vendor's engine."""

import ast
import csv
import io
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import DataError, PlanError, StepError
from protocols.analyze import analyze, analyze_many, compare
from protocols.compile import TipPolicy
from protocols.model import DeckLoad, Mix, PlateMove, Protocol, Transfer
from protocols.offsets import Offset, read_offsets, run_offsets
from protocols.render import render, render_for_csv
from protocols.render_csv import steps_csv
from tests.protocols.test_render import table
from tests.support.orders_lab import dose_lab
from tests.support.protocol_lab import NASTY, SmallLab
from tests.support.right_protocols import right_protocol

pytestmark = pytest.mark.opentrons
ALLOWED = {
    "protocol.load_labware", "protocol.load_trash_bin", "protocol.load_instrument", "protocol.delay",
    "protocol.move_labware", "pipette.configure_for_volume", "pipette.pick_up_tip", "pipette.mix", "pipette.aspirate",
    "pipette.dispense", "pipette.drop_tip", "labware[slot].set_offset", "kinds.get",
}  # fmt: skip


def proven(folder: Path, protocols: Sequence[Protocol], offsets: Sequence[Offset] = ()) -> list[str]:
    """Render every load, run all files through the engine at once, and return every difference."""
    files, plans = [], []
    for p, protocol in enumerate(protocols):
        for load in protocol.loads:
            files.append(folder / f"p{p}-{load.index}.py")
            files[-1].write_text(render(protocol, load.index, offsets=offsets))
            plans.append((protocol, load.index))
    found = analyze_many(files, timeout_s=400.0)
    return [
        f"{analysis.path.name}: {problem}"
        for analysis, (protocol, index) in zip(found, plans, strict=True)
        for problem in compare(analysis, protocol, index, offsets=offsets)
    ]


def doses(robot: str = "flex", policy: TipPolicy = TipPolicy.KEEP) -> Protocol:
    lab = dose_lab(12, (10.0, 1.0, 0.05), robot=robot, has_eight=True)
    lab.rules = replace(lab.rules, tip_policy=policy)
    return lab.compiled().protocol


@pytest.mark.parametrize("robot", ["flex", "ot2"])
def test_doses_with_dilutions_columns_and_kept_tips_are_done_as_planned(robot: str, tmp_path: Path):
    protocol = doses(robot)
    assert any(isinstance(step, Mix) for step in protocol.steps)
    assert any(t.stroke for t in protocol.transfers)
    assert len({(t.tip_rack, t.tip_well) for t in protocol.transfers}) < len(protocol.transfers)
    assert proven(tmp_path, [protocol]) == []


@pytest.mark.parametrize(
    ("robot", "seeds"),
    [
        *[(robot, range(4)) for robot in ("flex", "ot2")],
        *[pytest.param(robot, range(4, 100), marks=pytest.mark.long) for robot in ("flex", "ot2")],
    ],
)
def test_right_protocols_of_one_robot_are_done_as_planned(robot: str, seeds: range, tmp_path: Path):
    assert proven(tmp_path, [right_protocol(seed, robot_name=robot)[0] for seed in seeds]) == []


def test_a_table_given_at_run_time_does_what_the_plan_says_and_only_that(tmp_path: Path):
    protocol = doses()
    file, good, bad = (tmp_path / name for name in ("any-night.py", "steps.csv", "bad.csv"))
    file.write_text(render_for_csv(protocol))
    good.write_text(steps_csv(protocol, 0))
    analysis = analyze(file, tables={"steps": good})
    assert compare(analysis, protocol, 0) == []
    rows = good.read_text().splitlines()
    for change, words in (
        (rows[:-1], "it was cut or added to"),
        ([*rows[:-1], rows[-1].replace(",one,", ",eight,", 1)], "the table was changed"),
        (rows[1:], "this is no table"),
    ):
        bad.write_text("\n".join(change) + "\n")
        refused = analyze(file, tables={"steps": bad})
        assert not refused.is_ok
        assert words in " ".join(refused.errors)
        assert not [c for c in refused.commands if c["commandType"] in ("aspirate", "pickUpTip")]


def test_offsets_are_set_for_the_labware_they_are_of(tmp_path: Path):
    protocol = doses()
    item = protocol.loads[0].deck[0]
    offsets = (Offset(item.labware, item.slot, 0.1, -0.2, 0.3), Offset(item.labware, "A2", 1.0, 1.0, 1.0))
    assert proven(tmp_path, [protocol], offsets[:1]) == []
    (tmp_path / "p.py").write_text(render(protocol, 0, offsets=offsets[:1]))
    analysis = analyze(tmp_path / "p.py")
    assert [p for p in compare(analysis, protocol, 0) if "sets the offset" in p]
    (made,) = run_offsets(analysis.labware, offsets[:1])
    assert made.body()["vector"] == {"x": 0.1, "y": -0.2, "z": 0.3}
    assert made.definition_uri.startswith(f"opentrons/{item.labware}/")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "not JSON"),
        ("{}", "offsets are a list"),
        ('[{"labware": "x"}]', "does not have exactly the fields"),
        ('[{"labware":"nope","slot":"C2","x_mm":0,"y_mm":0,"z_mm":0}]', "labware 'nope' is not known"),
        ('[{"labware":"corning_384_wellplate_112ul_flat","slot":"C2","x_mm":0,"y_mm":0,"z_mm":99}]', "z_mm is 99"),
        ('[{"labware":"corning_384_wellplate_112ul_flat","slot":"C2","x_mm":NaN,"y_mm":0,"z_mm":0}]', "x_mm is nan"),
        (
            '[{"labware":"corning_384_wellplate_112ul_flat","slot":"c2","x_mm":0.1,"y_mm":0,"z_mm":0}]',
            "o.json, offset 1: the flex has no slot 'c2' for labware; it has A1, A2, B1, B2",
        ),
    ],
)
def test_offsets_that_cannot_be_are_refused_with_their_place(tmp_path: Path, body: str, says: str):
    (tmp_path / "o.json").write_text(body)
    with pytest.raises(DataError, match=says):
        read_offsets(tmp_path / "o.json", "flex")


def test_any_change_of_the_plan_is_seen_in_the_file_that_was_made_before(tmp_path: Path):
    protocol = doses()
    (tmp_path / "p.py").write_text(render(protocol, 0))
    analysis = analyze(tmp_path / "p.py")
    rng = random.Random(3)
    load = protocol.loads[0]
    for _ in range(40):
        at = rng.randrange(len(load.steps))
        changed = changed_step(load.steps[at], rng)
        steps = [*load.steps[:at], *([changed] if changed else []), *load.steps[at + 1 :]]
        other = replace(protocol, loads=(DeckLoad(0, load.deck, tuple(steps)), *protocol.loads[1:]))
        assert compare(analysis, other, 0), f"{load.steps[at]} became {changed}"


def changed_step(step: object, rng: random.Random) -> object:
    """Change a step in one way, or leave it out (None)."""
    if isinstance(step, Mix):
        return rng.choice([replace(step, cycles=step.cycles + 1), replace(step, volume_nl=step.volume_nl + 100), None])
    assert isinstance(step, Transfer)
    other = "B05" if step.destination_well != "B05" else "C05"
    ways = [
        replace(step, volume_nl=step.volume_nl + 1),
        replace(step, destination_well=other),
        replace(step, source_well=other if step.source_well != other else "D07"),
        replace(step, tip_well="H12" if step.tip_well != "H12" else "H11"),
        None,
    ]
    return rng.choice(ways)


@given(st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=60)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_whatever_a_compound_is_called_the_file_does_nothing_but_its_table(names: list[str]):
    protocol = doses()
    load = protocol.loads[0]
    steps = tuple(
        replace(step, compound_id=names[i % len(names)] or "x") if isinstance(step, Transfer) else step
        for i, step in enumerate(load.steps)
    )
    text = render(replace(protocol, name=names[0], loads=(DeckLoad(0, load.deck, steps),)), 0)
    assert text.isascii()
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert calls <= ALLOWED
    assert {type(node) for node in ast.parse(text).body} == {ast.Expr, ast.Assign, ast.FunctionDef}
    assert len(table(text, "STEPS")) <= len(steps)


@given(st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=40)), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_names_in_a_table_come_back_as_they_were_and_are_no_formula(names: list[str]):
    protocol = SmallLab("flex", tuple(dict.fromkeys(name or "x" for name in names))).protocol()
    text = steps_csv(protocol, 0)
    assert text.isascii()
    rows = list(csv.reader(io.StringIO(text)))
    liquids = [row[-1] for row in rows if row[0] == "transfer"]
    assert [liquid.encode("ascii").decode("unicode_escape") for liquid in liquids] == [
        t.compound_id for t in protocol.transfers
    ]
    assert not [cell for row in rows[1:] for cell in row if cell[:1] in ("=", "+", "-", "@") and cell in liquids]


def test_a_plate_is_carried_by_the_gripper_where_there_is_one(tmp_path: Path):
    protocol = right_protocol(1, robot_name="flex")[0]
    load = protocol.loads[0]
    item = load.deck[0]
    move = PlateMove(9_999, item.barcode, f"deck/{item.slot}", "deck/D4")
    carried = replace(protocol, loads=(DeckLoad(0, load.deck, (*load.steps, move)),))
    assert proven(tmp_path, [carried]) == []
    on_ot2 = replace(doses("ot2"), loads=(DeckLoad(0, doses("ot2").loads[0].deck, (move,)),))
    with pytest.raises(PlanError, match=r"step 9999 cannot be rendered .*give the step to the plate mover"):
        render(on_ot2, 0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "nothing", "cannot start"),
        (lambda folder: _script(folder, "#!/bin/sh\nexit 7\n"), "opentrons"),
        (lambda folder: _script(folder, f"#!/bin/sh\nexec {json.dumps('/usr/bin/env')} sleep 60\n"), "took over"),
    ],
    ids=["missing", "fails", "hangs"],
)
def test_an_interpreter_that_cannot_do_it_ends_in_one_clear_error(tmp_path: Path, make, says: str):
    (tmp_path / "p.py").write_text(render(SmallLab("flex").protocol(), 0))
    with pytest.raises(StepError, match=says):
        analyze(tmp_path / "p.py", make(tmp_path), timeout_s=1.0)


def _script(folder: Path, text: str) -> Path:
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return path
