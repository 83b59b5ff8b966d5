"""What `nextplate moa` says: bodies for programs, text for people, tables and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.analysis import aligned
from nextplate.assay.clustered_share import Share
from nextplate.assay.moa import MoaScores, NeighbourScore
from nextplate.assay.moa_predictions import SplitScore

_MOST_WRONG = 12
PUBLISHED = (
    "Published by others on the full data set, not run here:\n"
    "  NSC 97.09 % (Janssens et al. 2021, UMM-Discovery; as their abstract says);\n"
    "  more than 99 % (Intel and Novartis 2018, M-CNN; as their press note says): images at random, with the\n"
    "  same compounds in training. Compare it with the split random only, never with NSC or NSCB."
)
"""Told beside a report; only what was read in its source."""


def score_body(scores: MoaScores) -> dict[str, Any]:
    """Return NSC, NSCB and the drop between them as JSON values."""
    return {
        "nsc": _neighbours(scores.nsc),
        "nscb": _neighbours(scores.nscb),
        "drop": _share(scores.drop),
        "nsc_of_those_in_nscb": _share(scores.nsc_same),
        "treatments_in_several_batches": scores.n_in_several_batches,
    }


def split_body(score: SplitScore) -> dict[str, Any]:
    """Return the accuracy under one split as JSON values."""
    return {
        "split": score.split,
        "images": _share(score.images),
        "wells": _share(score.wells),
        "mean_recall": score.mean_recall,
        "majority": score.majority,
        "compounds": score.n_compounds,
        "batches": score.n_batches,
        "classes": score.classes,
        "confusion": score.confusion.tolist(),
    }


def _neighbours(score: NeighbourScore) -> dict[str, Any]:
    return {
        "accuracy": _share(score.accuracy),
        "chance": score.chance,
        "unscored": score.unscored,
        "wrong": [asdict(a) for a in score.wrong],
        "classes": score.classes,
        "confusion": score.confusion.tolist(),
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "estimate": share.estimate, "low": share.low, "high": share.high, "n": share.n, "compounds": share.n_clusters,
    }  # fmt: skip


def answer_table(score: NeighbourScore) -> pl.DataFrame:
    """Return a row per scored treatment."""
    kinds = {"concentration": pl.Float64, "similarity": pl.Float64, "right": pl.Float64, "chance": pl.Float64}
    names = ("treatment", "compound", "concentration", "moa", "predicted", "neighbour", "similarity", "right", "chance")
    return pl.DataFrame([asdict(a) for a in score.answers], schema={n: kinds.get(n, pl.String) for n in names})


def moa_text(body: Mapping[str, Any]) -> str:
    """Say for people how well mechanisms were told, and how far that can be believed."""
    lines = [*_measured(body), *(_scores(body) if "nsc" in body else []), *_splits(body.get("splits", ()))]
    lines += [f"note: {note}" for note in body["notes"]]
    return "\n".join([*lines, "", PUBLISHED, f"{body['seconds']:.1f} s, written to {body['out']}"])


def _measured(body: Mapping[str, Any]) -> list[str]:
    if "plates" not in body:
        return []
    return [
        f"measured {body['plates']} plates: {body['images_measured']} of {body['images']} images, "
        f"{body['cells']} cells, {body['flagged']} wells flagged; {body['wells_measured_now']} wells measured now"
    ]


def _scores(body: Mapping[str, Any]) -> list[str]:
    nsc, nscb = body["nsc"], body["nscb"]
    head = (
        f"{body['treatments']} of {body['treatments_annotated']} treatments, {body['compounds']} compounds, "
        f"{body['moas']} mechanisms, "
        f"{body['batches']} batches; {body['features_used']} of {body['features']} features, normalised: "
        f"{body['normalisation']}"
    )
    rows = [["1 nearest neighbour, cosine", "accuracy (95 % interval)", "scored", "not scored", "by chance"]]
    for title, score in (("NSC  not same compound", nsc), ("NSCB nor same batch", nscb)):
        share = score["accuracy"]
        scored = f"{share['n']} of {share['n'] + len(score['unscored'])}"
        rows.append([title, told_share(share), scored, str(len(score["unscored"])), _percent(score["chance"])])
    drop, same = body["drop"], body["nsc_of_those_in_nscb"]
    lines = [head, *aligned(rows), f"drop: {told_share(drop)} over the {drop['n']} treatments scored in both "
             f"(NSC of those: {told_share(same)})"]  # fmt: skip
    if body["treatments_in_several_batches"]:
        lines.append(f"{body['treatments_in_several_batches']} treatments lie in several batches; NSCB asks in each")
    return [*lines, *_wrong("NSC", nsc), *_wrong("NSCB", nscb)]


def _wrong(title: str, score: Mapping[str, Any]) -> list[str]:
    wrong = score["wrong"]
    if not wrong:
        return []
    rows = [[a["treatment"], a["moa"], "->", a["neighbour"], a["predicted"]] for a in wrong[:_MOST_WRONG]]
    more = f" (the first {_MOST_WRONG})" if len(wrong) > _MOST_WRONG else ""
    return ["", f"wrong by {title}: {len(wrong)}{more}", *(f"  {line}" for line in aligned(rows))]


def _splits(splits: Sequence[Mapping[str, Any]]) -> list[str]:
    if not splits:
        return []
    rows = [["classifier, by split", "images (95 % interval)", "wells (95 % interval)", "mean recall", "majority", "n"]]
    for s in splits:
        n = f"{s['images']['n']} images, {s['compounds']} compounds"
        percents = [_percent(s["mean_recall"]), _percent(s["majority"])]
        rows.append([s["split"], told_share(s["images"]), told_share(s["wells"]), *percents, n])
    return ["", *aligned(rows), "the splits answer different questions and are never pooled"]


def told_share(share: Mapping[str, Any]) -> str:
    """Write a share with its interval in percent."""
    if share["estimate"] is None:
        return "not known"
    ends = "" if share["low"] is None else f" ({100 * share['low']:.1f} to {100 * share['high']:.1f})"
    return f"{100 * share['estimate']:.1f} %{ends}"


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{100 * value:.1f} %"


def confusion_png(title: str, classes: Sequence[str], confusion: npt.NDArray[np.float64]) -> bytes:
    """Draw a confusion matrix: rows are true, shade is the share of the row, numbers are counts."""
    from controller.report.figures.style import ACTIVITY, FONT, INK, MUTED, figure, label, png

    size = 2.6 + 0.42 * len(classes)
    made = figure(size + 0.6, size)
    axes = made.subplots()
    total = np.maximum(confusion.sum(axis=1, keepdims=True), 1e-12)
    axes.imshow(confusion / total, cmap=ACTIVITY, vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right", fontsize=FONT - 1, color=MUTED)
    axes.set_yticks(range(len(classes)), classes, fontsize=FONT - 1, color=MUTED)
    for (i, j), n in np.ndenumerate(confusion):
        if n:
            colour = "white" if n / total[i, 0] > 0.5 else INK
            axes.text(
                j,
                i,
                f"{n:g}" if n == round(n) else f"{n:.1f}",
                ha="center",
                va="center",
                fontsize=FONT - 1,
                color=colour,
            )
    label(axes, "named", "true", title)
    return png(made)
