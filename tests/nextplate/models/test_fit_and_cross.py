"""A belief and its predictions of labels it has not seen, by one call, on one scale."""

from pathlib import Path

import numpy as np
import pytest

from nextplate.compound import Features
from nextplate.conformal import calibrate, intervals
from nextplate.models import cross_predict, fit_and_cross, kind_of

N = 480
ALL = np.arange(N)


@pytest.fixture(scope="module")
def features() -> Features:
    rng = np.random.default_rng(7)
    cores = rng.random((8, 128)) < 0.15
    packed = np.packbits(cores[ALL % 8] ^ (rng.random((N, 128)) < 0.03), axis=1)
    descriptors = rng.normal(size=(N, 3)).astype(np.float32)
    ids = tuple(f"C{i}" for i in ALL)
    return Features(Path(), "digest", ids, ids, packed, descriptors, ("a", "b", "c"), packed, packed)


class Counting:
    """A kind that counts its fits."""

    def __init__(self, name: str) -> None:
        self.kind, self.n_fits = kind_of(name), 0

    def fit(self, *arguments):
        self.n_fits += 1
        return self.kind.fit(*arguments)

    def __getattr__(self, name):
        return getattr(self.kind, name)


@pytest.mark.parametrize(("name", "n_fits"), [("gp", 1), ("nearest", 6)])
def test_what_a_belief_kept_is_not_predicted_again(features, name, n_fits):
    kind = Counting(name)
    y = np.sin(ALL[:60])
    belief, mean, spread = fit_and_cross(kind, features, ALL[:60], y, None, 3)
    assert kind.n_fits == n_fits
    assert mean.shape == spread.shape == (60,)
    if name == "nearest":
        known = cross_predict(kind, features, ALL[:60], y, None, 3)
        np.testing.assert_array_equal(np.stack([mean, spread]), np.stack(known))
    else:
        np.testing.assert_array_equal(mean, belief.left_out[0])


@pytest.mark.parametrize(("name", "noise"), [("gp", 0.05), ("gp", 0.4), ("auto", 0.4), ("nearest", 0.4)])
def test_intervals_calibrated_by_it_hold_on_other_compounds(features, name, noise):
    rng = np.random.default_rng(4)
    y = (ALL % 8 == 3) * 0.8 + (ALL % 8 == 5) * 0.4 + rng.normal(0, noise, N)
    order = rng.permutation(N)
    known, asked = order[:150], order[150:]
    kind = kind_of(name)
    belief, mean, spread = fit_and_cross(kind, features, known, y[known], None, 1)
    lower, upper = intervals(calibrate(mean, spread, y[known], 0.9), *kind.predict(belief, features, asked))
    # three standard errors: of 330 asked compounds, and of a quantile of 150 calibrating ones
    assert np.mean((y[asked] >= lower) & (y[asked] <= upper)) == pytest.approx(0.9, abs=0.09)


@pytest.mark.parametrize("name", ["gp", "auto", "lightgbm"])
@pytest.mark.parametrize("y", [[0.5], [0.1] * 20, [0.0] * 30])
def test_labels_that_teach_nothing_fall_back_and_say_so(features, name, y):
    belief, mean, spread = fit_and_cross(kind_of(name), features, ALL[: len(y)], y)
    assert any("mean-only" in note for note in belief.notes)
    assert np.isnan(mean).all() == (len(y) == 1)
    assert len(mean) == len(spread) == len(y)
