"""Where an assay plate stops between the deck and the imager, and which tasks take it there.

Without steps of its own ([[assay.step]] in lab.toml) a plate goes from the deck into the incubator, and from there to
the imager. A step is one more stop: a washer, dispenser, shaker or barcode reader, or the incubator once more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

from controller.actions import STEP_VERBS
from controller.recipe.plan import Plan

INCUBATOR, IMAGER = "incubator", "imager"
BENCH: Mapping[str, str] = {
    "washer": "washer",
    "dispenser": "dispenser",
    "shaker": "shaker",
    "barcode-reader": "reader",
}
"""Devices of the bench, each with the place where a plate stands at it."""
_DEVICE_OF: Mapping[str, str] = {
    "run": "liquid-handler run-load",
    "store": "incubator store",
    "fetch": "incubator fetch",
    "acquire": "imager acquire",
}


@dataclass(frozen=True, slots=True)
class Stop:
    """One stand of the assay plate."""

    device: str
    place: str
    """As drivers.ports.Move names it."""
    bring: str
    """The task that brings the plate."""
    tasks: tuple[str, ...]
    """What is done to it there."""
    stay: timedelta = timedelta(0)
    """Time between the end of its first task and the plate's leaving: incubation, or rest."""
    tolerance: timedelta | None = None
    """By how much the plate may leave too late; None: nobody cares."""


def stops(plan: Plan) -> tuple[Stop, ...]:
    """Return the stops of every plate of a campaign, in order; the last one is the imager."""
    return tuple(_stops(plan))


def _stops(plan: Plan) -> Iterator[Stop]:
    steps = list(enumerate(plan.section("assay").get("step", ())))
    before = [_stop(n, step) for n, step in steps if step["before_incubation"]]
    if before:
        yield Stop(before[0].device, before[0].place, "clear", before[0].tasks, before[0].stay)
    yield from before[1:]
    first = "bring" if before else "clear"
    yield Stop(INCUBATOR, INCUBATOR, first, ("store", "fetch"), plan.incubation, plan.tolerance)
    yield from (_stop(n, step) for n, step in steps if not step["before_incubation"])
    yield Stop(IMAGER, IMAGER, "stage", ("acquire",))


def _stop(n: int, step: Mapping[str, Any]) -> Stop:
    device, minutes = step["device"], step["tolerance_min"]
    if device == INCUBATOR:
        tolerance = None if minutes is None else timedelta(minutes=minutes)
        tasks = f"store-{n}", f"fetch-{n}"
        return Stop(device, device, f"carry-{n}", tasks, timedelta(hours=step["hours"]), tolerance)
    return Stop(device, BENCH[device], f"carry-{n}", (f"treat-{n}",), timedelta(minutes=step["rest_min"]))


def plate_tasks(plan: Plan) -> tuple[str, ...]:
    """List the tasks of a plate from the clearing of the deck to the stack of those done."""
    return (*(task for stop in stops(plan) for task in (stop.bring, *stop.tasks)), "unstage")


def kind_of(task: str) -> str:
    """Return what kind of task one is: run of run-0, treat of treat-2."""
    return task.partition("-")[0]


def step_of(plan: Plan, task: str) -> Mapping[str, Any]:
    """Return what lab.toml says of the step that a task does."""
    step: Mapping[str, Any] = plan.section("assay")["step"][int(task.partition("-")[2])]
    return step


def carried(plan: Plan, task: str) -> tuple[Stop, Stop]:
    """Return the stops between which a task carries the plate; not of the one that takes it off the deck."""
    return next((stop, after) for stop, after in pairwise(stops(plan)) if after.bring == task)


def stay_before(plan: Plan, task: str) -> Stop | None:
    """Return the stop whose stay has to be over before a task may begin; None: it waits for none.

    An incubation ends with the fetch; a rest on the bench with what takes the plate away.
    """
    for stop, after in pairwise(stops(plan)):
        if task == (stop.tasks[1] if stop.device == INCUBATOR else after.bring):
            return stop
    return None


def activity_of(plan: Plan, task: str) -> str:
    """Name what a device does in a task, as in "imager acquire"."""
    kind = kind_of(task)
    if kind == "treat":
        device: str = step_of(plan, task)["device"]
        return f"{device} {STEP_VERBS[device]}"
    return _DEVICE_OF.get(kind, "plate-mover move")
