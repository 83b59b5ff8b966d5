"""How often the image QC flags good wells, and how often it finds what was put into them.

``PYTHONPATH=src:. NEXTPLATE_DATA=../shared python -m bench.image_qc``: BBBC013 whole, NF1, and simulated plates with
killed, blurred and responding wells; about a minute. The seeds are fixed, the figures come out the same every time.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bench.table import Figure, markdown
from nextplate.imaging.channel_order import judge_channel_order
from nextplate.imaging.verdicts import debris_scores, judge_cell_counts, judge_debris
from sim.biology import Phenotype
from tests.nextplate.imaging.qc_plates import (
    QcPlate,
    Raw,
    bbbc013,
    dusty,
    killed,
    living,
    nf1,
    rendered,
    with_fibre,
)

COMMAND = "python -m bench.image_qc"
_Mask = npt.NDArray[np.bool_]
_EFFECTS = (0.0, 0.0, 0.0, 0.2, 0.6, 1.0)
_SURVIVAL = (1.0, 1.0, 1.0, 1.0, 0.5, 0.1, 0.02)
_N_WELLS, _SEEDS = 96, (11, 12)


def main() -> None:
    """Measure and print."""
    print(markdown(figures()))


def figures() -> list[Figure]:
    """Measure every verdict."""
    real, roles = bbbc013()
    plates = [_mixed(seed) for seed in _SEEDS]
    return [*_order(real, roles, plates), *_counts(real, roles, plates), *_debris(real, plates)]


def _mixed(seed: int) -> tuple[QcPlate, list[Phenotype]]:
    """Render a plate of responders and poisons; one well in twenty is out of focus."""
    rng = np.random.default_rng(seed)
    shows = [killed(float(rng.choice(_SURVIVAL)), float(rng.choice(_EFFECTS))) for _ in range(_N_WELLS)]
    blurred = frozenset(np.flatnonzero(rng.random(_N_WELLS) < 0.05).tolist())
    return rendered(seed, shows, blurred), shows


def _order(real: QcPlate, roles: dict[str, str], plates: Sequence[tuple[QcPlate, list[Phenotype]]]) -> list[Figure]:
    schwann = nf1()
    flagged = [
        int(judge_channel_order(p.looks, p.dna).is_wrong.sum()) for p in (real, schwann, *(p for p, _ in plates))
    ]
    named = [
        judge_channel_order(p.looks, c).nuclear_channel == p.dna
        for p in (real, schwann, *(p for p, _ in plates))
        for c in p.looks
        if c != p.dna
    ]
    groups = {
        "BBBC013 negative": [_finds_swap(real, w) for w in real.wells if roles[w] == "negative"],
        "BBBC013 sample": [_finds_swap(real, w) for w in real.wells if roles[w] == "sample"],
        "BBBC013 positive (reporter is nuclear)": [_finds_swap(real, w) for w in real.wells if roles[w] == "positive"],
        "simulated, killed and blurred wells too": [_finds_swap(p, w) for p, _ in plates for w in p.wells[::4]],
    }
    n_good = 96 + 5 + len(plates) * _N_WELLS
    return [
        Figure("wrong-channel-order: good wells flagged", f"{sum(flagged)} of {n_good}", "0", COMMAND),
        Figure("wrong-channel-order: wrong declarations named", _share(named), "all", COMMAND),
        *(Figure(f"wrong-channel-order: one well swapped, {k}", _share(v), "all", COMMAND) for k, v in groups.items()),
    ]


def _finds_swap(plate: QcPlate, well: str) -> bool:
    """Swap two files of one well; found when that well is flagged and no other."""
    other = next(c for c in plate.looks if c != plate.dna)
    found = judge_channel_order(plate.looks_swapped(well, other), plate.dna).is_wrong
    return [w for w, bad in zip(plate.wells, found, strict=True) if bad] == [well]


def _counts(real: QcPlate, roles: dict[str, str], plates: Sequence[tuple[QcPlate, list[Phenotype]]]) -> list[Figure]:
    found = {"BBBC013": (_n_cells(real), np.array([roles[w] == "negative" for w in real.wells]), np.ones(96))}
    for i, (plate, shows) in enumerate(plates):
        survival = np.array([s.survival for s in shows])
        is_control = (survival == 1) & (np.array([s.effect for s in shows]) == 0)
        found[f"simulated {i}"] = (_n_cells(plate), is_control, survival)
    rows = []
    for name, controls in (("negative controls known", True), ("unknown", False)):
        flags = {
            k: judge_cell_counts(n, np.ones(len(n)), c if controls else None).is_flagged
            for k, (n, c, _) in found.items()
        }
        good = [f for k, f in flags.items() for f in f[found[k][2] == 1].tolist()]
        dead = [f for k, f in flags.items() for f in f[found[k][2] <= 0.1].tolist()]
        rows.append(Figure(f"cell-count-collapse, {name}: living wells flagged", _share(good), "0", COMMAND))
        rows.append(Figure(f"cell-count-collapse, {name}: 90 to 98 % killed, found", _share(dead), "all", COMMAND))
    return rows


def _n_cells(plate: QcPlate) -> npt.NDArray[np.float64]:
    return np.array([plate.nuclei(plate.raw[w][plate.dna]).n for w in plate.wells], np.float64)


def _debris(real: QcPlate, plates: Sequence[tuple[QcPlate, list[Phenotype]]]) -> list[Figure]:
    alive = rendered(21, [living(e) for e in np.linspace(0, 1, 48)])
    rows, rng = [], np.random.default_rng(0)
    clean = [debris for p in (real, alive) for debris in _judged_debris(p).tolist()]
    rows.append(Figure("debris: good wells flagged (BBBC013, simulated)", _share(clean), "0", COMMAND))
    for i, (plate, shows) in enumerate(plates):
        is_control = np.array([s.survival == 1 and s.effect == 0 for s in shows])
        flags = _judged_debris(plate, is_control)
        dead = np.array([s.survival <= 0.1 for s in shows])
        words = f"{_share(flags[~dead].tolist())} of the others, {_share(flags[dead].tolist())} of the killed wells"
        rows.append(Figure(f"debris, plate {i} with poisons, by its controls: flagged", words, "-", COMMAND))
    level = 4 * (alive.rule.plate_threshold or 0)
    soils: dict[str, Callable[[Raw], Raw]] = {
        "50 flecks": lambda raw: dusty(raw, rng, 50, level),
        "150 flecks": lambda raw: dusty(raw, rng, 150, level),
        "one fibre": lambda raw: with_fibre(raw, rng, 2 * level),
        "three fibres": lambda raw: with_fibre(with_fibre(with_fibre(raw, rng, level), rng, level), rng, level),
    }
    base = [alive.debris(alive.raw[w]["DNA"]) for w in alive.wells]
    for name, soil in soils.items():
        hits = []
        for i in range(0, 48, 2):
            fields = [*base[:i], alive.debris(soil(alive.raw[alive.wells[i]]["DNA"])), *base[i + 1 :]]
            hits.append(bool(judge_debris(debris_scores([[d] for d in fields])).is_flagged[i]))
        rows.append(Figure(f"debris: {name} among about 75 nuclei, found", _share(hits), "-", COMMAND))
    return rows


def _judged_debris(plate: QcPlate, is_control: _Mask | None = None) -> _Mask:
    scores = debris_scores([[plate.debris(plate.raw[w][plate.dna])] for w in plate.wells])
    return judge_debris(scores, is_control).is_flagged


def _share(hits: Sequence[bool]) -> str:
    return f"{sum(hits)} of {len(hits)}"


if __name__ == "__main__":
    main()
