"""The noun: a fitted model of the response, and what every one of them tells of what it was fitted on."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable


@runtime_checkable
class Belief(Protocol):
    """A fitted model of the response; what else it holds is its kind's business."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know, e.g. 'mean-only belief: all labels equal'."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a belief was fitted on."""

    n_labels: int
    level: float
    """Weighted mean of the labels: what a mean-only belief predicts. Of 0/1 labels the share of hits, shrunk."""
    level_spread: float
    """A mean-only belief's spread: one standard deviation of the next label, wide where labels say little."""
    is_binary: bool
    """All labels are 0 or 1: the mean is the probability of a hit."""
    seed: int
    data_digest: str
    """sha256 over the labelled compounds' structures and features, labels and weights."""
    library_digest: str
    """Of the library the labelled compounds are of."""
    n_bits: int
    """Of the fingerprints."""
    n_count_bits: int
    """Of the counted fingerprints."""
    descriptor_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_columns(self) -> int:
        """Width of the design matrix it was fitted on."""
        return self.n_bits + len(self.descriptor_names)

    def noting(self, *notes: str) -> "Learned":
        """Return the same with further notes."""
        return replace(self, notes=(*self.notes, *notes))
