"""Three splits of images, each keeping its promise, and accuracies that are never pooled over them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay.moa_predictions import Prediction, score_predictions
from nextplate.assay.moa_splits import compound_batch_split, compound_split, random_split
from nextplate.errors import DataError


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def image_sets(draw):
    """Compounds of 2 to 4 classes, each in one or several of up to 4 batches, with 1 to 3 images a batch."""
    n_classes = draw(st.integers(2, 4))
    rows = []
    for c in range(draw(st.integers(n_classes, 12))):
        for b in draw(st.sets(st.integers(0, 3), min_size=1, max_size=3)):
            rows += [(f"m{c % n_classes}", f"c{c}", f"w{b}")] * draw(st.integers(1, 3))
    classes, compounds, batches = zip(*draw(st.permutations(rows)), strict=True)
    return classes, compounds, batches


@settings(max_examples=60, deadline=None)
@given(image_sets(), st.integers(2, 5), st.integers(0, 99))
def test_what_is_tested_was_not_trained_on_and_could_have_been_learned(images, n_folds, seed):
    classes, compounds, batches = images
    splits = (
        random_split(classes, n_folds, rng(seed)),
        compound_split(classes, compounds, n_folds, rng(seed)),
        compound_batch_split(classes, compounds, batches, n_folds, rng(seed)),
    )
    everyone = list(zip(*images, strict=True))
    others = [(lambda a, b: a[1] != b[1]), (lambda a, b: a[1] != b[1] and a[2] != b[2])]
    for split, is_other in zip(splits[1:], others, strict=True):
        testable = {i for i, a in enumerate(everyone) if any(a[0] == b[0] and is_other(a, b) for b in everyone)}
        assert testable == {int(i) for f in split.folds for i in f.test}
    for split in splits:
        tested = np.concatenate([f.test for f in split.folds]) if split.folds else np.empty(0, np.int64)
        assert len(tested) == len(set(tested.tolist())) == len(classes) - split.n_untested
        assert set(split.untestable) == set(classes) - {classes[i] for i in tested}
        for f in split.folds:
            assert not set(f.train) & set(f.test)
            assert {classes[i] for i in f.test} <= {classes[i] for i in f.train}
            if split.name != "random":
                assert not {compounds[i] for i in f.train} & {compounds[i] for i in f.test}
            if split.name == "compounds-batches":
                assert not {batches[i] for i in f.train} & {batches[i] for i in f.test}


def test_a_class_that_cannot_be_tested_is_told():
    classes = ["X", "X", "Y", "Y", "Z", "Z"]
    compounds = ["a", "b", "c", "d", "e", "e"]
    batches = ["1", "2", "1", "1", "1", "2"]
    assert random_split(classes, 2, rng()).untestable == ()
    # Z has one compound, so nothing is left to train on; Y has two, in one batch.
    assert compound_split(classes, compounds, 2, rng()).untestable == ("Z",)
    both = compound_batch_split(classes, compounds, batches, 2, rng())
    assert both.untestable == ("Y", "Z")
    assert both.n_untested == 4


def test_every_image_that_could_be_tested_is():
    """Each MOA in every batch with its own compounds: one fold a batch."""
    rows = [(m, f"{m}{b}", f"w{b}") for m in "XYZ" for b in range(4) for _ in range(3)]
    split = compound_batch_split(*zip(*rows, strict=True), 5, rng())
    assert len(split.folds) == 4
    assert split.n_untested == 0
    assert all(len(f.train) == 27 for f in split.folds)


def test_a_control_compound_of_all_batches_does_not_empty_the_training_part():
    rows = [(m, f"{m}{b}", f"w{b}") for m in "XY" for b in range(3)] + [("X", "taxol", f"w{b}") for b in range(3)]
    split = compound_batch_split(*zip(*rows, strict=True), 2, rng())
    assert split.n_untested == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: random_split(["X"], 1, rng()), "1 folds"),
        (lambda: random_split([], 2, rng()), "no images"),
        (lambda: compound_split(["X", "Y"], ["a"], 2, rng()), "differ in length"),
        (lambda: compound_split(["X", "Y"], ["a", "a"], 2, rng()), "compound a has the classes X and Y"),
    ],
)
def test_what_cannot_be_split_is_refused(make, words):
    with pytest.raises(DataError, match=words):
        make()


# --- predictions ---


def prediction(i: int, true: str, predicted: str, split="random", compound: str | None = None) -> Prediction:
    return Prediction(split, "p", f"A{i // 4 + 1:02d}", i % 4, compound or f"c{i // 4}", f"w{i // 8}", true, predicted)


def test_each_split_stands_apart_with_images_and_wells():
    easy = [prediction(i, "XY"[i // 4 % 2], "XY"[i // 4 % 2]) for i in range(16)]
    hard = [prediction(i, "XY"[i // 4 % 2], "X", "compounds") for i in range(16)]
    scores = score_predictions([*hard, *easy], rng())
    assert [s.split for s in scores] == ["random", "compounds"]
    first, second = scores
    assert first.images.estimate == 1.0
    assert (first.images.n, first.images.n_clusters, first.wells.n) == (16, 4, 4)
    assert first.images.low < 0.5  # four compounds prove little
    assert second.images.estimate == second.mean_recall == second.majority == 0.5
    np.testing.assert_array_equal(second.confusion, [[8, 0], [8, 0]])
    assert second.n_batches == 2


def test_the_wells_of_a_split_vote_and_equal_votes_share():
    said = ["X", "X", "Y", "Y", "X", "Y", "Y", "Y", "X", "X", "X", "Y"]
    (score,) = score_predictions([prediction(i, "X", p) for i, p in enumerate(said)], rng())
    assert score.images.estimate == pytest.approx(6 / 12)
    assert score.wells.estimate == pytest.approx((0.5 + 0 + 1) / 3)


def test_predictions_that_contradict_themselves_are_refused():
    one = prediction(0, "X", "X")
    with pytest.raises(DataError, match="no predictions"):
        score_predictions([], rng())
    with pytest.raises(DataError, match="plate p, well A01, field 0 is predicted twice"):
        score_predictions([one, one], rng())
    with pytest.raises(DataError, match="no split 'all'; there are random, compounds, compounds-batches"):
        score_predictions([replace(one, split="all")], rng())  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"well A01 is X \(c0\) in one image and Y \(c0\)"):
        score_predictions([one, replace(one, field=1, true="Y")], rng())
