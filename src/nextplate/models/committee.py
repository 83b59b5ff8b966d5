"""A committee: beliefs of several kinds fitted to the same labels, as modAL's Committee (Seung 1992) of any kinds.

The mean is the consensus, the members' average; of 0/1 labels that is the soft vote. The spread follows the law of
total variance: what the members are unsure of, and what they disagree about. ``draws`` gives the members' means,
for rules that look at disagreement (vote and consensus entropy, BALD, Thompson sampling by lot among members).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelError, ModelFileError
from nextplate.models.belief import Learned
from nextplate.models.design import Index, Rows
from nextplate.models.kinds import kind_of
from nextplate.models.labels import check_labels, learned_from
from nextplate.models.storage import learned_of, read_card, save_folder

FloatArray = npt.NDArray[np.float64]

MEMBERS = ("lightgbm", "forest", "nearest")


@dataclass(frozen=True, slots=True)
class Committee:
    """Beliefs of several kinds."""

    kinds: tuple[str, ...]
    """Names in KINDS; one may occur several times."""
    members: tuple[Any, ...]
    """The belief of each."""
    learned: Learned

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know; a member's notes carry its kind's name."""
        return self.learned.notes


def fit(
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    members: Sequence[str] = MEMBERS,
) -> Committee:
    """Fit every member to the same labels, each with a seed of its own.

    Args:
        features: of the library.
        rows: shape (n,): rows that are labelled.
        y: shape (n,), responses, or 0/1.
        weight: shape (n,); None weighs all alike.
        seed: of everything random.
        members: names of kinds.

    Raises:
        ModelError: no members, or a kind that is not there; as the kinds' fit.
    """
    if not members:
        raise ModelError(f"a committee needs members; name kinds, such as {', '.join(MEMBERS)}")
    labels = check_labels(features, rows, y, weight)
    fitted = [kind_of(name).fit(features, rows, y, weight, seed + i) for i, name in enumerate(members)]
    notes = [
        f"{name}: {note}" for name, belief in zip(members, fitted, strict=True) for note in getattr(belief, "notes", ())
    ]
    return Committee(tuple(members), tuple(fitted), learned_from(features, labels, seed, tuple(dict.fromkeys(notes))))


def predict(belief: Committee, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
    """Return the consensus and the total standard deviation, each shape (m,).

    Raises:
        ModelError: the library's features are others than those the members were fitted on.
    """
    each = _each(belief, features, rows)
    means, spreads = (np.stack([pair[i] for pair in each]) for i in (0, 1))
    return means.mean(axis=0), np.sqrt(means.var(axis=0) + (spreads**2).mean(axis=0))


def _each(belief: Committee, features: Features, rows: Rows | None) -> list[tuple[FloatArray, FloatArray]]:
    pairs = zip(belief.kinds, belief.members, strict=True)
    return [kind_of(name).predict(member, features, rows) for name, member in pairs]


def save(belief: Committee, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
    """Write a belief to a new folder, whole or not at all: a folder per member, and card.json.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """

    def fill(inside: Path) -> None:
        save_members(inside, belief.kinds, belief.members)

    save_folder(folder, "committee", belief.learned, fill, facts={"members": list(belief.kinds)}, metrics=metrics)


def save_members(folder: Path, kinds: Sequence[str], members: Sequence[Any]) -> None:
    """Write the belief of each member to a folder of its own: member_0, member_1, ..."""
    for i, (name, member) in enumerate(zip(kinds, members, strict=True)):
        kind_of(name).save(member, folder / f"member_{i}")


def load_members(folder: Path, kinds: Sequence[str]) -> tuple[Any, ...]:
    """Read what ``save_members`` wrote.

    Raises:
        ModelFileError: a member's folder is not whole, unaltered and of its kind.
    """
    return tuple(kind_of(name).load(folder / f"member_{i}") for i, name in enumerate(kinds))


def load(folder: Path) -> Committee:
    """Read a belief and check every file against the card, and every member's against its own.

    Raises:
        ModelFileError: a file is missing, altered, or of another kind or format.
    """
    card = read_card(folder, "committee")
    names = card["facts"].get("members")
    if not isinstance(names, list) or not names:
        raise ModelFileError(f"{folder / 'card.json'}: names no members; fit the belief again")
    return Committee(tuple(names), load_members(folder, names), learned_of(card))
