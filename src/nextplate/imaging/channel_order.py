"""Wrong channel order: is the channel declared DNA the nuclear one, in a well and on the whole plate?

Two tests, because each is blind where the other sees. *Looks*: the declared channel does not look nuclear and another
does (`ChannelLook.likeness`); it needs no other well and finds a wrong declaration, but not a swap in a well whose
reporter is nuclear too. *Fit*: the well's files fit the plate much better with two channels swapped; it compares
background, brightness and form with the other wells, and needs a plate that is right on the whole. A dead or empty well
fails neither: it has no objects to look at, and its background is that of its channel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError
from nextplate.imaging.channel_look import ChannelLook
from nextplate.imaging.quality import MIN_WELLS_FOR_FOCUS as MIN_WELLS

_Values = npt.NDArray[np.float64]

_NOT_NUCLEAR, _NUCLEAR = -0.3, 0.6
"""Likeness below which the declared channel, and above which another, must lie."""
_MIN_OBJECTS = 10.0
"""Objects per field that a verdict on looks needs: three dead cells prove nothing."""
_MIN_VOTES = 0.1
"""The declaration is wrong when more wells speak against it than for it, and at least this share of the plate does."""
_FEATURES = ("compactness", "contrast", "free_share", "log_area", "log_brightness", "log_background")
_FLOORS = np.array([0.01, 0.3, 0.03, 0.2, 0.2, 0.05])
"""Least spread of each feature among good wells."""
_MAX_Z = 6.0
"""One feature far off, say the brightness of a treated well, does not decide alone."""
_MIN_GAIN = 10.0
"""Half the difference of squared z by which the swapped order must fit better: odds of exp(10) under normal
features, less in earnest, for the tails are cut at _MAX_Z."""


@dataclass(frozen=True, slots=True)
class ChannelOrder:
    """The verdict on a plate, wells in the order given."""

    is_wrong: npt.NDArray[np.bool_]
    """Shape (n_wells,)."""
    reasons: tuple[str, ...]
    """A sentence per well; '' where nothing is wrong."""
    nuclear_channel: str | None
    """The channel that looks nuclear where the declaration is wrong for the plate; None where it holds."""


def judge_channel_order(looks: Mapping[str, Sequence[ChannelLook]], dna: str) -> ChannelOrder:
    """Judge the wells of a plate; `looks` has one entry per channel, each with one look per well.

    Raises:
        DataError: the DNA channel is not among them, or channels have different numbers of wells.
    """
    n = {len(wells) for wells in looks.values()}
    if dna not in looks or len(n) != 1:
        raise DataError(f"channel order needs channel {dna!r} and one look per well and channel; got {list(looks)}")
    others = [name for name in looks if name != dna]
    by_looks = _by_looks(looks, dna, others)
    channel = _plate_channel(looks, dna, others, by_looks)
    if channel is not None:
        # The plate's own wells are no measure of right then, and wells that show nothing are declared wrongly too.
        found = ["" if _votes_for(looks, dna, others, i) else c or channel for i, c in enumerate(by_looks)]
    else:
        found = [a or b for a, b in zip(by_looks, _by_fit(looks, dna, others), strict=True)]
    reasons = tuple(f"wrong-channel-order: the image filed as {c} looks like {dna}" if c else "" for c in found)
    return ChannelOrder(np.array([bool(c) for c in found], bool), reasons, channel)


def _by_looks(looks: Mapping[str, Sequence[ChannelLook]], dna: str, others: Sequence[str]) -> list[str]:
    """Return, per well, the channel that looks nuclear in place of the declared one; '' for none."""
    return [
        max(others, key=lambda c: _sure(looks[c][i]), default="")
        if looks[dna][i].likeness < _NOT_NUCLEAR and max((_sure(looks[c][i]) for c in others), default=-9) > _NUCLEAR
        else ""
        for i in range(len(looks[dna]))
    ]


def _sure(look: ChannelLook) -> float:
    return look.likeness if look.n_objects >= _MIN_OBJECTS else -9.0


def _plate_channel(
    looks: Mapping[str, Sequence[ChannelLook]], dna: str, others: Sequence[str], found: Sequence[str]
) -> str | None:
    """Count wells against and for the declaration; where two channels look nuclear a well abstains."""
    named = [c for c in found if c]
    n_for = sum(_votes_for(looks, dna, others, i) for i in range(len(found)))
    if not named or len(named) <= n_for or len(named) < _MIN_VOTES * len(found):
        return None
    return max(sorted(set(named)), key=named.count)


def _votes_for(looks: Mapping[str, Sequence[ChannelLook]], dna: str, others: Sequence[str], i: int) -> bool:
    return _sure(looks[dna][i]) > _NUCLEAR and all(not _sure(looks[c][i]) > _NUCLEAR for c in others)


def _by_fit(looks: Mapping[str, Sequence[ChannelLook]], dna: str, others: Sequence[str]) -> list[str]:
    """Return, per well, the channel whose file and the DNA file fit better swapped; '' for none."""
    n = len(looks[dna])
    values = {name: _matrix(wells) for name, wells in looks.items()}
    if n < MIN_WELLS or not others:
        return [""] * n
    gains = np.stack([_gain(values[dna], values[c]) for c in others])
    best = gains.argmax(axis=0)
    return [others[best[i]] if gains[best[i], i] > _MIN_GAIN else "" for i in range(n)]


def _gain(dna: _Values, other: _Values) -> _Values:
    """Return by how much each well fits better swapped: half the difference of summed squared z, shape (n,)."""
    as_filed = _misfit(dna, dna) + _misfit(other, other)
    swapped = _misfit(other, dna) + _misfit(dna, other)
    return np.asarray((as_filed - swapped) / 2)


def _misfit(wells: _Values, plate: _Values) -> _Values:
    """Return the squared robust z of wells in the plate's distribution, summed; an unknown feature adds nothing."""
    z = np.stack([_z(wells[:, k], plate[:, k], float(_FLOORS[k])) for k in range(len(_FEATURES))])
    return np.asarray(np.where(np.isfinite(z), np.minimum(z * z, _MAX_Z**2), 0).sum(axis=0))


def _z(values: _Values, plate: _Values, floor: float) -> _Values:
    finite = plate[np.isfinite(plate)]
    if finite.size == 0:
        return np.full(values.shape, np.nan)
    centre = float(np.median(finite))
    spread = max(1.4826 * float(np.median(np.abs(finite - centre))), floor)
    return np.asarray((values - centre) / spread)


def _matrix(wells: Sequence[ChannelLook]) -> _Values:
    return np.array([[getattr(w, name) for name in _FEATURES] for w in wells], np.float64).reshape(-1, len(_FEATURES))
