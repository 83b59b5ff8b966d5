"""Does a treatment look like others of its mechanism? NSC and NSCB: nearest neighbours that must not be copies.

Ljosa et al. 2013 (doi 10.1177/1087057113503553): each treatment (compound and concentration) is given the mechanism of
action (MOA) of its nearest neighbour by cosine distance, with every treatment of the same compound set aside (NSC, not
same compound). Ando, McLean, Berndl 2017 (doi 10.1101/161422) set those of the same batch aside as well (NSCB): what
is then lost was the batch, not the biology.

Where the papers are silent: a treatment with no other compound of its MOA among its candidates cannot be right; it is
not scored, and counted. For NSCB a treatment whose wells lie in several batches (a control compound on every plate) is
asked once in each of them, against other compounds' wells in other batches; its score is the share that is right. With
every treatment in one batch this is the published rule. Equally near neighbours of different MOAs share the vote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.assay.clustered_share import Share, clustered_difference, clustered_share
from nextplate.assay.retrieval import Codes, cosine
from nextplate.assay.spatial import Bools
from nextplate.assay.sphering import Profiles
from nextplate.assay.statistics import Values
from nextplate.errors import DataError

_TIE = 1e-12
"""Similarities this close are equal: rounding must not choose a neighbour."""


@dataclass(frozen=True, slots=True)
class Treatments:
    """Treatments with their profiles; every sequence has n entries."""

    compound: tuple[str, ...]
    concentration: tuple[float, ...]
    """In the unit of the tables (micromolar in BBBC021)."""
    moa: tuple[str, ...]
    batch: tuple[str, ...]
    """Where NSCB is asked: one batch each. '' where a profile is over all batches."""
    profiles: Profiles
    """Shape (n, features), finite."""

    def __post_init__(self) -> None:
        """Refuse unequal lengths and profiles that are not finite."""
        n = len(self.compound)
        if {len(self.concentration), len(self.moa), len(self.batch), len(self.profiles)} != {n}:
            raise DataError("compound, concentration, moa, batch and profiles of treatments differ in length")
        if self.profiles.ndim != 2 or not np.isfinite(self.profiles).all():
            raise DataError("treatment profiles must be a finite table; select features first")

    def name(self, i: int) -> str:
        """Write a treatment as people do: compound @ concentration."""
        return f"{self.compound[i]} @ {self.concentration[i]:g}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the neighbour of one treatment says."""

    treatment: str
    compound: str
    concentration: float
    moa: str
    predicted: str
    """MOA of the neighbour; the first by name where equally near ones disagree, or batches do."""
    neighbour: str
    similarity: float
    """Cosine, -1 to 1."""
    right: float
    """1 right, 0 wrong; between where neighbours tie or the batches of the treatment disagree."""
    chance: float
    """What a neighbour drawn at random would score."""


@dataclass(frozen=True, slots=True)
class NeighbourScore:
    """NSC or NSCB of a set of treatments."""

    accuracy: Share
    """Interval over compounds; the neighbours themselves are not drawn again."""
    chance: float | None
    """Expected accuracy of neighbours drawn at random; None without scored treatments."""
    answers: tuple[Answer, ...]
    """Scored treatments, by compound and concentration."""
    unscored: tuple[str, ...]
    """Treatments without any candidate of their own MOA."""
    classes: tuple[str, ...]
    """MOAs, sorted."""
    confusion: Profiles
    """Shape (classes, classes), rows are true; a treatment counts 1 in all."""

    @property
    def wrong(self) -> tuple[Answer, ...]:
        """Treatments that are not entirely right."""
        return tuple(a for a in self.answers if a.right < 1)


@dataclass(frozen=True, slots=True)
class MoaScores:
    """NSC, NSCB and what is lost between them."""

    nsc: NeighbourScore
    nscb: NeighbourScore
    drop: Share
    """NSC - NSCB over the treatments scored in both, paired: the plain difference would mix in those that NSCB
    cannot score."""
    nsc_same: Share
    """NSC over those treatments only."""
    n_in_several_batches: int
    """Treatments with wells in more than one batch."""


def score_nsc(treatments: Treatments, rng: np.random.Generator) -> NeighbourScore:
    """Score every treatment by its nearest neighbour of another compound.

    Args:
        treatments: one row per treatment; batches do not matter.
        rng: of the interval.

    Raises:
        DataError: a treatment occurs twice.
    """
    if len(set(_keys(treatments))) != len(treatments.compound):
        raise DataError("a treatment occurs twice; NSC takes one profile per compound and concentration")
    return _score(treatments, _differs(treatments.compound), rng)


def score_nscb(by_batch: Treatments, rng: np.random.Generator) -> NeighbourScore:
    """Score every treatment by its nearest neighbour of another compound in another batch.

    Args:
        by_batch: one row per treatment and batch.
        rng: of the interval.

    Raises:
        DataError: a treatment occurs twice in a batch.
    """
    if len(set(zip(_keys(by_batch), by_batch.batch, strict=True))) != len(by_batch.compound):
        raise DataError("a treatment occurs twice in a batch; NSCB takes one profile per treatment and batch")
    return _score(by_batch, _differs(by_batch.compound) & _differs(by_batch.batch), rng)


