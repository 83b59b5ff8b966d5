"""Run the sections named, and write BENCHMARKS.md: ``python -m bench.run [all | SECTION ...]``.

Without a name those run that take minutes; interrupted, the same command goes on where it was. What a section gave is
kept in ``bench-out/sections`` until it is measured again, so BENCHMARKS.md holds every section that was ever run here,
each with its date, commit and load.
"""

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    acquisition,
    analysis,
    batches,
    chem,
    conformal,
    deep,
    demos,
    features,
    fusion,
    image_qc,
    journals,
    killed,
    liquid,
    moa,
    models,
    networks,
    nights,
    omezarr,
    outages,
    overhead,
    plates,
    real_plate,
    rendered,
    replays,
    rooms,
    scale,
    schedule,
    segmentation,
    startup,
    wires,
    worklists,
)
from bench.table import Figure, markdown

SECTIONS = {
    "startup": startup.figures,
    "rooms": rooms.figures,
    "bbbc013": real_plate.figures,
    "features": features.figures,
    "segmentation": segmentation.figures,
    "image_qc": image_qc.figures,
    "omezarr": omezarr.figures,
    "plates": plates.figures,
    "analysis": analysis.figures,
    "moa": moa.figures,
    "networks": networks.figures,
    "schedule": schedule.figures,
    "nights": nights.figures,
    "killed": killed.figures,
    "outages": outages.figures,
    "overhead": overhead.figures,
    "journals": journals.figures,
    "worklists": worklists.figures,
    "rendered": rendered.figures,
    "chem": chem.figures,
    "models": models.figures,
    "batches": batches.figures,
    "acquisition": acquisition.figures,
    "conformal": conformal.figures,
    "deep": deep.figures,
    "fusion": fusion.figures,
    "liquid": liquid.figures,
    "wires": wires.figures,
    "scale": scale.figures,
    "replays": replays.figures,
    "replays-short": replays.short_figures,
    "demos": demos.figures,
    "twice": demos.twice,
    "kills": demos.kills,
}


LONG = (
    "plates",
    "networks",
    "killed",
    "outages",
    "liquid",
    "acquisition",
    "conformal",
    "deep",
    "fusion",
    "scale",
    "replays",
    "replays-short",
)
"""Sections of a quarter of an hour and more: run when they are named, or by ``all``."""
KEPT = Path("bench-out") / "sections"


def main() -> None:
    """Measure, print and keep section by section; BENCHMARKS.md is written anew after each, of all that are kept."""
    asked = sys.argv[1:]
    names = list(SECTIONS) if asked == ["all"] else asked or [name for name in SECTIONS if name not in LONG]
    unknown = [n for n in names if n not in SECTIONS]
    if unknown:
        sys.exit(f"no section {', '.join(unknown)}; the sections are: all, {', '.join(SECTIONS)}")
    for name in names:
        if not asked and _is_of_this_commit(name):
            print(f"\n{name}: measured at this commit before an interruption; again: python -m bench.run {name}")
            continue
        print(f"\n{name}\n{markdown(_measure(name))}", flush=True)
        _publish(Path("BENCHMARKS.md"))


def _measure(name: str) -> list[Figure]:
    started = datetime.now(UTC)
    found = SECTIONS[name]()
    body = {
        "figures": [asdict(figure) for figure in found],
        "commit": _commit(),
        "measured": f"{started:%Y-%m-%d %H:%M} UTC",
        "load": os.getloadavg()[2],
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }
    KEPT.mkdir(parents=True, exist_ok=True)
    hidden = KEPT / f".{name}.json"
    hidden.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    hidden.replace(KEPT / f"{name}.json")
    return found


def _commit() -> str:
    """Give the commit measured, with a mark where the tree (but for the figures) differs; '' outside a repository."""
    head = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!BENCHMARKS.md")
    return f"{head}-dirty" if changed else head


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def _is_of_this_commit(name: str) -> bool:
    commit = _commit()
    path = KEPT / f"{name}.json"
    if not commit or commit.endswith("-dirty") or not path.exists():
        return False
    return bool(json.loads(path.read_text(encoding="utf-8"))["commit"] == commit)


def _publish(path: Path) -> None:
    """Write what is kept of every section, and name those that are missing."""
    parts = ["# Measured figures\n"]
    missing = [name for name in SECTIONS if not (KEPT / f"{name}.json").exists()]
    for name in (name for name in SECTIONS if name not in missing):
        body = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
        told = f"{body['measured']}, commit {body['commit']}, {body['machine']}; load at the end {body['load']:.1f}"
        parts.append(f"## {name}\n\n{told}.\n\n{markdown([Figure(**figure) for figure in body['figures']])}")
    if missing:
        parts.append(f"Not measured here: {', '.join(missing)} (`python -m bench.run {' '.join(missing)}`).\n")
    path.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
