"""The recipe of a round: which tasks, in which order, and the action that each one is.

A round is a chain of tasks. Tasks up to ``approve`` compute a checked protocol; then each deck load is set by
the plate mover and pipetted; the plate incubates, is imaged and measured; ``evaluate`` compares what was
predicted with what was found. After the last round a closing chain fits once more, so that the campaign ends
with beliefs that know every plate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from controller.actions import Compute, Note, Operate, load_command, moves_command, plate_command
from controller.deck import clear_deck, set_deck
from controller.state import LabState, Outcome
from drivers.ports import Move
from nextplate.errors import PlanError

BELIEF = ("fit", "calibrate")
PLANNING = ("pick", "layout", "compile", "check", "approve")
AFTER_LOADS = ("clear", "store", "fetch", "stage", "acquire", "unstage", "measure", "normalise")

WITH_PLATE = frozenset((*AFTER_LOADS, "admit", "evaluate"))
"""Tasks, beside the loads, after whose failure the assay plate can be given up and the campaign go on."""

Built = Compute | Operate | Note


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings a campaign was started with, as decide needs them."""

    name: str
    seed: int
    rounds: int
    settings: Mapping[str, Any]
    """The JSON form of controller.settings.Settings."""

    def section(self, name: str) -> Mapping[str, Any]:
        """Return one table of the settings."""
        table: Mapping[str, Any] = self.settings[name]
        return table

    @property
    def incubation(self) -> timedelta:
        """Time between the plate's entry into the incubator and its fetch."""
        return timedelta(hours=self.section("assay")["incubation_h"])


def plan_of(state: LabState) -> Plan:
    """Return the plan of the state's campaign, by the settings it was started with.

    Raises:
        PlanError: there is none.
    """
    if state.campaign is None:
        raise PlanError("no campaign has been started; start one with: nextplate run")
    c = state.campaign
    return Plan(c.name, c.seed, c.rounds, c.settings)


def chain(state: LabState, plan: Plan, round_number: int) -> tuple[str, ...]:
    """List a round's tasks in order; the deck loads appear once the protocol is compiled."""
    belief = BELIEF if accepted_rounds(state, round_number) else ()
    if round_number >= plan.rounds:
        return belief
    compiled = state.outcome("compile", round_number)
    if compiled is None or not compiled.is_done:
        return belief + PLANNING
    loads = tuple(t for k in range(len(compiled.result["summary"]["loads"])) for t in (f"deck-{k}", f"run-{k}"))
    admit = ("admit",) if _is_admitted(state, round_number) else ()
    return _until_lost(state, round_number, belief + PLANNING + loads + AFTER_LOADS + admit + ("evaluate",))


