"""Campaigns whose steps come as CSV tables, with labware offsets: simulated, and on an emulated Flex."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hidden_lab import HiddenLab, _done
from small_lab import REAL, device_log, make_lab, nextplate, planned_transfers, run_lab

from drivers.ports import RunLoad
from protocols.model import Protocol
from sim.lab import SimLab
from sim.wire.http_server import HttpServer
from sim.wire.opentrons import OpentronsRobot

pytestmark = [pytest.mark.slow, pytest.mark.opentrons]

DECK = '[deck]\ntables = true\noffsets = "measured/offsets.json"\n'
OFFSETS = [
    {"labware": "corning_96_wellplate_360ul_flat", "slot": "C2", "x_mm": 0.1, "y_mm": 0.0, "z_mm": -0.3},
    {"labware": "corning_96_wellplate_360ul_flat", "slot": "A1", "x_mm": 0.4, "y_mm": 0.0, "z_mm": 0.0},
]


def tables_lab(folder: Path, **values: Any) -> Path:
    lab = make_lab(folder, rounds=1, **values)
    (lab / "measured").mkdir()
    (lab / "measured" / "offsets.json").write_text(json.dumps(OFFSETS))
    return lab


def commands(lab: Path) -> list[dict[str, Any]]:
    """Return every load that was handed over, as the journal has it."""
    from controller.lab import open_lab
    from controller.store import open_store

    with open_store(open_lab(lab).database) as store:
        actions = [event.payload["action"] for event in store.events() if event.kind == "intent"]
    return [a["command"] for a in actions if a.get("device") == "liquid-handler"]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = tables_lab(tmp_path_factory.mktemp("tables") / "lab", assay=DECK)
    body = run_lab(lab)
    assert body["finished"]
    assert not body["faults"]
    return lab


def test_one_file_takes_the_tables_of_all_loads(calm: Path):
    (folder,) = (calm / "protocols").glob("compile-*")
    loads = json.loads((folder / "record.json").read_text())["summary"]["loads"]
    assert {load["file"] for load in loads} == {"any-load.py"}
    assert {load["table"] for load in loads} == {f"load-{n}.csv" for n in range(len(loads))}
    text = (folder / "any-load.py").read_text()
    assert "('C2', 'corning_96_wellplate_360ul_flat', 0.1, 0.0, -0.3)" in text
    assert "'A1'" not in text, "nothing of that kind stands there"
    log = device_log(calm, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(calm)


def test_what_was_proven_is_what_is_handed_over(calm: Path):
    for number, command in enumerate(commands(calm)):
        (path, sha256), (offsets, _) = command["tables"]["steps"], command["offsets"]
        assert path.endswith(f"load-{number}.csv")
        assert len(sha256) == 64
        assert json.loads((calm / offsets).read_text()) == OFFSETS


def test_a_night_without_its_offsets_does_not_begin(tmp_path: Path):
    lab = tables_lab(tmp_path / "lab", assay=DECK)
    (lab / "measured" / "offsets.json").write_text('[{"labware": "no such", "slot": "C2"}]')
    nextplate("run", "--lab", lab, code=2)
    (lab / "measured" / "offsets.json").unlink()
    nextplate("run", "--lab", lab, code=2)
    assert device_log(lab, "mover") == ()


@pytest.mark.long  # tests/protocols/test_render_steps.py proves its tables, and test_one_file_ a lab of them
def test_an_ot2_takes_tables_too(tmp_path: Path):
    ot2 = "".join(
        f'[[device]]\nname = "{kind}"\nkind = "{kind}"\n{robot}'
        for kind, robot in {
            "liquid-handler": 'robot = "ot2"\n',
            "plate-mover": "",
            "incubator": "",
            "imager": "",
        }.items()
    )
    lab = make_lab(tmp_path / "lab", rounds=1, assay="[deck]\ntables = true\n", more=ot2)
    assert run_lab(lab)["finished"]
    log = device_log(lab, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(lab)


class FlexLab(HiddenLab):
    """People and robots, with a Flex on its emulator: the world follows what the emulator has done."""

    def __init__(self, *arguments: Any, flex: OpentronsRobot) -> None:
        super().__init__(*arguments, n_tips=6)
        self._flex = flex
        self.n_done = 0

    def serve(self, sim: SimLab) -> None:
        runs = [run for run in self._flex.book.runs.values() if run.to_json()["status"] == "succeeded"]
        while self.n_done < len(runs):
            (path,) = (self.lab / "protocols").glob("compile-*/protocol.json")
            digest = Protocol.from_json(path.read_text()).digest
            _done(sim, sim.handler, RunLoad(path, None, digest, self.n_done), f"flex-{self.n_done}")
            self.n_done += 1

    def _answer(self, sim: SimLab, request: dict[str, Any]) -> dict[str, Any]:
        self.serve(sim)
        return super()._answer(sim, request)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_night_on_a_flex_over_its_http_api(tmp_path: Path):
    flex = OpentronsRobot("OT-3 Standard")
    flex.pipettes = {"left": flex.pipettes["right"]}
    with HttpServer(flex) as server:
        handler = (
            f'[[device]]\nname = "flex"\nkind = "liquid-handler"\ndriver = "opentrons"\nrobot = "flex"\n'
            f'options = {{ url = "{server.url}", robot = "flex", poll_s = 0.1, analysis_s = 120.0 }}\n'
        )
        devices = REAL[REAL.index('[[device]]\nname = "plate-mover"') :] + handler
        lab = tables_lab(tmp_path / "lab", assay="[assay]\nincubation_h = 0.0\n" + DECK, more=devices)
        people = FlexLab(lab, tmp_path / "world", tmp_path / "vendor-lab", flex=flex)
        people.start()
        body = run_lab(lab)
        people.stop()
        assert body["finished"], body
        assert not body["faults"]
        assert len(flex.shelf.files) == people.n_done == len(commands(lab))
        last = [*flex.book.runs.values()][-1].to_json()
        assert next(offset["vector"]["z"] for offset in last["labwareOffsets"]) == -0.3
        given = [act for act in flex.log.acts if act.what == "dispense"]
        assert len(given) == sum(planned_transfers(lab).values())
    flex.close()
