"""Features that are missing, constant or copies are dropped, each with its reason."""

import numpy as np
import pytest

from nextplate.assay.features import select_features
from nextplate.errors import DataError


def test_each_rule_drops_its_feature_and_says_why():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 100))
    holes = rng.normal(size=100)
    holes[:10] = np.nan
    x = np.stack([a, b, 2 * a + 0.01 * b, np.full(100, 7.0), holes, -b], axis=1)
    found = select_features(x, ["a", "b", "a2", "flat", "holes", "minus_b"])
    reasons = dict(found.dropped)
    assert reasons["flat"] == "constant"
    assert reasons["holes"] == "missing"
    assert len({"a", "a2"} & set(found.kept)) == 1
    assert len({"b", "minus_b"} & set(found.kept)) == 1
    assert set(found.kept) | set(reasons) == {"a", "b", "a2", "flat", "holes", "minus_b"}
    assert "holes" in select_features(x, ["a", "b", "a2", "flat", "holes", "minus_b"], max_missing=0.1).kept


def test_no_two_kept_features_are_correlated_beyond_the_limit():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 40)) + 0.3 * rng.normal(size=(60, 40))
    names = [f"f{i}" for i in range(40)]
    kept = [names.index(n) for n in select_features(x, names).kept]
    r = np.abs(np.corrcoef(x[:, kept], rowvar=False)) - np.eye(len(kept))
    assert r.max() <= 0.9
    dropped = [i for i in range(40) if i not in kept]
    whole = np.abs(np.corrcoef(x, rowvar=False))
    assert all(whole[i, kept].max() > 0.9 for i in dropped)


def test_names_must_match():
    with pytest.raises(DataError, match="2 feature names"):
        select_features(np.zeros((3, 3)), ["a", "b"])
