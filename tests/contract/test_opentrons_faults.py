"""Every fault of an HTTP wire at every request of a load: it is run once or not at all, and what is told is true."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentrons_rig import PACE, OpentronsLab, written_with_table

from drivers.ports import Status
from sim.wire.faults import Fault, WireFault

pytestmark = [
    pytest.mark.usefixtures("no_power_cuts"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BRISK = replace(PACE, reply_s=1.0, patience_s=2.5, lost_s=2.5, poll_s=0.02, settle_s=0.3)
"""A late answer (0.15 s) is none that is too late; a request that is refused for a while (0.15 s) comes through."""
REQUESTS = {
    "health": "GET /health",
    "instruments": "GET /instruments",
    "list": "GET /runs\n",
    "upload": "POST /protocols\n",
    "analysis": "/analyses/",
    "make": "POST /runs\n",
    "policy": "errorRecoveryPolicy",
    "play": "/actions\n",
    "poll": r"GET /runs/[^/]*\n",
    "commands": r"/commands\?cursor=0",
    "close": "PATCH /runs",
}
KINDS = [kind for kind in WireFault if kind.value in (
    "request-lost", "refused", "reply-lost", "reply-garbled", "reply-cut", "reply-late", "unsolicited", "port-gone",
)]  # fmt: skip
CASES = [(kind, name) for kind in KINDS for name in REQUESTS]
HARMLESS_ONCE = {kind for kind in KINDS if kind.value not in ("reply-garbled", "unsolicited")}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[OpentronsLab]:
    lab = OpentronsLab(tmp_path, pace=BRISK)
    yield lab
    lab.close()


def _case(n: int) -> object:
    kind, name = CASES[n]
    is_quick = n % 19 == 0 or (name == "play" and kind.value in ("reply-lost", "reply-garbled", "port-gone"))
    marks = () if is_quick else (pytest.mark.long,)
    return pytest.param(kind, name, id=f"{kind.value}-{name}", marks=marks)


@pytest.mark.parametrize(("kind", "name"), [_case(n) for n in range(len(CASES))])
def test_a_fault_once(lab: OpentronsLab, kind: WireFault, name: str) -> None:
    data = b'{"data": {"status": "succeeded"}}' if kind.value == "unsolicited" else b""
    lab.server.faults.add(Fault(kind, match=REQUESTS[name], data=data))
    report = lab.run()
    lab.assert_honest(report)
    if kind in HARMLESS_ONCE:
        lab.assert_done_once(report)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if n in (0, 2) else (pytest.mark.long,)) for n, k in enumerate(KINDS)]
)
def test_a_fault_while_the_table_is_sent(lab: OpentronsLab, kind: WireFault) -> None:
    lab.command = written_with_table(lab.protocol, lab.folder / "tables")
    data = b'{"data": {"id": "x y"}}' if kind.value == "unsolicited" else b""
    lab.server.faults.add(Fault(kind, match="POST /dataFiles", data=data))
    report = lab.run()
    lab.assert_honest(report)
    if kind in HARMLESS_ONCE:
        lab.assert_done_once(report)


def test_a_robot_that_knows_no_tables_is_told_of(lab: OpentronsLab) -> None:
    lab.command = written_with_table(lab.protocol, lab.folder / "tables")
    path = lab.command.tables[0].path
    command = replace(lab.command, tables=(replace(lab.command.tables[0], path=path.rename(path.with_suffix(".tsv"))),))
    report = lab.run(command=command)
    assert report.status is Status.FAILED
    assert "Only .csv files are accepted" in report.message
    assert "update it, or leave tables out of [deck]" in report.message
    assert lab.n_plays == 0


@pytest.mark.parametrize("name", [*(pytest.param(n, marks=pytest.mark.long) for n in ("health", "upload")), "make"])
def test_a_fault_for_good_before_the_run(lab: OpentronsLab, name: str) -> None:
    lab.server.faults.add(Fault(WireFault("refused"), match=REQUESTS[name], times=10_000))
    report = lab.run()
    assert report.status is Status.FAILED
    assert "nothing moved" in report.message
    assert lab.n_plays == 0


def test_the_answer_to_play_is_always_lost(lab: OpentronsLab) -> None:
    lab.server.faults.add(Fault(WireFault("reply-lost"), match="/actions\n", times=10_000))
    lab.assert_done_once(lab.run())


def test_play_never_arrives(lab: OpentronsLab) -> None:
    lab.server.faults.add(Fault(WireFault("request-lost"), match="/actions\n", times=10_000))
    report = lab.run()
    assert report.status is Status.FAILED
    assert "could not be started" in report.message
    assert lab.n_plays == 0


def test_the_robot_is_away_for_a_while_in_a_run(lab: OpentronsLab) -> None:
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    lab.server.vanish(0.8)
    lab.assert_done_once(lab.finish())


def test_a_robot_that_is_away_is_told_of_at_once(lab: OpentronsLab) -> None:
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    assert lab.device.poll("k").message == ""
    lab.server.vanish()
    lab.wait(lambda: lab.device.poll("k").message)
    report = lab.device.poll("k")
    assert report.status is Status.RUNNING
    assert "goes on or not, and is asked for" in report.message
    lab.server.appear()
    lab.wait(lambda: not lab.device.poll("k").message)
    lab.assert_done_once(lab.finish())


def test_the_robot_is_away_for_good_and_comes_back_to_be_asked_again(lab: OpentronsLab) -> None:
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    lab.server.vanish()
    assert lab.finish().status is Status.UNKNOWN
    lab.assert_honest(lab.device.poll("k"))
    lab.server.appear()


@pytest.mark.long
def test_noise_in_every_third_answer(lab: OpentronsLab) -> None:
    for n in range(3, 150, 3):
        lab.server.faults.add(Fault(WireFault("reply-garbled"), nth=n))
    lab.assert_honest(lab.run())
