"""B-scores take rows and columns out by medians and say when they should not be used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay.b_score import b_scores, median_polish
from nextplate.errors import DataError


def by_hand(plate: np.ndarray, sweeps: int = 10, tolerance: float = 0.01) -> np.ndarray:
    """Polish one plate line by line; return the residuals."""
    residual, before = plate.copy(), 0.0
    for _ in range(sweeps):
        for i in range(residual.shape[0]):
            if np.isfinite(residual[i]).any():
                residual[i] -= np.nanmedian(residual[i])
        for j in range(residual.shape[1]):
            if np.isfinite(residual[:, j]).any():
                residual[:, j] -= np.nanmedian(residual[:, j])
        now = np.nansum(np.abs(residual))
        if now == 0 or abs(now - before) <= tolerance * now:
            break
        before = now
    return residual


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(3, 9), st.floats(0, 0.3))
def test_polish_is_the_one_by_hand_and_adds_up(seed, rows, columns, missing):
    rng = np.random.default_rng(seed)
    plate = rng.normal(size=(rows, columns))
    plate[rng.random(plate.shape) < missing] = np.nan
    found = median_polish(plate[None])
    np.testing.assert_allclose(found.residual[0], by_hand(plate), atol=1e-12)
    whole = found.overall[0] + found.row[0][:, None] + found.column[0][None, :] + found.residual[0]
    known = np.isfinite(whole)
    np.testing.assert_allclose(whole[known], plate[known], atol=1e-12)


def test_position_effects_go_and_actives_stay():
    rng = np.random.default_rng(1)
    effects = rng.normal(0, 2, (2, 16, 1)) + rng.normal(0, 2, (2, 1, 24))
    plates = effects + rng.normal(0, 0.1, (2, 16, 24))
    plates[0, 3, 5] += 1.5
    found = b_scores(plates)
    assert found.scores[0, 3, 5] > 10
    rest = np.delete(found.scores[0].ravel(), 3 * 24 + 5)
    assert np.abs(rest).max() < 6
    assert np.median(np.abs(rest)) == pytest.approx(1 / 1.4826, rel=0.1)
    # The truth has each line's effect only up to a constant, which the overall takes.
    row = found.polish.row[1] - np.median(effects[1, :, 0])
    assert np.corrcoef(row, effects[1, :, 0])[0, 1] > 0.999


def test_a_quiet_plate_has_no_warning():
    assert b_scores(np.random.default_rng(2).normal(size=(1, 16, 24))).warnings == ((),)


def spoilt(name: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    plate, control = rng.normal(size=(1, 16, 24)), np.zeros((1, 16, 24), np.bool_)
    match name:
        case "controls":
            control[0, :, ::3] = True
        case "actives":
            plate[rng.random(plate.shape) < 0.3] += 30
        case "ordered":
            plate[0, :, 7] += 8
        case "control column":
            control[0, :, 0] = True
        case "no samples":
            control[:] = True
        case "no spread":
            plate[:] = 1.0
    return plate, control


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("controls", "33% of the wells are controls"),
        ("actives", "of the samples stand out"),
        ("ordered", "column 8 reads"),
        ("control column", "columns 1: too few samples"),
        ("no samples", "no sample well"),
        ("no spread", "no spread"),
    ],
)
def test_what_speaks_against_the_scores_is_said(name, words):
    found = b_scores(*spoilt(name))
    assert any(words in w for w in found.warnings[0]), found.warnings


def test_controls_do_not_shape_the_effects_but_are_scored():
    plate, control = spoilt("quiet")
    control[0, 2, ::4] = True
    strong = plate + 100 * control
    plain, found = b_scores(plate, control), b_scores(strong, control)
    np.testing.assert_allclose(found.scores[~control], plain.scores[~control])
    assert (found.scores[control] > 50).all()
    only = b_scores(*spoilt("control column"))
    assert np.isnan(only.scores[0, :, 0]).all()
    assert np.isfinite(only.scores[0, :, 1:]).all()


def test_a_wrong_shape_is_refused():
    with pytest.raises(DataError, match="plates, rows, columns"):
        b_scores(np.zeros((16, 24)))
