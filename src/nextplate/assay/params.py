"""When a plate counts and what a hit is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AssayParams:
    """When a plate counts and what a hit is."""

    hit_threshold: float = 0.5
    """Activity (0 = negative, 1 = positive control) from which a well is a hit."""
    min_viability: float = 0.5
    """Cells against the negatives' median below which a well is toxic and cannot be a hit."""
    hit_z: float = 3.0
    """A hit must also stand so many robust standard deviations above the negatives."""
    min_z_prime: float = 0.3
    """The robust Z' below which the plate fails."""
    min_controls: int = 3
    """Good wells needed of each control."""
    max_flagged_share: float = 0.3
    """The plate fails when more of its wells than this cannot be used."""
    corrects_edge: bool = True
    """Take an edge effect out where one is found and enough wells show it; False: only report it."""
    edge_z_limit: float = 4.0
    """An edge effect is one from this |z| on."""
    accepts_failed: bool = False
    """A person has said to use the plate in spite of its failures: its good wells are used and may be hits."""
