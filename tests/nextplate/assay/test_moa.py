"""NSC and NSCB: what is held out is held out, by hand and by property."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay.clustered_share import clustered_difference, clustered_share
from nextplate.assay.moa import MoaScores, Treatments, score_moa, score_nsc, score_nscb
from nextplate.assay.moa_profiles import TreatedWells, normalise_wells, treatments_of
from nextplate.errors import DataError


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def treatments(rows: list[tuple[str, float, str, str, list[float]]]) -> Treatments:
    compound, concentration, moa, batch, profiles = zip(*rows, strict=True)
    return Treatments(compound, concentration, moa, batch, np.array(profiles, dtype=np.float64))


HAND = [
    # Two doses of a are each other's nearest, and must not be asked. Next is b (X, same batch), then c (Y).
    ("a", 1.0, "X", "week1", [1.0, 0.00, 0.0]),
    ("a", 2.0, "X", "week1", [1.0, 0.01, 0.0]),
    ("b", 1.0, "X", "week1", [1.0, 0.10, 0.0]),
    ("c", 1.0, "Y", "week2", [1.0, 0.40, 0.0]),
    ("d", 1.0, "Y", "week1", [0.0, 1.0, 0.0]),
    ("e", 1.0, "X", "week3", [0.0, 0.0, 1.0]),
    ("f", 1.0, "Z", "week2", [0.0, 0.5, 1.0]),
]


def test_by_hand_nsc_and_nscb_differ():
    t = treatments(HAND)
    scores = score_moa(t, t, rng())
    nsc = {a.treatment: a for a in scores.nsc.answers}
    # f is the only compound of Z: nobody can be right about it.
    assert scores.nsc.unscored == ("f @ 1",)
    assert {k: (a.neighbour, a.right) for k, a in nsc.items()} == {
        "a @ 1": ("b @ 1", 1.0),
        "a @ 2": ("b @ 1", 1.0),
        "b @ 1": ("a @ 2", 1.0),
        "c @ 1": ("b @ 1", 0.0),
        "d @ 1": ("f @ 1", 0.0),
        "e @ 1": ("f @ 1", 0.0),
    }
    assert scores.nsc.accuracy.estimate == pytest.approx(3 / 6)
    assert (scores.nsc.accuracy.n, scores.nsc.accuracy.n_clusters) == (6, 5)
    nscb = {a.treatment: a for a in scores.nscb.answers}
    # Without week1, the nearest to a and b is c (Y) of week2; only e (X) could have been right.
    assert {k: (a.neighbour, a.right) for k, a in nscb.items()} == {
        "a @ 1": ("c @ 1", 0.0),
        "a @ 2": ("c @ 1", 0.0),
        "b @ 1": ("c @ 1", 0.0),
        "c @ 1": ("b @ 1", 0.0),
        "d @ 1": ("f @ 1", 0.0),
        "e @ 1": ("f @ 1", 0.0),
    }
    assert scores.drop.estimate == pytest.approx(0.5)
    assert scores.nsc_same.estimate == pytest.approx(0.5)
    assert scores.nsc.classes == ("X", "Y", "Z")
    np.testing.assert_array_equal(scores.nsc.confusion, [[3, 0, 1], [1, 0, 1], [0, 0, 0]])
    assert len(scores.nsc.wrong) == 3


def test_a_moa_of_one_batch_is_scored_by_nsc_and_not_by_nscb():
    t = treatments([*HAND, ("g", 1.0, "Z", "week2", [0.0, 0.5, 1.1])])
    scores = score_moa(t, t, rng())
    assert scores.nsc.unscored == ()
    assert scores.nscb.unscored == ("f @ 1", "g @ 1")
    # The drop is taken where both can be scored; the plain difference would count f and g for NSC only.
    assert scores.nsc_same.n == scores.nscb.accuracy.n == 6


def test_a_treatment_in_several_batches_is_asked_in_each():
    t = treatments([("a", 1.0, "X", "", [1.0, 0.0]), ("b", 1.0, "X", "", [1.0, 0.1]), ("c", 1.0, "Y", "", [0.5, 1.0])])
    parts = treatments(
        [
            ("a", 1.0, "X", "1", [1.0, 0.0]),
            ("a", 1.0, "X", "2", [0.5, 1.0]),
            ("b", 1.0, "X", "3", [1.0, 0.1]),
            ("c", 1.0, "Y", "3", [0.5, 1.0]),
        ]
    )
    scores = score_moa(t, parts, rng())
    assert scores.n_in_several_batches == 1
    right = {a.treatment: a.right for a in scores.nscb.answers}
    assert right == {"a @ 1": 0.5, "b @ 1": 1.0}
    np.testing.assert_allclose(scores.nscb.confusion, [[1.5, 0.5], [0, 0]])
    assert next(a for a in scores.nscb.answers if a.compound == "a").neighbour == "c @ 1"


def test_equal_neighbours_share_the_vote():
    t = treatments([("a", 1.0, "X", "", [1.0, 0.0]), ("b", 1.0, "X", "", [1.0, 1.0]), ("c", 1.0, "Y", "", [1.0, -1.0])])
    by_name = {a.compound: a for a in score_nsc(t, rng()).answers}
    assert by_name["a"].right == 0.5
    assert by_name["a"].chance == 0.5


@pytest.mark.parametrize("score", [score_nsc, score_nscb])
def test_treatments_come_once(score):
    with pytest.raises(DataError, match="occurs twice"):
        score(treatments([HAND[0], HAND[0]]), rng())


def test_unequal_lengths_and_numbers_that_are_none_are_refused():
    with pytest.raises(DataError, match="differ in length"):
        Treatments(("a",), (1.0,), ("X", "Y"), ("",), np.zeros((1, 2)))
    with pytest.raises(DataError, match="finite"):
        Treatments(("a",), (1.0,), ("X",), ("",), np.array([[np.nan]]))


# --- from wells ---


def wells(seed: int, n_features: int = 12, signal: float = 6.0, batch_effect: float = 4.0) -> TreatedWells:
    """3 MOAs x 3 compounds x 2 concentrations; each compound in one of 3 batches, two plates each, 4 DMSO a plate."""
    r = np.random.default_rng(seed)
    direction = {m: r.normal(size=n_features) for m in "XYZ"}
    rows = []
    for batch in range(3):
        shift, scale = r.normal(size=n_features) * batch_effect, r.uniform(0.5, 2, n_features)
        for plate in range(2):
            for i in range(4):
                rows.append(
                    (f"w{batch}p{plate}", f"A{i + 1:02d}", f"w{batch}", "DMSO", 0.0, "", True, 0.0, shift, scale)
                )
            for k, moa in enumerate("XYZ"):
                for j, dose in enumerate((0.3, 3.0)):
                    place = f"{'BCD'[k]}{j + 1:02d}"
                    rows.append(
                        (f"w{batch}p{plate}", place, f"w{batch}", f"{moa}{batch}", dose, moa, False,
                         signal * direction[moa], shift, scale)
                    )  # fmt: skip
    profiles = np.stack([(r.normal(size=n_features) + row[7]) * row[9] + row[8] for row in rows])
    cols = list(zip(*rows, strict=True))
    names = tuple(f"f{i}" for i in range(n_features))
    return TreatedWells(*cols[:6], np.array(cols[6]), names, profiles)  # type: ignore[arg-type]


def scored(w: TreatedWells, how="robust") -> MoaScores:
    return score_moa(*treatments_of(normalise_wells(w, how).wells), rng())


@pytest.mark.parametrize("how", ["robust", "sphere"])
def test_a_clear_mechanism_is_found_across_batches(how):
    scores = scored(wells(1), how)
    assert scores.nsc.accuracy.n == scores.nscb.accuracy.n == 18
    assert scores.nsc.accuracy.estimate > 0.9
    assert scores.nscb.accuracy.estimate > 0.9
    assert scores.nsc.accuracy.low < scores.nsc.accuracy.estimate


def permuted(w: TreatedWells, order: np.ndarray, names: dict[str, str]) -> TreatedWells:
    def of(values):
        return tuple(values[i] for i in order)

    compound = tuple(names.get(c, c) for c in of(w.compound))
    return TreatedWells(
        of(w.plate), of(w.well), of(w.batch), compound, of(w.concentration), of(w.moa), w.is_control[order],
        w.features, w.profiles[order],
    )  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(9)), st.sampled_from(["robust", "sphere"]))
def test_order_of_wells_and_names_of_compounds_change_nothing(seed, shuffle, how):
    w = wells(seed % 7, signal=1.0)
    before = scored(w, how)
    named = sorted({c for c in w.compound if c != "DMSO"})
    names = {old: f"cpd-{n}" for old, n in zip(named, shuffle, strict=True)}
    after = scored(permuted(w, np.random.default_rng(seed).permutation(len(w.plate)), names), how)
    for one, other in ((before.nsc, after.nsc), (before.nscb, after.nscb)):
        assert one.accuracy.estimate == pytest.approx(other.accuracy.estimate)
        np.testing.assert_allclose(one.confusion, other.confusion)
        assert {(names[a.compound], a.concentration): a.right for a in one.answers} == {
            (a.compound, a.concentration): a.right for a in other.answers
        }


def test_random_profiles_score_what_chance_says():
    r = np.random.default_rng(4)
    base = treatments([(f"c{i // 2}", float(i % 2), "XYZ"[i % 7 % 3], f"w{i % 5}", [0.0]) for i in range(60)])
    found = []
    for _ in range(40):
        t = Treatments(base.compound, base.concentration, base.moa, base.batch, r.normal(size=(60, 8)))
        found.append(score_moa(t, t, rng()))
    for kind in ("nsc", "nscb"):
        mean = np.mean([getattr(s, kind).accuracy.estimate for s in found])
        expected = np.mean([getattr(s, kind).chance for s in found])
        assert mean == pytest.approx(expected, abs=0.03)  # 2400 treatments: a standard error near 0.01


def test_what_only_the_batch_shares_misleads_nsc_and_not_nscb():
    """Few DMSO wells leave a plate's wells alike. Here a batch holds one compound of each MOA, so its pull is wrong."""
    found = [scored(wells(seed, signal=0.0)) for seed in range(40)]
    nsc = np.mean([s.nsc.accuracy.estimate for s in found])
    nscb, chance = (np.mean(v) for v in zip(*((s.nscb.accuracy.estimate, s.nscb.chance) for s in found), strict=True))
    assert nsc < 0.6 * np.mean([s.nsc.chance for s in found])
    assert nscb == pytest.approx(chance, abs=0.07)


