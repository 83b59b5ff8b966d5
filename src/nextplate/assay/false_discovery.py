"""Many tests at once."""

import numpy as np

from nextplate.assay.statistics import Values


def benjamini_hochberg(p: Values) -> Values:
    """Return adjusted p-values, q_(i) = min over j >= i of p_(j) n / j, at most 1; shape (n,), finite p in and out.

    Calling all with q <= a keeps the expected share of false calls at most a under independence or positive
    dependence (Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x).
    """
    n = len(p)
    order = np.argsort(p, kind="stable")
    raised = p[order] * n / np.arange(1, n + 1)
    q = np.empty(n)
    q[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return q


def inactive_share(p: Values, cut: float = 0.5) -> float:
    """Estimate the share of true nulls, #(p > cut) / ((1 - cut) n), between 1 / n and 1 (Storey 2002,
    doi 10.1111/1467-9868.00346); 1 without any p.
    """
    if len(p) == 0:
        return 1.0
    return float(min(1.0, max(1 / len(p), (p > cut).sum() / ((1 - cut) * len(p)))))
