"""The parsers of the Opentrons driver on the emulated robot's answers and 10,000 mutations of each: all is doubted."""

import json
import random
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentrons_rig import OpentronsLab

from drivers import opentrons_words as words
from drivers.deadline import Deadline
from drivers.http_body import Body, as_json
from drivers.http_wire import Answer, HttpWire
from drivers.opentrons_checks import Planned, read_planned, require_analysis
from drivers.opentrons_memory import Intent, Intents
from drivers.opentrons_record import policy, report_of
from drivers.opentrons_words import Run
from drivers.ports import Status
from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
N = 10_000
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**70, 1e308, "", "x", "succeeded", "failed", "stopped", "idle", "running", "ok",
    "completed", "closed", "disengaged", "left", "../..", "\u00b5" * 400, "a\r\nb", [], {}, [[]], {"a": 1}, 0.5,
)  # fmt: skip


class RecordingWire(HttpWire):
    """Keeps what the robot answered."""

    def __init__(self, url: str, *, kept: list[tuple[str, Any]], **more: Any) -> None:
        super().__init__(url, **more)
        self._kept = kept

    def request(
        self, method: str, target: str, until: Deadline, body: Body | None = None, headers: Any = None
    ) -> Answer:
        answer = super().request(method, target, until, body, headers)
        self._kept.append((f"{method} {target}", answer.json()))
        return answer


@dataclass
class Recorded:
    """What a robot answered in two loads, one of which failed at its third tip."""

    planned: Planned
    answers: list[tuple[str, Any]] = field(repr=False)
    whole: tuple[Run, tuple[Mapping[str, Any], ...]] = field(repr=False)
    failed: tuple[Run, tuple[Mapping[str, Any], ...]] = field(repr=False)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    lab = OpentronsLab(tmp_path_factory.mktemp("words"))
    lab.device.close()
    kept: list[tuple[str, Any]] = []
    lab.open(RecordingWire, kept=kept)
    assert lab.run("whole").status is Status.DONE
    whole = _record(kept)
    lab.robot.mechanics.tips_to_miss = {len(lab.protocol.transfers) + 3}
    assert lab.run("failed").status is Status.FAILED
    lab.close()
    return Recorded(read_planned(lab.command, needs_file=True), kept, whole, _record(kept))


def _record(kept: list[tuple[str, Any]]) -> tuple[Run, tuple[Mapping[str, Any], ...]]:
    listed = next(body for asked, body in reversed(kept) if "/commands?cursor=0" in asked)
    results = {body["data"]["id"]: body["data"] for asked, body in kept if "/commands/" in asked}
    commands = tuple(results.get(command["id"], command) for command in listed["data"])
    asked = next(a for a, _ in reversed(kept) if "/commands?cursor=0" in a).split("/")[2]
    runs = (words.run(body) for a, body in reversed(kept) if a == f"GET /runs/{asked}")
    return next(run for run in runs if run.is_ended), commands


