"""Three ways to hold out images of a MOA classifier; what each can and cannot claim.

random: images are dealt out blindly, so the compounds, plates and even wells of a test image were trained on. Published
accuracies above 99 % are of this kind; they say that images are recognised, not mechanisms.
compounds: every compound is tested by a model that never saw it.
compounds-batches: neither the compound nor anything of its batch was seen; training wells of the tested batches are
left out, in addition to the compounds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nextplate.assay.retrieval import Codes
from nextplate.assay.spatial import Bools
from nextplate.errors import DataError

SplitName = Literal["random", "compounds", "compounds-batches"]
SPLITS: tuple[SplitName, ...] = ("random", "compounds", "compounds-batches")


@dataclass(frozen=True, slots=True)
class Fold:
    """One part to test and what may be trained on for it; ascending indices of the images (or wells) given."""

    train: Codes
    test: Codes


@dataclass(frozen=True, slots=True)
class Split:
    """Folds of one kind."""

    name: SplitName
    folds: tuple[Fold, ...]
    untestable: tuple[str, ...]
    """Classes of which no image is in any test part: training would hold no other example."""
    n_untested: int
    """Images in no test part."""


def random_split(classes: Sequence[str], n_folds: int, rng: np.random.Generator) -> Split:
    """Deal images out at random, each class evenly over the folds.

    Raises:
        DataError: fewer than two folds or no images.
    """
    names, code = _coded(classes, n_folds)
    fold = np.empty(len(code), np.int64)
    for i in range(len(names)):
        mine = rng.permutation(np.flatnonzero(code == i))
        # Begin at a random fold, or the first folds would get all the remainders.
        fold[mine] = (np.arange(len(mine)) + rng.integers(n_folds)) % n_folds
    everyone = np.ones(len(code), np.bool_)
    folds = [_fold(everyone & (fold != f), fold == f, code) for f in range(n_folds)]
    return _split("random", folds, names, code)


def compound_split(classes: Sequence[str], compounds: Sequence[str], n_folds: int, rng: np.random.Generator) -> Split:
    """Leave compounds out: the compounds of each class are dealt over the folds.

    Args:
        classes: MOA of each image.
        compounds: compound of each image.
        n_folds: parts; a class with fewer compounds is tested in fewer folds.
        rng: deals the compounds.

    Raises:
        DataError: fewer than two folds, no images, unequal lengths, or a compound with several classes.
    """
    names, code = _coded(classes, n_folds)
    group = _groups(compounds, code, classes, compounds)
    fold = _dealt(code, group, n_folds, rng)[group]
    everyone = np.ones(len(code), np.bool_)
    folds = [_fold(everyone & (fold != f), fold == f, code) for f in range(n_folds)]
    return _checked(_split("compounds", folds, names, code), compounds, None)


def compound_batch_split(
    classes: Sequence[str],
    compounds: Sequence[str],
    batches: Sequence[str],
    n_folds: int,
    rng: np.random.Generator,
) -> Split:
    """Leave compounds and their batches out: a fold for each batch and each part of the compounds found in it.

    Trained is on other compounds in other batches. One fold tests a whole batch; where a class would so lose all its
    training images (its other compounds are in this batch too), the batch's compounds are dealt over `n_folds` parts,
    and where that is still not enough each is tested alone. What has another compound of its class in another batch
    is always tested.

    Raises:
        DataError: as `compound_split`.
    """
    names, code = _coded(classes, n_folds)
    group = _groups(compounds, code, classes, batches)
    part = _dealt(code, group, n_folds, rng)[group]
    batch = np.unique(np.asarray(batches, dtype=np.str_), return_inverse=True)[1]
    folds = [f for b in np.unique(batch) for f in _batch_folds(batch == b, (part, group), group, batch, code)]
    split = _split("compounds-batches", folds, names, code)
    return _checked(split, compounds, batches)


def _batch_folds(test: Bools, finer: tuple[Codes, ...], group: Codes, batch: Codes, code: Codes) -> Iterator[Fold]:
    whole = _held_out(test, group, batch, code)
    if len(whole.test) == int(test.sum()) or not finer:
        yield whole
        return
    for value in np.unique(finer[0][test]):
        yield from _batch_folds(test & (finer[0] == value), finer[1:], group, batch, code)


def _held_out(test: Bools, group: Codes, batch: Codes, code: Codes) -> Fold:
    train = ~np.isin(group, group[test]) & ~np.isin(batch, batch[test])
    return _fold(train, test, code)


def _fold(train: Bools, test: Bools, code: Codes) -> Fold:
    """Leave test images out whose class has no training image: no model could be right on them."""
    can = np.isin(code, code[train])
    return Fold(np.flatnonzero(train), np.flatnonzero(test & can))


def _split(name: SplitName, folds: Sequence[Fold], names: npt.NDArray[np.str_], code: Codes) -> Split:
    kept = tuple(f for f in folds if len(f.test))
    tested = np.zeros(len(code), np.bool_)
    for f in kept:
        tested[f.test] = True
    untestable = tuple(str(n) for i, n in enumerate(names) if not tested[code == i].any())
    return Split(name, kept, untestable, int((~tested).sum()))


def _coded(classes: Sequence[str], n_folds: int) -> tuple[npt.NDArray[np.str_], Codes]:
    if n_folds < 2:
        raise DataError(f"{n_folds} folds; at least 2 are needed to have something to train on")
    if len(classes) == 0:
        raise DataError("there are no images to split")
    names, code = np.unique(np.asarray(classes, dtype=np.str_), return_inverse=True)
    return names, code.astype(np.int64)


def _groups(compounds: Sequence[str], code: Codes, classes: Sequence[str], others: Sequence[str]) -> Codes:
    if len(compounds) != len(code) or len(others) != len(code):
        raise DataError(f"{len(code)} classes, {len(compounds)} compounds and {len(others)} batches differ in length")
    names, group = np.unique(np.asarray(compounds, dtype=np.str_), return_inverse=True)
    pairs = np.unique(np.stack([group, code], axis=1), axis=0)
    twice = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    if len(twice):
        held = sorted({c for c, g in zip(classes, group, strict=True) if g == twice[0]})
        raise DataError(
            f"compound {names[twice[0]]} has the classes {' and '.join(held)}: its images cannot be left out as one; "
            "split it into two names or keep one class"
        )
    return group.astype(np.int64)


def _dealt(code: Codes, group: Codes, n_folds: int, rng: np.random.Generator) -> Codes:
    """Return the fold of each compound, shape (compounds,): those of a class go round the folds in random order."""
    first = np.unique(group, return_index=True)[1]
    of_class = code[first]
    fold = np.empty(len(first), np.int64)
    for c in np.unique(of_class):
        mine = rng.permutation(np.flatnonzero(of_class == c))
        fold[mine] = (np.arange(len(mine)) + rng.integers(n_folds)) % n_folds
    return fold


def _checked(split: Split, compounds: Sequence[str], batches: Sequence[str] | None) -> Split:
    """Look at every fold once more: what was left out must be out.

    Raises:
        DataError: a tested compound or batch is in its training part (a fault of this program).
    """
    for what, names in (("compound", compounds), ("batch", batches)):
        if names is None:
            continue
        for fold in split.folds:
            shared = {names[i] for i in fold.train} & {names[i] for i in fold.test}
            if shared:
                raise DataError(f"split {split.name}: {what} {min(shared)} is trained on and tested in one fold")
    return split