def test_missing_numbers_flat_features_and_blank_wells_are_told():
    w = wells(3)
    p = np.hstack([w.profiles, np.ones((len(w.plate), 1)), w.profiles[:, :1] * 3])
    p[9, 2] = np.nan
    p[20:40, 4] = np.nan
    p[np.asarray(w.plate) == "w0p0", 6] = 5.0
    p[7] = np.nan
    w = TreatedWells(
        w.plate, w.well, w.batch, w.compound, w.concentration, w.moa, w.is_control, (*w.features, "one", "twin"), p
    )
    done = normalise_wells(w)
    reasons = dict(done.dropped_features)
    assert reasons["one"] == "constant"
    assert reasons["f4"] == "missing"
    assert "f6" not in reasons  # one plate without spread borrows that of the others
    assert sum(r.startswith("copy of") for r in reasons.values()) == 1
    assert done.dropped_wells == ((w.plate[7], w.well[7], "no number at all"),)
    assert np.isfinite(done.wells.profiles).all()
    assert len(done.wells.plate) == len(w.plate) - 1


@pytest.mark.parametrize("how", ["robust", "sphere"])
def test_a_feature_that_only_treatments_excite_is_not_lost(how):
    """Rectified units of a network are silent in DMSO: no MAD, and yet they tell X from the rest."""
    w = wells(3, signal=0.0)
    unit = np.array([40.0 if m == "X" else 0.0 for m in w.moa])
    w = replace(w, features=(*w.features, "unit"), profiles=np.hstack([w.profiles, unit[:, None]]))
    done = normalise_wells(w, how)
    if how == "sphere":  # what has no noise cannot be whitened, and that is told
        assert dict(done.dropped_features)["unit"] == "constant in the DMSO wells of batch w0"
    else:
        assert "unit" in done.wells.features
        z = done.wells.profiles[:, -1]
        assert z[np.asarray(w.moa) == "X"].min() > 1 > z[np.asarray(w.moa) != "X"].max()


