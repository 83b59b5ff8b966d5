"""What an action is made from: the state, the plan, and the outcomes before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.actions import Compute, Note, Operate
from controller.recipe.order import accepted_rounds, judged_task
from controller.recipe.plan import Plan
from controller.state import LabState, Outcome

Built = Compute | Operate | Note
"""What a task is."""


@dataclass(frozen=True, slots=True)
class Context:
    """One task of one round, and all it may look at."""

    state: LabState
    plan: Plan
    task: str
    round: int
    load: int
    """Which deck load; 0 for other tasks."""

    @property
    def key(self) -> str:
        """The task's latest key."""
        return self.state.latest_key(self.task, self.round)

    def file(self, task: str, name: str, round_number: int | None = None) -> str:
        """Path of a file that an earlier task wrote."""
        outcome = self.outcome(task, round_number)
        return f"{outcome.result['folder']}/{name}"

    def outcome(self, task: str, round_number: int | None = None) -> Outcome:
        """Return what an earlier task came to.

        Raises:
            LookupError: it has no outcome yet.
        """
        found = self.state.outcome(task, self.round if round_number is None else round_number)
        if found is None:
            raise LookupError(f"{task} of round {self.round} has no outcome yet")
        return found

    def compute(self, inputs: Mapping[str, str], params: Mapping[str, Any]) -> Compute:
        """Make the task a step."""
        return Compute(self.key, self.task, self.round, self.task, inputs, params)

    def operate(self, device: str, command: Mapping[str, Any]) -> Operate:
        """Make the task a command to a device."""
        return Operate(self.key, self.task, self.round, device, command, self._unit(device))

    def _unit(self, device: str) -> str:
        """Say which device of a kind is meant: the other one, after somebody said so about the try before."""
        before = self.state.tries(self.task, self.round)[-2:-1]
        fault = self.state.faults.get(before[0]) if before else None
        if fault is None or fault.answer != "other-device":
            return ""
        return "" if self.state.intents[fault.key].action.get("unit") else stand_in(self.plan, device)

    @property
    def barcode(self) -> str:
        """The assay plate's barcode."""
        return barcode_of(self.state, self.plan, self.round)


def stand_in(plan: Plan, device: str) -> str:
    """Name the device that stands in for the first of its kind; "": none does."""
    names = [d["name"] for d in plan.settings.get("device", ()) if d["kind"] == device and d.get("stands_in")]
    return f"{device}:{names[0]}" if names else ""


def barcode_of(state: LabState, plan: Plan, round_number: int) -> str:
    """Return the assay plate's barcode: given once, by the layout task, counting plates of the whole lab."""
    given = state.intents.get(state.latest_key("layout", round_number))
    if given is not None:
        barcode: str = given.action["params"]["barcode"]
        return barcode
    used = {i.action["params"]["barcode"] for i in state.intents.values() if i.task == "layout"}
    return f"{plan.section('plate')['barcode_prefix']}-{len(used) + 1:04d}"


def responses(c: Context) -> dict[str, str]:
    """Name the responses of the earlier plates that count, as inputs."""
    rounds = accepted_rounds(c.state, c.round)
    return {f"responses-{r}": c.file(judged_task(c.state, r), "responses.parquet", r) for r in rounds}


def seeded(c: Context, purpose: str) -> dict[str, Any]:
    """Return the parameters that a step derives its random stream from."""
    return {"seed": c.plan.seed, "round": c.round, "purpose": purpose}
