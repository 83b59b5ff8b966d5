"""bald: where knowing the outcome would teach the belief most.

The mutual information of hit or no hit and the belief: the entropy of the mean prediction less the mean entropy of the
predictions (Houlsby, Huszar, Ghahramani, Lengyel 2011, arXiv 1112.5745). Noise that no belief can remove is not
rewarded, which plain entropy does.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from nextplate.acquisition.rules.entropy import bits
from nextplate.acquisition.rules.rule import NO_DRAWS, FloatArray, Knobs, RuleSpec, Told, draws_of
from nextplate.errors import PlanError
from nextplate.prediction import Prediction

_LEAST = 1e-9
# Houlsby et al. section 3: the entropy of a probit is nearly exp(-x^2 / (pi ln 2)).
_C2 = float(np.pi * np.log(2) / 2)


def bald(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray | Told:
    """Score by the information, in bits, that the outcome gives about the belief.

    With a threshold each draw d says P(hit) = Phi((d - threshold) / noise), with noise 0 yes or no; without one the
    draws are probabilities. Without draws the belief is normal: Houlsby's closed form with a threshold, the three
    points of Gauss and Hermite without.

    Raises:
        PlanError: negative noise.
    """
    del rng
    if not knobs.noise >= 0:
        raise PlanError(f"the noise is {knobs.noise}; it is a standard deviation, 0 or more")
    draws = draws_of(prediction)
    if draws is not None:
        return _information(((1 / len(draws), _chance(draw, knobs)) for draw in draws), len(prediction.mean))
    if np.isnan(knobs.threshold):
        step = np.sqrt(3) * prediction.spread
        nodes = ((1 / 6, -step), (2 / 3, 0 * step), (1 / 6, step))
        said = ((w, np.clip(prediction.mean + away, 0, 1)) for w, away in nodes)
        return Told(_information(said, len(prediction.mean)), (NO_DRAWS,))
    return Told(_probit(prediction, knobs), (NO_DRAWS,))


def _chance(draw: npt.NDArray[np.float32], knobs: Knobs) -> FloatArray:
    if np.isnan(knobs.threshold):
        probability: FloatArray = np.clip(draw.astype(np.float64), 0, 1)
        return probability
    if knobs.noise == 0:
        return (draw >= knobs.threshold).astype(np.float64)
    chance: FloatArray = ndtr((draw.astype(np.float64) - knobs.threshold) / knobs.noise)
    return chance


def _information(said: Iterable[tuple[float, FloatArray]], n: int) -> FloatArray:
    """Add up weighted predictions one by one, so that only one lies in memory; shape (n,), not negative."""
    mean, kept = np.zeros(n), np.zeros(n)
    for weight, chance in said:
        mean += weight * chance
        kept += weight * bits(chance)
    told: FloatArray = np.maximum(bits(np.clip(mean, 0, 1)) - kept, 0.0)
    return told


def _probit(prediction: Prediction, knobs: Knobs) -> FloatArray:
    noise = max(knobs.noise, _LEAST)
    away, width = (prediction.mean - knobs.threshold) / noise, prediction.spread / noise
    kept = np.sqrt(_C2 / (width**2 + _C2)) * np.exp(-(away**2) / (2 * (width**2 + _C2)))
    told: FloatArray = np.maximum(bits(ndtr(away / np.sqrt(width**2 + 1))) - kept, 0.0)
    return told


SPEC = RuleSpec("bald", bald, wants_draws=True, reads_noise=True)
