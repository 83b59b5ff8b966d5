"""How often a classifier of images names the right mechanism, apart for each way its test images were held out.

The three splits (nextplate.assay.moa_splits) answer different questions and are never pooled. Intervals draw whole
compounds again, also for the random split: thousands of images of 38 compounds are 38 opinions, not thousands.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextplate.assay.clustered_share import Share, clustered_share
from nextplate.assay.moa_splits import SPLITS, SplitName
from nextplate.assay.sphering import Profiles
from nextplate.errors import DataError


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier said of one image that it was not trained on."""

    split: SplitName
    plate: str
    well: str
    field: int
    compound: str
    batch: str
    true: str
    predicted: str


@dataclass(frozen=True, slots=True)
class SplitScore:
    """Accuracy under one split."""

    split: SplitName
    images: Share
    wells: Share
    """Of the vote of a well's images; equal votes share."""
    classes: tuple[str, ...]
    """True or predicted, sorted."""
    confusion: Profiles
    """Images, shape (classes, classes), rows are true."""
    mean_recall: float
    """Mean over the true classes of the share of their images that is right: every class counts alike."""
    majority: float
    """Accuracy of always naming the commonest true class."""
    n_compounds: int
    n_batches: int


def score_predictions(predictions: Sequence[Prediction], rng: np.random.Generator) -> tuple[SplitScore, ...]:
    """Score the splits that are there, in the order random, compounds, compounds-batches.

    Raises:
        DataError: no predictions, an unknown split, an image predicted twice in a split, or a well with two true
            classes; plate, well and field are named.
    """
    if not predictions:
        raise DataError("there are no predictions to score")
    by_split: dict[str, list[Prediction]] = {}
    for p in predictions:
        by_split.setdefault(p.split, []).append(p)
    if unknown := sorted(by_split.keys() - set(SPLITS)):
        raise DataError(f"there is no split {unknown[0]!r}; there are {', '.join(SPLITS)}")
    return tuple(_score(name, by_split[name], rng) for name in SPLITS if name in by_split)


def _score(name: SplitName, rows: list[Prediction], rng: np.random.Generator) -> SplitScore:
    _check(name, rows)
    # Sorted, so that the order of the file does not decide what the bootstrap draws.
    rows = sorted(rows, key=lambda p: (p.plate, p.well, p.field))
    right = np.array([float(p.true == p.predicted) for p in rows])
    classes = sorted({p.true for p in rows} | {p.predicted for p in rows})
    confusion = np.zeros((len(classes), len(classes)))
    place = {c: i for i, c in enumerate(classes)}
    for p in rows:
        confusion[place[p.true], place[p.predicted]] += 1
    total = confusion.sum(axis=1)
    return SplitScore(
        split=name,
        images=clustered_share(right, [p.compound for p in rows], rng),
        wells=_wells(rows, rng),
        classes=tuple(classes),
        confusion=confusion,
        mean_recall=float((np.diag(confusion)[total > 0] / total[total > 0]).mean()),
        majority=float(total.max() / total.sum()),
        n_compounds=len({p.compound for p in rows}),
        n_batches=len({p.batch for p in rows}),
    )


def _wells(rows: list[Prediction], rng: np.random.Generator) -> Share:
    wells: dict[tuple[str, str], list[Prediction]] = {}
    for p in rows:
        wells.setdefault((p.plate, p.well), []).append(p)
    return clustered_share(
        np.array([_vote(its) for its in wells.values()]), [its[0].compound for its in wells.values()], rng
    )


def _vote(images: list[Prediction]) -> float:
    votes = Counter(p.predicted for p in images)
    most = max(votes.values())
    first = [c for c, n in votes.items() if n == most]
    return (images[0].true in first) / len(first)


def _check(name: SplitName, rows: list[Prediction]) -> None:
    seen: set[tuple[str, str, int]] = set()
    true: dict[tuple[str, str], tuple[str, str]] = {}
    for p in rows:
        if (p.plate, p.well, p.field) in seen:
            raise DataError(f"split {name}: plate {p.plate}, well {p.well}, field {p.field} is predicted twice")
        seen.add((p.plate, p.well, p.field))
        held = true.setdefault((p.plate, p.well), (p.true, p.compound))
        if held != (p.true, p.compound):
            raise DataError(
                f"split {name}: plate {p.plate}, well {p.well} is {held[0]} ({held[1]}) in one image and "
                f"{p.true} ({p.compound}) in another"
            )