def _until_lost(state: LabState, round_number: int, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """End a round with the task at which its plate was given up."""
    answers = (state.faults.get(state.latest_key(t, round_number)) for t in tasks)
    lost = next((n for n, f in enumerate(answers) if f is not None and f.answer == "lose-plate"), None)
    return tasks if lost is None else tasks[: lost + 1]


def _is_admitted(state: LabState, round_number: int) -> bool:
    """Tell whether somebody said to use a plate that failed: its responses are then made once more, with that word."""
    fault = state.faults.get(state.latest_key("normalise", round_number))
    return fault is not None and fault.answer == "use"


def judged_task(state: LabState, round_number: int) -> str:
    """Name the task whose responses of a round hold."""
    return "admit" if state.outcome("admit", round_number) else "normalise"


def is_past(state: LabState, task: str, round_number: int) -> bool:
    """Tell whether a task is over: done, or failed and accepted by a person or the policy."""
    if task == "approve":
        approval = state.approvals.get(round_number)
        return approval is not None and approval.is_approved
    outcome = state.outcome(task, round_number)
    if outcome is None:
        return False
    fault = state.faults.get(outcome.key)
    return fault.answer is not None if fault else not needs_word(task, outcome)


def needs_word(task: str, outcome: Outcome) -> bool:
    """Tell whether an outcome cannot be gone past without somebody's word."""
    return not outcome.is_done or (task == "normalise" and not outcome.result["summary"]["passed"])


def current(state: LabState, plan: Plan) -> tuple[int, str] | None:
    """Find the first task that is not over, as (round, task); None when the campaign is through."""
    for round_number in range(plan.rounds + 1):
        for task in chain(state, plan, round_number):
            if not is_past(state, task, round_number):
                return round_number, task
    return None


def not_before(state: LabState, plan: Plan, task: str, round_number: int) -> datetime | None:
    """Tell the earliest time a task may start; None: at once."""
    if task != "fetch":
        return None
    stored = state.outcome("store", round_number)
    return stored.time + plan.incubation if stored else None


def build(state: LabState, plan: Plan, task: str, round_number: int) -> Built:
    """Make the action that a task is, from the outcomes before it."""
    kind, _, number = task.partition("-")
    builder = _BUILDERS[kind]
    return builder(_Context(state, plan, task, round_number, int(number or 0)))


@dataclass(frozen=True, slots=True)
class _Context:
    state: LabState
    plan: Plan
    task: str
    round: int
    load: int

    @property
    def key(self) -> str:
        return self.state.latest_key(self.task, self.round)

    def file(self, task: str, name: str, round_number: int | None = None) -> str:
        """Path of a file that an earlier task wrote."""
        outcome = self.outcome(task, round_number)
        return f"{outcome.result['folder']}/{name}"

    def outcome(self, task: str, round_number: int | None = None) -> Outcome:
        found = self.state.outcome(task, self.round if round_number is None else round_number)
        if found is None:
            raise LookupError(f"{task} of round {self.round} has no outcome yet")
        return found

    def compute(self, inputs: Mapping[str, str], params: Mapping[str, Any]) -> Compute:
        return Compute(self.key, self.task, self.round, self.task, inputs, params)

    def operate(self, device: str, command: Mapping[str, Any]) -> Operate:
        return Operate(self.key, self.task, self.round, device, command)

    @property
    def barcode(self) -> str:
        return barcode_of(self.state, self.plan, self.round)


def barcode_of(state: LabState, plan: Plan, round_number: int) -> str:
    """Return the assay plate's barcode: given once, by the layout task, counting plates of the whole lab."""
    given = state.intents.get(state.latest_key("layout", round_number))
    if given is not None:
        barcode: str = given.action["params"]["barcode"]
        return barcode
    used = {i.action["params"]["barcode"] for i in state.intents.values() if i.task == "layout"}
    return f"{plan.section('plate')['barcode_prefix']}-{len(used) + 1:04d}"


def accepted_rounds(state: LabState, before: int) -> tuple[int, ...]:
    """List the earlier rounds whose plate counts: it passed, or somebody said to use it."""
    return tuple(r for r in range(before) if _counts(state, r))


def _counts(state: LabState, round_number: int) -> bool:
    outcome = state.outcome(judged_task(state, round_number), round_number)
    if outcome is None or not outcome.is_done:
        return False
    return outcome.result["summary"]["passed"] or _is_admitted(state, round_number)


def _responses(c: _Context) -> dict[str, str]:
    rounds = accepted_rounds(c.state, c.round)
    return {f"responses-{r}": c.file(judged_task(c.state, r), "responses.parquet", r) for r in rounds}


def _seed(c: _Context, purpose: str) -> dict[str, Any]:
    return {"seed": c.plan.seed, "round": c.round, "purpose": purpose}


def _fit(c: _Context) -> Built:
    params = {**_seed(c, "fit"), **c.plan.section("belief")}
    return c.compute({"library": "@library", **_responses(c)}, params)


def deployed_round(state: LabState, up_to: int) -> int | None:
    """Return the round whose belief is in use in a round: the last that passed its gates and was not rolled back.

    Where none has passed, the last one all the same: some belief has to choose, and its gates tell what it lacks.
    None while nothing is calibrated.
    """
    known = [r for r in range(up_to + 1) if r not in state.withdrawn and _is_calibrated(state, r)]
    return max([r for r in known if has_passed(state, r)] or known, default=None)


def has_passed(state: LabState, round_number: int) -> bool:
    """Tell whether a calibrated belief passed its gates; those of before there were gates did."""
    outcome = state.outcome("calibrate", round_number)
    return outcome is not None and bool(outcome.result["summary"].get("is_deployed", True))


def _is_calibrated(state: LabState, round_number: int) -> bool:
    outcome = state.outcome("calibrate", round_number)
    return outcome is not None and outcome.is_done


def _calibrate(c: _Context) -> Built:
    inputs = {"library": "@library", "fitted": c.outcome("fit").result["folder"]}
    if (deployed := deployed_round(c.state, c.round - 1)) is not None:
        inputs["deployed"] = c.outcome("fit", deployed).result["folder"]
    plate = c.plan.section("plate")
    params = {
        "confidence": c.plan.section("belief")["confidence"],
        "threshold": c.plan.section("assay")["hit_threshold"],
        "n_picks": plate["wells"] - plate["n_negative"] - plate["n_positive"],
        "beta": c.plan.section("picking")["beta"],
    }
    return c.compute({**inputs, **_met(c)}, params)


def _met(c: _Context) -> dict[str, str]:
    """What was predicted before earlier plates that count, and measured on them."""
    judged = {r: c.state.outcome("evaluate", r) for r in accepted_rounds(c.state, c.round)}
    return {f"met-{r}": o.result["folder"] for r, o in judged.items() if o is not None and o.is_done}


def _pick(c: _Context) -> Built:
    assay, plate = c.plan.section("assay"), c.plan.section("plate")
    inputs = {"library": "@library", "stock": "@stock", **_responses(c)}
    if (deployed := deployed_round(c.state, c.round)) is not None:
        inputs["predictions"] = c.file("calibrate", "predictions.parquet", deployed)
    params = {
        **_seed(c, "pick"),
        **c.plan.section("picking"),
        "n_wells": plate["wells"] - plate["n_negative"] - plate["n_positive"],
        "n_confirm": plate["n_confirm"],
        "controls": [assay["negative_control"], assay["positive_control"]],
        "dose_um": assay["dose_um"],
        "transfer_ul": assay["transfer_ul"],
        "well_volume_ul": assay["well_volume_ul"],
        "hit_threshold": assay["hit_threshold"],
        "excluded": sorted(_tested_unseen(c)),
    }
    return c.compute(inputs, params)


def _tested_unseen(c: _Context) -> set[str]:
    """Compounds pipetted in rounds whose plate does not count: not to be picked as if they were new."""
    lost = set(range(c.round)) - set(accepted_rounds(c.state, c.round))
    picked = (c.state.outcome("pick", r) for r in sorted(lost))
    return {compound for o in picked if o for compound in o.result["summary"]["compounds"]}


def _layout(c: _Context) -> Built:
    plate = c.plan.section("plate")
    params = {
        **_seed(c, "layout"),
        "barcode": c.barcode,
        "wells": plate["wells"],
        "n_negative": plate["n_negative"],
        "n_positive": plate["n_positive"],
        "dose_um": c.plan.section("assay")["dose_um"],
    }
    return c.compute({"picks": c.file("pick", "picks.parquet")}, params)


def _compile(c: _Context) -> Built:
    assay = c.plan.section("assay")
    handler = next(d for d in c.plan.settings["device"] if d["kind"] == "liquid-handler")
    params = {
        "robot": handler["robot"],
        "transfer_ul": assay["transfer_ul"],
        "well_volume_ul": assay["well_volume_ul"],
        "negative": assay["negative_control"],
        "positive": assay["positive_control"],
        "labware": c.plan.section("plate")["labware"],
    }
    inputs = {"layout": c.file("layout", "layout.csv"), "stock": "@stock", "tips": "@tips"}
    return c.compute(inputs, params)


def _check(c: _Context) -> Built:
    inputs = {"protocol": c.outcome("compile").result["folder"], "stock": "@stock", "tips": "@tips"}
    assay, plate = c.plan.section("assay"), c.plan.section("plate")
    params = {
        "labware": plate["labware"],
        "well_volume_ul": assay["well_volume_ul"],
        **c.plan.section("proof"),
    }
    return c.compute(inputs, params)


def _approve(c: _Context) -> Built:
    policy = c.plan.section("approval")
    n = c.outcome("pick").result["summary"]["n_compounds"]
    if policy["policy"] == "auto" and n <= policy["max_compounds"]:
        reason = f"{n} compounds, at most {policy['max_compounds']} allowed; protocol proven"
        what = {"what": "approve", "round": c.round, "by": "policy", "reason": reason}
        return Note("decision", what)
    loads = c.outcome("compile").result["summary"]["loads"]
    question = f"round {c.round + 1}: {n} compounds in {len(loads)} deck loads are proven and wait for approval"
    return Note("proposal", {"round": c.round, "question": question})


def _deck(c: _Context) -> Built:
    deck = c.outcome("compile").result["summary"]["loads"][c.load]["deck"]
    return c.operate("plate-mover", moves_command(set_deck(c.state, deck)))


def _run(c: _Context) -> Built:
    compiled = c.outcome("compile")
    summary = compiled.result["summary"]
    folder = compiled.result["folder"]
    file = summary["loads"][c.load]["file"]
    proven = compiled.result["outputs"][file]
    command = load_command(f"{folder}/protocol.json", f"{folder}/{file}", summary["digest"], c.load, proven)
    return c.operate("liquid-handler", command)


def _clear(c: _Context) -> Built:
    return c.operate("plate-mover", moves_command(clear_deck(c.state, c.barcode)))


def _measure(c: _Context) -> Built:
    assay = c.plan.section("assay")
    # where a person said that the plate was imaged, the images are expected under its barcode
    inputs = {"readout": c.outcome("acquire").result.get("folder", f"readouts/{c.barcode}")}
    params = {
        "dna": assay["dna_channel"],
        "reporter": assay["reporter_channel"],
        "wells": c.plan.section("plate")["wells"],
        **_reading(c.plan),
    }
    return c.compute(inputs, params)


def _reading(plan: Plan) -> dict[str, Any]:
    """Return how plates are to be opened where lab.toml says it; nothing where it does not, so that keys stay."""
    table: Mapping[str, Any] = plan.settings.get("readout", {})  # campaigns of before this table have none
    said = {key: value for key, value in table.items() if value is not None}
    return {"readout": said} if said else {}


def _normalise(c: _Context) -> Built:
    assay = c.plan.section("assay")
    keys = ("hit_threshold", "min_viability", "min_z_prime")
    inputs = {"wells": c.file("measure", "wells.parquet"), "layout": c.file("layout", "layout.csv")}
    params = {**{k: assay[k] for k in keys}, "undosed": _undosed(c), "accepts_failed": c.task == "admit"}
    return Compute(c.key, c.task, c.round, "normalise", inputs, params)


def _undosed(c: _Context) -> dict[str, str]:
    """Wells that did not get their liquid, by the handler's own report, with the reason."""
    wells: dict[str, str] = {}
    for k in range(len(c.outcome("compile").result["summary"]["loads"])):
        run = c.outcome(f"run-{k}")
        for well, moved, planned in run.result.get("short", ()):
            wells[well] = f"{moved} of {planned} nl"
    return wells


def _evaluate(c: _Context) -> Built:
    inputs = {
        "responses": c.file(judged_task(c.state, c.round), "responses.parquet"),
        "picks": c.file("pick", "picks.parquet"),
    }
    if (deployed := _picked_by(c)) is not None:
        inputs["predictions"] = c.file("calibrate", "predictions.parquet", deployed)
        inputs["calibration"] = c.file("calibrate", "calibration.json", deployed)
        inputs["promise"] = c.outcome("calibrate", deployed).result["folder"]
    params = {**_seed(c, "evaluate"), "confidence": c.plan.section("belief")["confidence"]}
    return c.compute({**inputs, **_met(c)}, params)


def _picked_by(c: _Context) -> int | None:
    """Return the round whose belief chose this round's picks; another may have been rolled back to since."""
    chosen = c.state.intents[c.state.latest_key("pick", c.round)].action["inputs"].get("predictions")
    rounds = (r for r in range(c.round + 1) if _is_calibrated(c.state, r))
    return next((r for r in rounds if c.file("calibrate", "predictions.parquet", r) == chosen), None)


def _plate(device: str, verb: str) -> Callable[[_Context], Built]:
    return lambda c: c.operate(device, plate_command(verb, c.barcode))


def _move(source: str, target: str) -> Callable[[_Context], Built]:
    return lambda c: c.operate("plate-mover", moves_command((Move(c.barcode, source, target),)))


_BUILDERS: Mapping[str, Callable[[_Context], Built]] = {
    "fit": _fit,
    "calibrate": _calibrate,
    "pick": _pick,
    "layout": _layout,
    "compile": _compile,
    "check": _check,
    "approve": _approve,
    "deck": _deck,
    "run": _run,
    "clear": _clear,
    "store": _plate("incubator", "store"),
    "fetch": _plate("incubator", "fetch"),
    "stage": _move("incubator", "imager"),
    "acquire": _plate("imager", "acquire"),
    "unstage": _move("imager", "stack/done"),
    "measure": _measure,
    "normalise": _normalise,
    "admit": _normalise,
    "evaluate": _evaluate,
}
