"""Collapsed cell counts and debris: found where they were put, silent on good plates, and never an exclusion."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextplate.imaging.debris import Debris
from nextplate.imaging.quality import FLAGS, WARNINGS, excludes
from nextplate.imaging.verdicts import Verdict, debris_scores, judge_cell_counts, judge_debris
from tests.nextplate.imaging.qc_plates import (
    QcPlate,
    bbbc013,
    dusty,
    killed,
    living,
    nf1,
    rendered,
    with_fibre,
)


def judged(n_cells: npt.NDArray[np.float64], is_negative: npt.NDArray[np.bool_] | None = None) -> Verdict:
    """Judge wells of one field each; an unknown count is a well without fields."""
    return judge_cell_counts(np.nan_to_num(n_cells), np.isfinite(n_cells).astype(np.float64), is_negative)


def counts(seed: int, n: int = 96, mean: float = 150.0) -> npt.NDArray[np.float64]:
    """Draw cell counts of living wells: Poisson, wells differing by 8 %."""
    rng = np.random.default_rng(seed)
    return rng.poisson(mean * np.exp(rng.normal(0, 0.08, n))).astype(np.float64)


@pytest.mark.parametrize("code", ["cell-count-collapse", "debris"])
def test_biology_warns_and_does_not_exclude(code: str) -> None:
    assert code in WARNINGS
    assert not excludes(code, 1)
    assert code in FLAGS


@pytest.mark.parametrize("mean", [10, 20, 50, 150, 1500])
@pytest.mark.parametrize("has_controls", [False, True])
def test_living_wells_are_hardly_ever_flagged(mean: float, has_controls: bool) -> None:
    is_negative = np.arange(96) < 16 if has_controls else None
    rate = np.mean([judged(counts(seed, mean=mean), is_negative).is_flagged.mean() for seed in range(60)])
    assert rate <= (0.001 if mean < 50 else 0.0)


@given(st.integers(0, 10_000), st.integers(1, 60), st.booleans())
def test_killed_wells_are_flagged_even_when_most_died(seed: int, n_killed: int, has_controls: bool) -> None:
    values = counts(seed)
    is_killed = np.arange(96) >= 96 - n_killed
    values[is_killed] = np.floor(values[is_killed] * 0.15)
    is_negative = np.arange(96) < 16 if has_controls else None
    verdict = judged(values, is_negative)
    np.testing.assert_array_equal(verdict.is_flagged, is_killed)
    assert all(bool(reason) == bad for reason, bad in zip(verdict.reasons, is_killed, strict=True))


def test_controls_are_the_measure_on_a_plate_of_poisons() -> None:
    values = counts(1)
    values[16:] = np.floor(values[16:] * 0.2)
    verdict = judged(values, np.arange(96) < 16)
    assert verdict.is_flagged[16:].all()
    assert not verdict.is_flagged[:16].any()
    assert verdict.reasons[20].startswith("cell-count-collapse: ")
    assert "the negative controls have" in verdict.reasons[20]


def test_a_collapsed_control_is_told_by_the_rest_of_the_plate() -> None:
    values = counts(2)
    values[3] = 4
    verdict = judged(values, np.arange(96) < 16)
    assert np.flatnonzero(verdict.is_flagged).tolist() == [3]
    assert verdict.reasons[3].startswith("cell-count-collapse: 4 cells per field, the living wells of the plate have 1")


@pytest.mark.parametrize(
    "values",
    [np.array([150.0] * 6 + [1.0]), np.full(96, 0.0), np.full(96, np.nan), np.array([1.0, 2.0] * 48), np.empty(0)],
)
def test_what_cannot_be_judged_is_not_flagged(values: npt.NDArray[np.float64]) -> None:
    assert not judged(values).is_flagged.any()
    assert not judge_debris(values).is_flagged.any()


def test_more_fields_make_a_low_count_sure() -> None:
    """Twenty cells per field where controls have fifty: chance in one field, not in the mean of nine."""
    few = np.array([50.0] * 95 + [20.0])
    for n_fields, expected in ((1.0, False), (9.0, True)):
        verdict = judge_cell_counts(few * n_fields, np.full(96, n_fields))
        assert verdict.is_flagged.tolist() == [False] * 95 + [expected]


def test_an_unmeasured_well_is_left_to_its_own_flag() -> None:
    values = counts(3)
    values[5] = np.nan
    assert not judged(values).is_flagged[5]


@pytest.fixture(scope="module")
def plate() -> QcPlate:
    return rendered(5, [living(e) for e in np.linspace(0, 1, 16)] + [killed(0.02), killed(0.1)], frozenset({15}))


def test_rendered_wells_collapse_when_they_are_killed(plate: QcPlate) -> None:
    found = np.array([plate.nuclei(plate.raw[w]["DNA"]).n for w in plate.wells], np.float64)
    np.testing.assert_array_equal(judged(found).is_flagged, np.arange(18) >= 16)


@pytest.mark.parametrize("kind", ["dust", "fibres"])
def test_debris_laid_on_a_rendered_well_is_found(plate: QcPlate, kind: str) -> None:
    wells = plate.wells[:16]
    clean = [plate.debris(plate.raw[w]["DNA"]) for w in wells]
    assert not judge_debris(debris_scores([[d] for d in clean])).is_flagged.any()
    rng = np.random.default_rng(0)
    for i in (0, 7, 12):
        raw = plate.raw[wells[i]]["DNA"]
        level = 4 * (plate.rule.plate_threshold or 0)
        if kind == "dust":
            raw = dusty(raw, rng, 150, level)
        else:
            raw = with_fibre(with_fibre(raw, rng, 2 * level), rng, 2 * level)
        soiled = debris_scores([[d] for d in (*clean[:i], plate.debris(raw), *clean[i + 1 :])])
        assert np.flatnonzero(judge_debris(soiled).is_flagged).tolist() == [i]


def test_a_clump_brighter_than_any_nucleus_glares(plate: QcPlate) -> None:
    raw = plate.raw["A01"]["DNA"].copy()
    raw[100:140, 100:140] = 60_000
    assert plate.debris(raw).glaring_px > 300


def test_one_speck_in_an_empty_well_is_one_speck() -> None:
    full, empty = Debris(10, 0, 5000), Debris(10, 0, 0)
    scores = debris_scores([[full], [full], [empty], []])
    np.testing.assert_allclose(scores, [0.002, 0.002, 0.002, np.nan])


def test_real_plates_are_clean() -> None:
    bbbc, roles = bbbc013(every=6)
    scores = debris_scores([[bbbc.debris(bbbc.raw[w]["DNA"])] for w in bbbc.wells])
    found = np.array([bbbc.nuclei(bbbc.raw[w]["DNA"]).n for w in bbbc.wells], np.float64)
    for is_negative in (None, np.array([roles[w] == "negative" for w in bbbc.wells])):
        assert not judge_debris(scores, is_negative).is_flagged.any()
        assert not judged(found, is_negative).is_flagged.any()
    schwann = nf1()
    assert debris_scores([[schwann.debris(schwann.raw[w]["DAPI"])] for w in schwann.wells]).max() < 0.01
