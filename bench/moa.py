"""The NSC / NSCB evaluator at the size of BBBC021, on profiles that are drawn, not measured: seconds, not accuracies.

As in the tables of BBBC021 (facts counted from them): 55 plates in 10 batches, 6 DMSO wells on each, 103 treatments of
38 compounds with 12 mechanisms in 632 wells, of which one control treatment lies on every plate.
"""

import sys
from collections.abc import Iterator

import numpy as np

from bench.table import Figure, markdown
from bench.timing import seconds
from nextplate.assay.moa import Treatments, score_moa
from nextplate.assay.moa_profiles import TreatedWells, normalise_wells, treatments_of

COMMAND = "python -m bench.moa"
N_FEATURES = 1800
_PER_MOA = {
    "microtubule destabilizers": 14, "aurora": 12, "eg5": 12, "microtubule stabilizers": 9, "dna damage": 9,
    "epithelial": 8, "protein synthesis": 8, "dna replication": 8, "protein degradation": 7, "cholesterol": 6,
    "actin": 5, "kinase": 5,
}  # fmt: skip
_ONE_BATCH = ("cholesterol", "kinase")


def figures() -> list[Figure]:
    """Time normalising and scoring, and compare scoring with a plain loop over pairs."""
    wells = drawn_wells()
    robust_s = seconds(lambda: normalise_wells(wells), 2)
    sphere_s = seconds(lambda: normalise_wells(wells, "sphere"), 1)
    done = normalise_wells(wells)
    whole, parts = treatments_of(done.wells)
    rng = np.random.default_rng(0)
    score_s = seconds(lambda: score_moa(whole, parts, rng))
    loop_s = seconds(lambda: _plain_nsc(whole), 1)
    size = f"{len(wells.plate)} wells, {N_FEATURES} features"
    scored = score_moa(whole, parts, rng)
    counts = f"{scored.nsc.accuracy.n} and {scored.nscb.accuracy.n} treatments scored"
    return [
        Figure("MOA: select, normalise per plate", f"{robust_s:.2f} s", size, COMMAND),
        Figure("MOA: the same and sphering", f"{sphere_s:.1f} s", f"{len(done.wells.features)} features kept", COMMAND),
        Figure(
            "MOA: NSC, NSCB, drop, intervals", f"{1000 * score_s:.0f} ms",
            f"{counts}; plain loop, NSC alone: {1000 * loop_s:.0f} ms", COMMAND,
        ),
    ]  # fmt: skip


def drawn_wells() -> TreatedWells:
    """Draw wells of BBBC021's shape; 38 compounds, cholesterol and kinase in one batch only."""
    rng = np.random.default_rng(21)
    rows = list(_rows())
    plate, well, batch, compound, dose, moa = zip(*rows, strict=True)
    low_rank = rng.normal(size=(60, N_FEATURES))
    look = {m: rng.normal(size=60) for m in _PER_MOA}
    shift = {b: rng.normal(size=60) for b in set(batch)}
    hidden = np.stack(
        [rng.normal(size=60) + shift[b] + 2 * look.get(m, np.zeros(60)) for b, m in zip(batch, moa, strict=True)]
    )
    profiles = hidden @ low_rank / 8 + rng.normal(size=(len(rows), N_FEATURES))
    is_control = np.array([c == "DMSO" for c in compound])
    names = tuple(f"f{i}" for i in range(N_FEATURES))
    return TreatedWells(plate, well, batch, compound, dose, moa, is_control, names, profiles)


def _rows() -> Iterator[tuple[str, str, str, str, float, str]]:
    plates = [(f"P{i:02d}", f"Week{i * 10 // 55 + 1}") for i in range(55)]
    used: dict[str, int] = {}

    def place(plate: str) -> str:
        used[plate] = used.get(plate, -1) + 1
        return f"{'BCDEFG'[used[plate] // 10]}{used[plate] % 10 + 2:02d}"

    for plate, batch in plates:
        for _ in range(6):
            yield plate, place(plate), batch, "DMSO", 0.0, ""
        for _ in range(6):
            yield plate, place(plate), batch, "control", 0.3, "microtubule stabilizers"
    for n, (moa, count) in enumerate(_PER_MOA.items()):
        for i in range(count - (moa == "microtubule stabilizers")):
            week = 4 if moa in _ONE_BATCH else (n + i // 3) % 10 + 1
            mine = [p for p in plates if p[1] == f"Week{week}"][:3]
            for plate, batch in mine:
                yield plate, place(plate), batch, f"{moa}-{i // 3}", float(i % 3 + 1), moa


def _plain_nsc(t: Treatments) -> float:
    """NSC as a 10-line script does it."""
    right = 0
    for i in range(len(t.compound)):
        best, found = -2.0, ""
        for j in range(len(t.compound)):
            if t.compound[i] != t.compound[j]:
                a, b = t.profiles[i], t.profiles[j]
                s = float(a @ b / np.sqrt((a @ a) * (b @ b)))
                if s > best:
                    best, found = s, t.moa[j]
        right += found == t.moa[i]
    return right / len(t.compound)


if __name__ == "__main__":
    sys.stdout.write(markdown(figures()))