def test_a_plate_without_controls_is_named():
    w = wells(3)

    def without(plates: list[str]) -> TreatedWells:
        is_control = w.is_control & ~np.isin(np.asarray(w.plate), plates)
        return replace(w, is_control=is_control)

    done = normalise_wells(without(["w1p1"]))
    words = "plate w1p1: 0 DMSO wells with numbers, 2 are needed to normalise it"
    assert {(p, r) for p, _, r in done.dropped_wells} == {("w1p1", words)}
    assert "w1p1" not in done.wells.plate
    with pytest.raises(DataError, match="plate w0p0: 0 DMSO wells"):
        normalise_wells(without(sorted(set(w.plate))))
    with pytest.raises(DataError, match="normalisation 'none'"):
        normalise_wells(w, "none")  # type: ignore[arg-type]


def test_a_well_twice_is_named():
    w = wells(3)
    with pytest.raises(DataError, match="plate w0p0, well A01 occurs twice"):
        TreatedWells(
            w.plate, (w.well[0], w.well[0], *w.well[2:]), w.batch, w.compound, w.concentration, w.moa, w.is_control,
            w.features, w.profiles,
        )  # fmt: skip


# --- intervals ---


def test_an_interval_over_compounds_is_wider_than_one_over_images():
    r = np.random.default_rng(0)
    compound = np.repeat(np.arange(10), 50)
    right = np.repeat(r.random(10) < 0.6, 50).astype(float)
    by_compound = clustered_share(right, [str(c) for c in compound], rng())
    by_image = clustered_share(right, [str(i) for i in range(500)], rng())
    assert by_compound.high - by_compound.low > 4 * (by_image.high - by_image.low)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_right_or_all_wrong_is_not_certain(value):
    share = clustered_share(np.full(30, value), [str(i % 10) for i in range(30)], rng())
    # Clopper and Pearson for 10 of 10: 0.025^(1/10).
    assert (share.low, share.high) == pytest.approx((0.6915, 1.0) if value else (0.0, 0.3085), abs=1e-4)


def test_too_little_gives_no_interval():
    assert clustered_share(np.empty(0), [], rng()).estimate is None
    one = clustered_share(np.array([1.0, 0.0]), ["a", "a"], rng())
    assert (one.estimate, one.low, one.high) == (0.5, None, None)
    same = clustered_difference(np.ones(3), np.ones(3), ["a", "b", "c"], rng())
    assert (same.estimate, same.low) == (0.0, None)
    with pytest.raises(DataError, match="2 cluster names for 3"):
        clustered_share(np.ones(3), ["a", "b"], rng())


@pytest.mark.parametrize("n_compounds", [12, 38])
def test_the_interval_covers(n_compounds):
    """Of intervals for compounds that are right with their own probability, about 95 in 100 hold the mean."""
    r = np.random.default_rng(11)
    hits = 0
    for _ in range(200):
        p = np.repeat(r.beta(4, 2, n_compounds), 3)
        share = clustered_share((r.random(len(p)) < p).astype(float), [str(i // 3) for i in range(len(p))], r, 400)
        hits += share.low <= 4 / 6 <= share.high
    assert hits / 200 > 0.87
