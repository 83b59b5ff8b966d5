"""Where two runs of one night part: order of tasks, durations, outcomes. Pure, over events."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.state import EventLike
from protocols.sentences import plain

JSON = Mapping[str, Any]
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Run:
    """A night as its events tell it."""

    order: tuple[str, ...]
    """Keys of intents, in order."""
    actions: Mapping[str, tuple[str, str]]
    """Key to (device, verb), or ("computing", step)."""
    begun: Mapping[str, datetime]
    ended: Mapping[str, datetime]
    outcomes: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Durations:
    """How long one kind of action took in each run."""

    device: str
    action: str
    n: tuple[int, int]
    """In reality and in the simulation."""
    median_s: tuple[float | None, float | None]
    """None: there was none."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An outcome that is not the same."""

    key: str
    what: tuple[str, ...]
    """status, message, or result.NAME."""
    real: str
    simulated: str


@dataclass(frozen=True, slots=True)
class Parting:
    """What differs."""

    n_real: int
    n_simulated: int
    n_same_order: int
    """How many tasks came in the same order from the first."""
    first_real: str | None
    """The first task that is not the same in both; None: reality had no more, or there is none."""
    first_simulated: str | None
    durations: tuple[Durations, ...]
    differences: tuple[Difference, ...]

    @property
    def is_same(self) -> bool:
        """Tell whether order and outcomes are the same; durations may differ."""
        return self.first_real is None and self.first_simulated is None and not self.differences


def run_of(events: Iterable[EventLike]) -> Run:
    """Read the actions and outcomes of one campaign's events."""
    order: list[str] = []
    actions: dict[str, tuple[str, str]] = {}
    begun, ended, outcomes = dict[str, datetime](), dict[str, datetime](), dict[str, JSON]()
    for event in events:
        p = event.payload
        if event.kind == "intent":
            order.append(p["key"])
            actions[p["key"]] = _action(p["action"])
            begun[p["key"]] = event.time
        elif event.kind == "outcome":
            outcomes[p["key"]], ended[p["key"]] = p, event.time
    return Run(tuple(order), actions, begun, ended, outcomes)


def _action(action: JSON) -> tuple[str, str]:
    if "step" in action:
        return "computing", str(action["step"])
    return str(action["device"]), str(action["command"]["verb"])


def part(real: Run, simulated: Run) -> Parting:
    """Compare reality with the simulation, as far as reality went."""
    n = len(real.order)
    there = simulated.order[:n]  # a simulation may have gone on where reality was stopped
    same = next((k for k in range(min(n, len(there))) if real.order[k] != there[k]), min(n, len(there)))
    return Parting(
        n,
        len(there),
        same,
        real.order[same] if same < n else None,
        there[same] if same < len(there) else None,
        tuple(_durations(real, simulated)),
        tuple(_differences(real, simulated)),
    )


def _durations(real: Run, simulated: Run) -> Iterable[Durations]:
    kinds = dict.fromkeys(a for a in (*real.actions.values(), *simulated.actions.values()) if a[0] != "computing")
    for kind in sorted(kinds):
        both = [_lasted(run, kind) for run in (real, simulated)]
        medians = [statistics.median(one) if one else None for one in both]
        yield Durations(*kind, (len(both[0]), len(both[1])), (medians[0], medians[1]))


def _lasted(run: Run, kind: tuple[str, str]) -> Sequence[float]:
    return [
        (run.ended[key] - run.begun[key]).total_seconds()
        for key, action in run.actions.items()
        if action == kind and key in run.ended
    ]


def _differences(real: Run, simulated: Run) -> Iterable[Difference]:
    for key in real.order:
        one, other = real.outcomes.get(key), simulated.outcomes.get(key)
        if one is None or other is None:
            if one is not other:
                yield Difference(key, ("outcome",), _told(one), _told(other))
        elif what := tuple(_unlike(one, other)):
            yield Difference(key, what, _values(one, what), _values(other, what))


def _unlike(one: JSON, other: JSON) -> Iterable[str]:
    yield from (name for name in ("status", "message") if one[name] != other[name])
    names = sorted(one["result"].keys() | other["result"].keys())
    yield from (f"result.{name}" for name in names if one["result"].get(name) != other["result"].get(name))


def _values(outcome: JSON, what: Sequence[str]) -> str:
    first = what[0]
    value = outcome["result"].get(first.removeprefix("result.")) if first.startswith("result.") else outcome[first]
    return _short(value)


def _told(outcome: JSON | None) -> str:
    return "none" if outcome is None else _short(outcome["status"])


def _short(value: Any) -> str:
    text = plain(str(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}.."


def parting_body(parting: Parting) -> dict[str, Any]:
    """Tell programs."""
    return {
        "same": parting.is_same,
        "tasks": {"real": parting.n_real, "simulated": parting.n_simulated, "same_order": parting.n_same_order},
        "first_divergence": None
        if parting.first_real is None and parting.first_simulated is None
        else {"position": parting.n_same_order + 1, "real": parting.first_real, "simulated": parting.first_simulated},
        "durations": [
            {"device": d.device, "action": d.action, "n": list(d.n), "median_s": list(d.median_s)}
            for d in parting.durations
        ],
        "differences": [
            {"key": d.key, "what": list(d.what), "real": d.real, "simulated": d.simulated} for d in parting.differences
        ],
    }


def parting_text(parting: Parting) -> str:
    """Tell people."""
    lines = [_order_line(parting), "", f"{'device':<16}{'action':<12}{'n':>9}{'real':>12}{'simulated':>12}"]
    for d in parting.durations:
        real, simulated = (f"{s:.1f} s" if s is not None else "-" for s in d.median_s)
        lines.append(f"{d.device:<16}{d.action:<12}{f'{d.n[0]}/{d.n[1]}':>9}{real:>12}{simulated:>12}")
    lines.append("")
    if not parting.differences:
        lines.append("every outcome is the same")
    for one in parting.differences:
        lines.append(f"{one.key}: {', '.join(one.what)} differ")
        lines += [f"  real:      {one.real}", f"  simulated: {one.simulated}"]
    return "\n".join(lines)


def _order_line(parting: Parting) -> str:
    if parting.first_real is None and parting.first_simulated is None:
        return f"{parting.n_real} tasks, in the same order"
    real, simulated = parting.first_real or "nothing more", parting.first_simulated or "nothing more"
    return (
        f"the order parts at task {parting.n_same_order + 1} of {parting.n_real}: "
        f"in reality {real}, in the simulation {simulated}"
    )
