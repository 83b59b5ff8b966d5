"""Run the sections named, or all of them, and write BENCHMARKS.md: ``python -m bench.run [SECTION ...]``."""

import platform
import sys
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
    moa,
    models,
    networks,
    omezarr,
    plates,
    real_plate,
    replays,
    rooms,
    scale,
    segmentation,
    startup,
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
    "chem": chem.figures,
    "models": models.figures,
    "batches": batches.figures,
    "acquisition": acquisition.figures,
    "conformal": conformal.figures,
    "deep": deep.figures,
    "fusion": fusion.figures,
    "scale": scale.figures,
    "replays": replays.figures,
    "demos": demos.figures,
    "twice": demos.twice,
    "kills": demos.kills,
}


LONG = ("plates", "networks", "acquisition", "conformal", "deep", "fusion", "scale", "replays")
"""Sections of a quarter of an hour and more: run when they are named."""


def main() -> None:
    """Measure and print; write the file when all sections but the long ones ran."""
    names = sys.argv[1:] or [name for name in SECTIONS if name not in LONG]
    unknown = [n for n in names if n not in SECTIONS]
    if unknown:
        sys.exit(f"no section {', '.join(unknown)}; the sections are: {', '.join(SECTIONS)}")
    figures: list[Figure] = []
    for name in names:
        found = SECTIONS[name]()
        print(f"\n{name}\n{markdown(found)}", flush=True)
        figures += found
    if set(names) >= set(SECTIONS) - set(LONG):
        where = f"Measured on {platform.machine()}, {platform.system()}, Python {platform.python_version()}.\n\n"
        Path("BENCHMARKS.md").write_text(f"# Measured figures\n\n{where}{markdown(figures)}")


if __name__ == "__main__":
    main()
