"""set-size: where a label set with a coverage promise cannot decide (conformal uncertainty sampling)."""

import numpy as np

from nextplate.acquisition.rules.entropy import entropy
from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec, Told
from nextplate.conformal import label_sets
from nextplate.prediction import Prediction


def set_size(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray | Told:
    """Score by the number of labels in the class-conditional conformal set, 0 to 2, plus half the lower p-value.

    So undecided compounds come first, the most undecided of them before the others. It explores: where hits are rare
    and the belief is young it finds no more of them than lots do. Without calibrating compounds
    entropy takes its place, and that is told.

    Raises:
        DataError: the calibrating scores or labels, or the means, are no numbers or of other lengths.
    """
    if knobs.cal_scores is None or knobs.cal_is_hit is None or len(knobs.cal_scores) == 0:
        note = "no out-of-fold predictions to make label sets of: ranked by the entropy of P(hit) instead"
        return Told(entropy(prediction, knobs, rng), (note,))
    sets = label_sets(knobs.cal_scores, knobs.cal_is_hit, prediction.mean, level=knobs.level)
    scores = sets.size + 0.5 * np.minimum(sets.p_hit_label, sets.p_not_label)
    return Told(scores, sets.notes)


SPEC = RuleSpec("set-size", set_size, calibrates=True)
