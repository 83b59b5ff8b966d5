"""What every device driver promises, simulated or real (drivers.ports.Device).

A driver joins by adding a rig (tests/support/device_rig.py): how to open it in a folder, a command that works, one
that fails, the keys their results carry, and how to count what physically happened. A driver of another package
joins without a change here: ``NEXTPLATE_RIGS=my_rigs pytest tests/contract`` runs the suite on the mapping
``RIGS`` of the module my_rigs.
"""

import importlib
import json
import os
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from device_rig import Left, Port, Rig
from every_rig import OURS

from drivers.ports import Report, Status
from nextplate.errors import NeedsOperator, Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts", "brisk_sockets")


GUESTS = os.environ.get("NEXTPLATE_RIGS", "")
RIGS: Mapping[str, Rig] = importlib.import_module(GUESTS).RIGS if GUESTS else OURS


def breakable(fault: str) -> pytest.MarkDecorator:
    """Run a test on the rigs that can inject a fault."""
    return pytest.mark.parametrize(
        "rig", [pytest.param(RIGS[n], id=n) for n in sorted(RIGS) if fault in RIGS[n].faults]
    )


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param]


def test_unknown_keys_are_not_found(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    assert port.device.poll("nobody").status is Status.NOT_FOUND
    assert port.device.lookup("nobody").status is Status.NOT_FOUND


def test_submit_returns_at_once(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    before = port.effects()
    port.device.submit(rig.works(tmp_path), "k")
    assert port.effects() == before
    assert port.device.poll("k").status is Status.RUNNING
    port.begin()
    assert port.device.poll("k").status is Status.RUNNING


@pytest.mark.parametrize("rig", [pytest.param(RIGS[n], id=n) for n in sorted(RIGS) if RIGS[n].has_clock])
def test_the_work_ends_when_it_was_said(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    assert port.clock is not None
    now = port.clock.now()
    port.device.submit(rig.works(tmp_path), "k")
    assert port.clock.now() == now
    report = port.device.poll("k")
    assert report.ready_at is not None
    assert report.ready_at > now
    port.clock.wait_until(report.ready_at - timedelta(milliseconds=10))
    assert port.device.poll("k").status is Status.RUNNING
    port.clock.wait_until(report.ready_at)
    assert port.device.poll("k").status is Status.DONE


def test_done_carries_its_result_and_stays_done(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.works(tmp_path), "k")
    report = port.finish("k")
    assert report.status is Status.DONE
    assert set(report.result) == rig.result_keys
    assert json.loads(json.dumps(report.result)) == report.result
    port.work()
    assert port.device.poll("k") == port.device.lookup("k") == report


def test_a_key_acts_once_however_often_it_is_submitted(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    before = port.effects()
    for _ in range(3):
        port.device.submit(rig.works(tmp_path), "k")
    report = port.finish("k")
    n_effects = port.effects() - before
    assert n_effects > 0, report
    port.device.submit(rig.works(tmp_path), "k")
    port.work()
    port.work()
    assert port.device.poll("k") == report
    assert port.effects() - before == n_effects


def test_failed_says_why_and_carries_what_it_left_behind(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.fails(tmp_path), "k")
    report = port.finish("k")
    assert report.status is Status.FAILED
    assert report.message
    assert set(report.result) >= rig.result_keys - {"slot"}
    port.device.submit(rig.works(tmp_path), "k")
    assert port.finish("k") == report


@pytest.fixture(scope="module")
def ran_undisturbed() -> dict[str, tuple[Report, int]]:
    """How the command that works ends when nobody dies, and what it effects, by rig: run once."""
    return {}


@pytest.mark.parametrize("moment", ["before", "accepted", "half-way", "done"])
@pytest.mark.parametrize("name", sorted(RIGS))
def test_a_new_process_finds_the_command_as_it_stands(
    name: str, moment: str, tmp_path: Path, ran_undisturbed: dict[str, tuple[Report, int]]
) -> None:
    rig = RIGS[name]
    if name not in ran_undisturbed:
        undisturbed = rig.open(tmp_path / "undisturbed")
        undisturbed.device.submit(rig.works(tmp_path), "k")
        ran_undisturbed[name] = undisturbed.finish("k"), undisturbed.effects()
    expected, n_effects = ran_undisturbed[name]
    port = rig.open(tmp_path / "disturbed")
    _advance(port, rig.works(tmp_path), moment)
    port.close()
    again = rig.open(tmp_path / "disturbed")
    n_left = again.effects()
    found = again.device.lookup("k")
    is_under_way = moment in ("accepted", "half-way")
    assert found.status in _stands(moment, rig.left), found
    again.device.submit(rig.works(tmp_path), "k")
    report = again.finish("k")
    if is_under_way and rig.left is Left.TOLD:
        assert report.status in (Status.FAILED, Status.UNKNOWN)
        assert report.message
        assert again.effects() == n_left, "nothing is done again, and nothing gone on with"
        return
    assert report == expected
    assert again.effects() == n_effects + (n_left if is_under_way and rig.left is Left.AGAIN else 0)


def _stands(moment: str, left: Left) -> set[Status]:
    """Return what a new process may be told of a command of an earlier one."""
    if moment in ("before", "done"):
        return {Status.NOT_FOUND if moment == "before" else Status.DONE}
    if left is Left.TOLD:
        return {Status.RUNNING, Status.FAILED, Status.UNKNOWN}
    return {Status.NOT_FOUND if left is Left.AGAIN else Status.RUNNING}


def _advance(port: Port, command: Any, moment: str) -> None:
    if moment == "before":
        return
    port.device.submit(command, "k")
    if moment == "half-way":
        port.begin()
    elif moment == "done":
        port.finish("k")


@breakable("reply-lost")
def test_a_lost_reply_leaves_the_command_with_the_device(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    before = port.effects()
    port.faults["reply-lost"]()
    with pytest.raises(Transient):
        port.device.submit(rig.works(tmp_path), "k")
    assert port.device.lookup("k").status is Status.RUNNING
    port.device.submit(rig.works(tmp_path), "k")
    assert port.finish("k").status is Status.DONE
    assert port.effects() > before


@breakable("refused")
def test_a_refused_command_is_not_there_and_may_be_tried_again(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.faults["refused"]()
    with pytest.raises(Transient):
        port.device.submit(rig.works(tmp_path), "k")
    assert port.device.lookup("k").status is Status.NOT_FOUND
    port.repair()
    port.device.submit(rig.works(tmp_path), "k")
    assert port.finish("k").status is Status.DONE


def test_a_busy_device_takes_no_second_command(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.works(tmp_path), "k")
    with pytest.raises(Transient, match="busy"):
        port.device.submit(rig.works(tmp_path), "other")
    assert port.device.lookup("other").status is Status.NOT_FOUND


@breakable("offline")
def test_a_silent_device_is_unknown_not_absent(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.works(tmp_path), "k")
    port.faults["offline"]()
    assert port.device.poll("k").status is Status.UNKNOWN
    assert port.device.lookup("new").status is Status.UNKNOWN
    with pytest.raises(Transient):
        port.device.submit(rig.works(tmp_path), "new")
    port.repair()
    assert port.finish("k").status is Status.DONE


def test_a_foreign_command_is_refused(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    with pytest.raises(NeedsOperator, match="does not take"):
        port.device.submit("make coffee", "k")
    assert port.device.lookup("k").status is Status.NOT_FOUND


def drivers_of_ours() -> dict[str, str]:
    """Return the modules of the drivers that this package announces, by entry point."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    return {name: where.split(":")[0] for name, where in project["entry-points"]["nextplate.drivers"].items()}


EXTRAS = {"sila2": "sila2", "pylabrobot": "pylabrobot"}
"""Drivers that need another package, which may not be installed."""


@pytest.mark.skipif(bool(GUESTS), reason="a guest is on its own")
def test_every_driver_joins_the_suite() -> None:
    lacking = set(drivers_of_ours()) - {rig.driver for rig in OURS.values()}
    assert lacking <= {name for name, package in EXTRAS.items() if find_spec(package) is None}


def driver_of(module: str) -> str:
    """Return whose a module is: the entry point with its name, or with the longest beginning of it; "" for none."""
    names = {where: name for name, where in drivers_of_ours().items()}
    whose = [where for where in names if module == where or module.startswith(f"{where}_")]
    return names[max(whose, key=len)] if whose else ""


@pytest.mark.parametrize(
    ("module", "driver"),
    [
        ("drivers.liconic", "liconic-stx"),
        ("drivers.liconic_words", "liconic-stx"),
        ("drivers.liconic_service_words", "liconic-service"),
        ("drivers.pylabrobot_shaker", "pylabrobot"),
        ("drivers.worker", ""),
        ("sim.wire.liconic", ""),
    ],
)
def test_a_module_is_of_the_driver_with_the_longest_name(module: str, driver: str) -> None:
    assert driver_of(module) == driver


@pytest.mark.parametrize("name", sorted(name for name in RIGS if RIGS[name].driver in drivers_of_ours()))
def test_a_rig_runs_the_driver_that_it_names(name: str, tmp_path: Path) -> None:
    """Its device, or the machine or handler in it, is of the driver's module or of one of its own."""
    found, drivers = [RIGS[name].open(tmp_path).device], set[str]()
    while found:
        part: Any = found.pop()
        drivers.add(driver_of(type(part).__module__))
        found += [getattr(part, inner) for inner in ("_machine", "_handler", "_reader") if hasattr(part, inner)]
    assert RIGS[name].driver in drivers