def score_moa(treatments: Treatments, by_batch: Treatments, rng: np.random.Generator) -> MoaScores:
    """Score NSC on `treatments` and NSCB on `by_batch`, and compare them on the treatments that both score.

    Raises:
        DataError: as `score_nsc` and `score_nscb`.
    """
    nsc, nscb = score_nsc(treatments, rng), score_nscb(by_batch, rng)
    without = {a.treatment: a for a in nsc.answers}
    both = [(without[a.treatment], a) for a in nscb.answers if a.treatment in without]
    first, second = (np.array([pair[i].right for pair in both]) for i in (0, 1))
    compounds = [a.compound for a, _ in both]
    keys = _keys(by_batch)
    return MoaScores(
        nsc=nsc,
        nscb=nscb,
        drop=clustered_difference(first, second, compounds, rng),
        nsc_same=clustered_share(first, compounds, rng),
        n_in_several_batches=sum(keys.count(key) > 1 for key in set(keys)),
    )


def _keys(t: Treatments) -> list[tuple[str, float]]:
    return list(zip(t.compound, t.concentration, strict=True))


def _differs(names: Sequence[str]) -> Bools:
    code = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)[1]
    return np.asarray(code[:, None] != code[None, :])


def _score(t: Treatments, is_candidate: Bools, rng: np.random.Generator) -> NeighbourScore:
    # Sorted by name, so that the order of the rows decides nothing, not even among equals.
    order = np.array(sorted(range(len(t.compound)), key=lambda i: (t.compound[i], t.concentration[i], t.batch[i])), int)
    t = _taken(t, order)
    is_candidate = is_candidate[np.ix_(order, order)]
    classes, code = np.unique(np.asarray(t.moa, dtype=np.str_), return_inverse=True)
    votes = _votes(cosine(t.profiles, t.profiles), is_candidate, code, len(classes))
    groups: dict[tuple[str, float], list[int]] = {}
    for i, key in enumerate(_keys(t)):
        groups.setdefault(key, []).append(i)
    answers, unscored, confusion = [], [], np.zeros((len(classes), len(classes)))
    for rows in groups.values():
        asked = [i for i in rows if votes.chance[i] > 0]
        if not asked:
            unscored.append(t.name(rows[0]))
            continue
        answers.append(_answer(t, asked, votes, code, classes))
        confusion[code[asked[0]]] += votes.share[asked].mean(axis=0)
    right = np.array([a.right for a in answers])
    return NeighbourScore(
        accuracy=clustered_share(right, [a.compound for a in answers], rng),
        chance=float(np.mean([a.chance for a in answers])) if answers else None,
        answers=tuple(answers),
        unscored=tuple(unscored),
        classes=tuple(str(c) for c in classes),
        confusion=confusion,
    )


@dataclass(frozen=True, slots=True)
class _Votes:
    """What the nearest candidates of each of n rows say."""

    share: Profiles
    """Shape (n, classes), summing to 1; a row without candidates is 0."""
    nearest: Codes
    """Shape (n,): the first of the nearest; meaningless without candidates."""
    similarity: Values
    chance: Values
    """Shape (n,): candidates of the row's own class among all its candidates; 0 without candidates."""


def _votes(similarity: Profiles, is_candidate: Bools, code: npt.NDArray[np.int64], n_classes: int) -> _Votes:
    n = len(code)
    masked = np.where(is_candidate, similarity, -np.inf)
    best = masked.max(axis=1, initial=-np.inf)
    is_nearest = is_candidate & (masked >= best[:, None] - _TIE)
    one_hot = np.eye(n_classes)[code]
    count = np.maximum(is_nearest.sum(axis=1, keepdims=True), 1)
    own = (is_candidate & (code[:, None] == code[None, :])).sum(axis=1)
    nearest = is_nearest.argmax(axis=1) if n else np.empty(0, np.int64)
    return _Votes(is_nearest @ one_hot / count, nearest, best, own / np.maximum(is_candidate.sum(axis=1), 1))


def _answer(
    t: Treatments, asked: list[int], votes: _Votes, code: npt.NDArray[np.int64], classes: npt.NDArray[np.str_]
) -> Answer:
    own = int(code[asked[0]])
    share = votes.share[asked].mean(axis=0)
    # The neighbour told is a wrong one where there is one: that is what a reader wants to look at.
    told = next((i for i in asked if code[votes.nearest[i]] != own), asked[0])
    return Answer(
        treatment=t.name(asked[0]),
        compound=t.compound[asked[0]],
        concentration=t.concentration[asked[0]],
        moa=t.moa[asked[0]],
        predicted=str(classes[int(share.argmax())]),
        neighbour=t.name(int(votes.nearest[told])),
        similarity=float(votes.similarity[told]),
        right=float(share[own]),
        chance=float(votes.chance[asked].mean()),
    )


def _taken(t: Treatments, order: npt.NDArray[np.int64]) -> Treatments:
    def of(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[i] for i in order)

    concentration = tuple(t.concentration[i] for i in order)
    return Treatments(of(t.compound), concentration, of(t.moa), of(t.batch), t.profiles[order])
