"""What the rehearsals say, for people and programs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from controller.preflight.rehearsal import Foreseen, NightRun

OFTEN = 0.05
"""Share of rehearsals above which trouble is called likely."""


def preflight_body(seen: Foreseen) -> dict[str, Any]:
    """Tell what was foreseen as JSON values; None where nothing was rehearsed."""
    return {
        "now": seen.now.isoformat(),
        "will_work": not any(problems(seen)),
        "problems": list(problems(seen)),
        "n_rehearsals": len(seen.runs),
        "plates": sorted({plate for run in seen.runs for plate in run.imaged}),
        "end": _quantiles(seen),
        "margins_min": dict(_margins(seen.runs)),
        "without": {device: _without(run, seen) for device, run in seen.without.items()},
        "to_load": {role: list(barcodes) for role, barcodes in seen.to_load.items()},
    }


def preflight_text(seen: Foreseen) -> str:
    """Tell what was foreseen to somebody who wants to go home."""
    troubles = list(problems(seen))
    lines = ["tonight will work" if not troubles and seen.runs else "tonight needs a person first" if troubles else ""]
    lines += [f"  {trouble}" for trouble in troubles]
    if ends := _quantiles(seen):
        lines.append(
            f"the last plate is imaged at {_clock(ends['median'])} UTC, 9 times in 10 between {_clock(ends['p05'])} "
            f"and {_clock(ends['p95'])} ({len(seen.runs)} rehearsals)"
        )
    tight = min(_margins(seen.runs).items(), key=lambda item: item[1]["p05"], default=None)
    if tight is not None:
        lines.append(
            f"tightest: plate {tight[0]} is imaged {tight[1]['median']:.0f} min before its time is over, 1 time in 20 "
            f"{tight[1]['p05']:.0f} min or less"
        )
    lines += [f"load {_roles(role)}: {', '.join(barcodes)}" for role, barcodes in seen.to_load.items()]
    lines += [_line_without(device, run, seen) for device, run in seen.without.items()]
    return "\n".join(line for line in lines if line) or "no campaign is left to run; give one a new name in lab.toml"


def problems(seen: Foreseen) -> Iterator[str]:
    """Say what keeps the night from ending by itself."""
    for name, why in seen.blocked.items():
        yield f"campaign {name}: {why}"
    if not seen.runs:
        return
    yield from (f"suspended: {told}" for told in seen.suspended)
    for question in dict.fromkeys(f for run in seen.runs for f in run.faults):
        share = sum(question in run.faults for run in seen.runs) / len(seen.runs)
        if share > OFTEN:
            yield question
    for name in seen.paused:
        yield f"campaign {name} is paused; go on with: nextplate resume"
    # each rehearsal asks in its own words, for they tell when it would end
    for name, question in {n: q for run in reversed(seen.runs) for n, q in run.held.items()}.items():
        yield f"{name} waits for approval: {question}"
    for plate, margin in _margins(seen.runs).items():
        if margin["p05"] < 0:
            yield f"plate {plate} may be imaged too late (5th percentile of the margin: {margin['p05']:.0f} min)"


def _quantiles(seen: Foreseen) -> dict[str, str] | None:
    ends = [max(run.imaged.values()).timestamp() for run in seen.runs if run.imaged]
    if not ends:
        return None
    zone = seen.now.tzinfo
    at = dict(zip(("p05", "median", "p95"), np.quantile(ends, (0.05, 0.5, 0.95)), strict=True))
    return {name: datetime.fromtimestamp(float(t), zone).isoformat(timespec="seconds") for name, t in at.items()}


def _margins(runs: Sequence[NightRun]) -> Mapping[str, Mapping[str, float]]:
    plates = dict.fromkeys(plate for run in runs for plate in run.margins_min)
    drawn = {plate: [run.margins_min[plate] for run in runs if plate in run.margins_min] for plate in plates}
    return {p: {"p05": float(np.quantile(d, 0.05)), "median": float(np.median(d))} for p, d in drawn.items()}


def _without(run: NightRun, seen: Foreseen) -> dict[str, Any]:
    return {"n_imaged": len(run.imaged), "n_plates": _n_plates(seen), "asked": list(run.faults)}


def _n_plates(seen: Foreseen) -> int:
    return len({plate for run in seen.runs for plate in run.imaged})


def _line_without(device: str, run: NightRun, seen: Foreseen) -> str:
    asked = f"; asks: {run.faults[0]}" if run.faults else ""
    return f"if the {device} fails: {len(run.imaged)} of {_n_plates(seen)} plates are imaged{asked}"


def _roles(role: str) -> str:
    words = {"source": "source plates", "tips": "tip racks", "destination": "new assay plates"}
    return (words | {"intermediate": "empty plates to dilute in"}).get(role, role)


def _clock(text: str) -> str:
    return text[:16].replace("T", " ")