def mutated(value: Any, rng: random.Random) -> Any:
    """Return a value with one thing different somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name, copy, how = rng.choice(list(value)), dict(value), rng.random()
        if how < 0.08:
            del copy[name]
        elif how < 0.14:
            copy[f"{name}x"] = copy.pop(name)
        else:
            copy[name] = mutated(value[name], rng)
        return copy
    if isinstance(value, list | tuple) and value and rng.random() < 0.9:
        at, items, how = rng.randrange(len(value)), list(value), rng.random()
        if how < 0.1:
            del items[at]
        elif how < 0.2:
            items.insert(rng.randrange(len(items)), items[at])
        else:
            items[at] = mutated(items[at], rng)
        return items
    return rng.choice(ODD)


PARSERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "health": ("GET /health", words.health),
    "instruments": ("GET /instruments", words.instruments),
    "door": ("GET /robot/door", words.door),
    "e-stop": ("GET /robot/control", words.emergency_stop),
    "runs": ("GET /runs$", words.run_list),
    "run": ("GET /runs/[^/]*$", words.run),
    "stored": ("POST /protocols$", words.stored),
    "page": (".*commands.cursor=0", lambda body: words.page(body, 0)),
}


def _body(recorded: Recorded, name: str) -> Any:
    begin = PARSERS[name][0]
    return next(body for asked, body in reversed(recorded.answers) if re.match(begin, asked))


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_mutated_answers(recorded: Recorded, name: str) -> None:
    parse, body, rng = PARSERS[name][1], _body(recorded, name), random.Random(name)
    assert parse(body) is not None
    n_believed = 0
    for _ in range(N):
        with suppress(Garbled):
            parse(mutated(mutated(body, rng) if rng.random() < 0.3 else body, rng))
            n_believed += 1
    assert 0 < n_believed < N
    raw = json.dumps(body).encode()
    for _ in range(N // 10):
        noise = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            noise[rng.randrange(len(noise))] = rng.randrange(256)
        with suppress(Garbled):
            parse(as_json(bytes(noise), "GET /x"))


def test_words_of_errors(recorded: Recorded) -> None:
    both = [b'{"errors": [{"id": "RunNotIdle", "title": "t", "detail": "wait", "errorCode": "4000"}]}']
    both += [b'{"message": "no such thing", "errorCode": "4000"}']
    assert [words.refusal(body) for body in both] == ["RunNotIdle: wait", "no such thing"]
    assert words.refusal_ids(both[0]) == {"RunNotIdle"}
    assert words.refusal(b"<html>\xff") == "<html>\\ufffd"
    rng = random.Random(3)
    for _ in range(N):
        raw = json.dumps(mutated(json.loads(rng.choice(both)), rng)).encode()
        assert isinstance(words.refusal(raw), str)
        assert isinstance(words.refusal_ids(raw), frozenset)


def test_what_the_records_say(recorded: Recorded) -> None:
    load = recorded.planned.load
    planned = [[t.transfer_id, t.volume_nl] for t in load.transfers]
    done, failed = report_of(*recorded.whole, load), report_of(*recorded.failed, load)
    assert (done.status, done.result) == (Status.DONE, {"transfers": planned})
    assert (failed.status, failed.result["transfers"]) == (Status.FAILED, planned[:2])
    assert "tipPhysicallyMissing" in failed.message


def _odd(commands: tuple[Mapping[str, Any], ...], rng: random.Random) -> list[Any]:
    """Change a list of commands so that words.page still takes it."""
    while True:
        changed = mutated(commands, rng)
        if isinstance(changed, list) and all(isinstance(command, dict) for command in changed):
            return changed


@pytest.mark.parametrize("n", [2_000, pytest.param(N, marks=pytest.mark.long)])
def test_a_mutated_record_is_never_a_wrong_success(recorded: Recorded, n: int) -> None:
    load, rng = recorded.planned.load, random.Random(n)
    planned = [[t.transfer_id, t.volume_nl] for t in load.transfers]
    (ended, commands), (_, failed) = recorded.whole, recorded.failed
    for k in range(n):
        report = report_of(ended, _odd(commands, rng), load)
        assert report.status is not Status.DONE or report.result == {"transfers": planned}
        told = [pair for pair in report.result.get("transfers", []) if pair[1]]
        assert all(pair in planned for pair in told)
        run = ended if k % 2 else recorded.failed[0]  # a status that lies is contradicted by the commands
        assert report_of(run, _odd(failed, rng), load).status is not Status.DONE
        assert report_of(run, commands[: rng.randrange(len(commands) - 3)], load).status is not Status.DONE


@pytest.mark.parametrize("n", [500, pytest.param(N, marks=pytest.mark.long)])
def test_a_mutated_analysis_of_another_plan_is_never_accepted(recorded: Recorded, n: int) -> None:
    body = next(body for asked, body in recorded.answers if "/analyses/" in asked)
    stored = words.stored(_body(recorded, "stored"))
    analysis_id = body["data"]["id"]
    found = words.analysis(body, analysis_id)
    assert found is not None
    require_analysis(found, stored, recorded.planned)
    commands = [c for c in body["data"]["commands"] if c["commandType"] != "dispense"]
    other = {"data": {**body["data"], "commands": commands}}
    rng = random.Random(n)
    for _ in range(n):
        with suppress(Garbled):
            odd = (
                mutated(other, rng)
                if rng.random() < 0.2
                else {"data": {**other["data"], "commands": mutated(commands, rng)}}
            )
            if (said := words.analysis(odd, analysis_id)) is not None:
                with pytest.raises(NeedsOperator):
                    require_analysis(said, stored, recorded.planned)
    with pytest.raises(Garbled):
        words.analysis(body, "another")


RUN = {"id": "r1", "status": "idle", "current": True, "actions": [], "protocolId": "p1"}


@pytest.mark.parametrize(
    ("changes", "was_played", "is_ended"),
    [
        ({}, False, False),
        ({"status": "stopped"}, False, True),
        ({"status": "warming-up"}, False, False),
        ({"status": "running"}, True, False),
        ({"actions": [{"actionType": "play"}]}, True, False),
        ({"actions": [{"actionType": "pause"}]}, False, False),
        ({"status": "succeeded"}, True, True),
        ({"status": "awaiting-recovery"}, True, False),
    ],
)
def test_what_a_run_says_of_itself(changes: dict[str, Any], was_played: bool, is_ended: bool) -> None:
    run = words.run({"data": {**RUN, **changes}}, "r1")
    assert (run.was_played, run.is_ended) == (was_played, is_ended)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../x"},
        {"id": "r2"},
        {"actions": None},
        {"actions": [1]},
        {"current": 1},
        {"status": None},
        {"ok": "yes"},
    ],
)
def test_a_run_that_is_not_believed(changes: dict[str, Any]) -> None:
    with pytest.raises(Garbled):
        words.run({"data": {**RUN, **changes}}, "r1")
    with pytest.raises(Garbled):
        words.run({"data": {name: value for name, value in RUN.items() if name != "actions"}}, "r1")


def test_a_record_that_is_lost_is_unknown(recorded: Recorded) -> None:
    lost = words.run({"data": {**RUN, "status": "succeeded", "ok": False, "dataError": {"id": "RunDataError"}}})
    assert report_of(lost, recorded.whole[1], recorded.planned.load).status is Status.UNKNOWN
    assert report_of(recorded.whole[0], (), recorded.planned.load).status is Status.UNKNOWN


def test_the_current_run_is_named_twice_the_same() -> None:
    body = {"data": [RUN], "links": {"current": {"href": "/runs/r1"}}, "meta": {"cursor": 0, "totalLength": 1}}
    assert words.run_list(body).current == "r1"
    wrong: list[dict[str, Any]] = [{"links": {}}, {"links": {"current": {"href": "/runs/r2"}}}, {"data": [RUN, RUN]}]
    for changes in [*wrong, {"data": []}, {"meta": {"totalLength": 2}}]:
        with pytest.raises(Garbled):
            words.run_list({**body, **changes})


def test_the_policy_names_every_pair_once() -> None:
    pairs = [json.dumps(rule["matchCriteria"], sort_keys=True) for rule in policy()]
    assert len(set(pairs)) == len(pairs)
    assert all(rule["ifMatch"] == "failRun" for rule in policy())


def test_intents(tmp_path: Path) -> None:
    intents = Intents(tmp_path / "memory")
    intents.prepare()
    lab_id = intents.lab_id
    intents.prepare()
    assert intents.lab_id == lab_id
    assert intents.of("k/1") is None
    intent = Intent("k/1", "p1", "r1", is_playing=True)
    intents.note(intent)
    assert intents.of("k/1") == intent
    assert intents.protocols() == {"p1"}
    (path,) = (tmp_path / "memory" / "runs").glob("*.json")
    rng, raw = random.Random(4), path.read_bytes()
    for _ in range(300):
        noise = bytearray(raw)
        noise[rng.randrange(len(noise))] = rng.randrange(256)
        path.write_bytes(bytes(noise))
        with suppress(NeedsOperator):
            assert isinstance(intents.of("k/1"), Intent)
    (tmp_path / "memory" / "lab-id").write_text("mine")
    with pytest.raises(NeedsOperator, match="changed"):
        assert intents.lab_id
