"""Does an earlier imaging screen help the next assay? On real data, beside chemistry alone and cell counts alone.

``PYTHONPATH=src:. NEXTPLATE_DATA=../shared python -m bench.fusion [lincs] [missing] [earlier] [published] [replays]``.
Folds never split a scaffold; every prediction is of a compound whose scaffold was not seen.

- *lincs*: LINCS Cell Painting cell counts at six doses in A549 cells (the profiles are not in ../shared/data), then the
  twelve Tox21 assays of the 585 compounds that are in both. Here 'image' is the curve of six cell counts, and
  'cell count' the one at the highest dose.
- *missing*: the same with 600 compounds more that were never imaged: one model for both.
- *earlier*: ChEMBL assays of Cell Painting compounds whose structure is known here: the labels of assays with a smaller
  number stand for the image, and the share of them a compound was active in for the cell count.
- *published*: the AUCs of Moshkov et al. 2023 for 270 assays with whole profiles, compared assay by assay.
- *replays*: campaigns of the next assay by ``nextplate replay --profiles``.

Found with seeds 0 and 1: yes, where the assay is about stress or death. Over the twelve Tox21 assays the mean AUC
rose from 0.687 (chemistry) to 0.722 (late) and 0.740 (early), most in SR-ATAD5, SR-p53 and NR-AR-LBD, hardly in
NR-AhR, NR-ER and SR-ARE. The one count at the highest dose did better alone (0.657) than the curve of six (0.615):
what helps may be no more than how toxic a compound is. With whole profiles, as published, late fusion gained 0.034 and
early fusion 0.003; perhaps hundreds of columns crowd out the chemistry that six leave alone.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from bench.imaging_screens import ASSAYS, Screened, data_folder, earlier_assays, tox21_after_lincs, write_screen
from bench.table import Figure, markdown
from controller.replay import ReplayRequest, run_replay
from controller.replay_shown import replay_text
from nextplate.models.comparison import WAYS, compare_modalities
from nextplate.models.fusion import Fusion
from nextplate.models.scoring import fold_auc

FloatArray = npt.NDArray[np.float64]
COMMAND = "python -m bench.fusion"
SEEDS = (0, 1)
# Of the published table: structures; batch-corrected morphology; both late; both early.
_PUBLISHED = {
    "chemistry": "cp_es_op", "image": "mobc_es_op", "late": "late_fusion_cs_mobc", "early": "mobc_cp_es_op",
}  # fmt: skip


def figures() -> list[Figure]:
    """Measure everything."""
    return [*lincs(), *missing(), *earlier(), *published(), *replays()]


def lincs(assays: Sequence[str] = ASSAYS, seeds: Sequence[int] = SEEDS) -> list[Figure]:
    """Compare every way on the Tox21 assays of compounds that LINCS had imaged."""
    screened = tox21_after_lincs(data_folder())
    found = {assay: _scores(screened, assay, seeds, WAYS) for assay in assays}
    print(_table(screened, found), flush=True)
    return _summed("Tox21 after LINCS cell counts", found, f"{COMMAND} lincs")


def missing(assays: Sequence[str] = ("SR-MMP", "SR-p53", "SR-ATAD5"), seeds: Sequence[int] = (0,)) -> list[Figure]:
    """The same with 600 further compounds that have labels and no image."""
    screened = tox21_after_lincs(data_folder(), n_without=600)
    found = {assay: _scores(screened, assay, seeds, ("chemistry", "late")) for assay in assays}
    n = len(screened.features.smiles)
    what = f"{n} compounds, {len(screened.profiles.compound_ids)} of them imaged"
    return [
        Figure(
            f"{assay}: {what}",
            f"late fusion AUC {rows['late'].mean():.3f} on imaged, {rows['late unseen'].mean():.3f} on others",
            f"chemistry {rows['chemistry'].mean():.3f} and {rows['chemistry unseen'].mean():.3f}", f"{COMMAND} missing",
        )
        for assay, rows in found.items()
    ]  # fmt: skip


def earlier(n_assays: int = 8, seeds: Sequence[int] = SEEDS) -> list[Figure]:
    """Compare on the largest assays of Cell Painting compounds, the labels of earlier ones standing for images."""
    assays, n = earlier_assays(data_folder(), n_assays)
    ways = ("chemistry", "image", "late", "early", "cell_count")
    found = {name: _scores(screened, "label", seeds, ways) for name, screened in assays.items() if _is_enough(screened)}
    return _summed(f"{len(found)} ChEMBL assays after earlier ones, {n} compounds", found, f"{COMMAND} earlier")


def _is_enough(screened: Screened) -> bool:
    """Whether 15 hits and 15 others have labels of earlier assays."""
    known = np.isin(screened.features.compound_ids, screened.profiles.compound_ids)
    y = screened.labels["label"][known]
    return int(min((y == 1).sum(), (y == 0).sum())) >= 15


def _scores(screened: Screened, assay: str, seeds: Sequence[int], ways: Sequence[str]) -> dict[str, FloatArray]:
    """AUC within folds by way on imaged compounds, one a seed; 'WAY unseen' on those without an image, if any."""
    y = screened.labels[assay]
    rows = np.flatnonzero(np.isfinite(y))
    groups = [screened.scaffolds[i] for i in rows]
    imaged = np.isin([screened.features.compound_ids[i] for i in rows], screened.profiles.compound_ids)
    out: dict[str, list[float]] = {}
    for seed in seeds:
        seen = compare_modalities(Fusion(), screened.features, rows, y[rows], groups=groups, seed=seed)
        for way in (w for w in ways if w in seen.means):
            mean = seen.means[way]
            out.setdefault(way, []).append(fold_auc(y[rows][imaged], mean[imaged], seen.folds[imaged]))
            if not imaged.all():
                unseen = fold_auc(y[rows][~imaged], mean[~imaged], seen.folds[~imaged])
                out.setdefault(f"{way} unseen", []).append(unseen)
    print(assay, {k: np.round(v, 3).tolist() for k, v in out.items()}, flush=True)
    return {way: np.array(values) for way, values in out.items()}


def _table(screened: Screened, found: dict[str, dict[str, FloatArray]]) -> str:
    """One line an assay: hits, compounds, and AUC by way with its standard deviation over seeds."""
    lines = ["| assay | hits / compounds | " + " | ".join(WAYS) + " |", "|---|---|" + "---|" * len(WAYS)]
    for assay, rows in found.items():
        y = screened.labels[assay]
        cells = [f"{rows[way].mean():.3f} +- {rows[way].std(ddof=1) if len(rows[way]) > 1 else 0:.3f}" for way in WAYS]
        lines.append(f"| {assay} | {int(np.nansum(y))} / {int(np.isfinite(y).sum())} | " + " | ".join(cells) + " |")
    means = [np.mean([rows[way].mean() for rows in found.values()]) for way in WAYS]
    return "\n".join([*lines, "| mean | | " + " | ".join(f"{m:.3f}" for m in means) + " |"])


def _summed(what: str, found: dict[str, dict[str, FloatArray]], command: str) -> list[Figure]:
    """One figure a way: mean AUC over assays, and its gain over chemistry with a bootstrap interval over assays."""
    base = np.array([rows["chemistry"].mean() for rows in found.values()])
    out = []
    for way in WAYS:
        auc = np.array([rows[way].mean() for rows in found.values()])
        gain = "-" if way == "chemistry" else _gain(auc - base)
        out.append(Figure(f"{what}: {way}", f"mean AUC {auc.mean():.3f}", gain, command))
    return out


def _gain(gain: FloatArray) -> str:
    """Mean over assays, 95 % bootstrap interval of it, and in how many it is above 0."""
    rng = np.random.default_rng(0)
    means = gain[rng.integers(0, len(gain), (4000, len(gain)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    better = f"better in {int((gain > 0).sum())} of {len(gain)}"
    return f"over chemistry {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]; {better}"


def published() -> list[Figure]:
    """Compare the published AUCs of whole profiles with those of structures, assay by assay."""
    path = data_folder() / "cellpainting_bioassay_labels" / "scaffold_median_AUC.csv"
    auc: dict[str, dict[str, float]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["auc"] not in (
                "",
                "NA",
                "NaN",
                "nan",
                "auc",
            ):  # the header occurs twice; no AUC without both classes
                auc.setdefault(row["descriptor"], {})[row["assay_id"]] = float(row["auc"])
    common = sorted(set.intersection(*(set(auc[name]) for name in _PUBLISHED.values())))
    base = np.array([auc[_PUBLISHED["chemistry"]][assay] for assay in common])
    out = []
    for way, name in _PUBLISHED.items():
        values = np.array([auc[name][assay] for assay in common])
        gain = "-" if way == "chemistry" else _gain(values - base)
        measured = f"mean AUC {values.mean():.3f}; above 0.7 in {(values > 0.7).sum()}, 0.9 in {(values > 0.9).sum()}"
        out.append(
            Figure(f"published, {len(common)} assays, whole profiles: {way}", measured, gain, f"{COMMAND} published")
        )
    return out


def replays(seeds: int = 5) -> list[Figure]:
    """Replay the next assay after an imaging screen, through ``nextplate replay --profiles``: hits found by strategy.

    Tox21 SR-MMP and SR-p53 after LINCS cell counts (4 rounds of 5 % after 10 %), and the largest of the ChEMBL assays
    of Cell Painting compounds after earlier ones.
    """
    screened = tox21_after_lincs(data_folder())
    found = [
        *_replayed("Tox21 SR-MMP after LINCS", screened, "SR-MMP", seeds),
        *_replayed("Tox21 SR-p53 after LINCS", screened, "SR-p53", seeds),
    ]
    name, first = next((n, s) for n, s in earlier_assays(data_folder(), 8)[0].items() if _is_enough(s))
    return [*found, *_replayed(f"{name} after earlier ones", first, "label", seeds)]


def _replayed(what: str, screened: Screened, assay: str, seeds: int) -> list[Figure]:
    with TemporaryDirectory() as folder:
        path = Path(folder)
        write_screen(screened, assay, path)
        request = ReplayRequest(
            path / "values.csv", "smiles", "value", "hits", 0.5, "10%", "5%", 4, seeds,
            ("fusion", "early-fusion", "profiles"), "1%", path / "out", profiles=path / "profiles.csv",
            count_column=screened.profiles.count_names[0],
        )  # fmt: skip
        body = run_replay(request, lambda *_: None)
    print(what, replay_text(body), sep="\n", flush=True)
    n, of = body["strategies"][0]["tested"], f"{body['n_hits']} hits among {body['n_compounds']}"
    return [
        Figure(
            f"{what}: {entry['strategy']}",
            f"{entry['hits_mean']:.1f} +- {entry['hits_sd'] or 0:.1f} hits",
            f"{n} tested, {of}", f"{COMMAND} replays",
        )
        for entry in body["strategies"]
    ]  # fmt: skip


def main() -> None:
    """Measure the sections named, or all."""
    sections = {"lincs": lincs, "missing": missing, "earlier": earlier, "published": published, "replays": replays}
    for name in sys.argv[1:] or list(sections):
        print(markdown(sections[name]()), flush=True)


if __name__ == "__main__":
    main()
