"""Profiles of generated wells that any tool can be given: two plates, negatives, compounds in replicates."""

import numpy as np

N_FEATURES, N_NEGATIVE, N_COMPOUNDS, N_REPLICATES = 14, 24, 6, 4


def scene(seed: int = 7) -> tuple[np.ndarray, list[str], list[str], list[str]]:
    """Return (profiles, feature names, plate of each well, compound of each well; DMSO is the negative).

    Features 10 and 11 copy features 0 and 1, feature 12 is constant, feature 13 turns feature 2 around.
    """
    rng = np.random.default_rng(seed)
    compounds = ["DMSO"] * N_NEGATIVE + [f"C{i}" for i in range(N_COMPOUNDS) for _ in range(N_REPLICATES // 2)]
    effect = rng.normal(0, 1.2, (N_COMPOUNDS, 10)) * np.linspace(0, 1, N_COMPOUNDS)[:, None]
    mixing = rng.normal(0, 0.5, (10, 10)) + np.eye(10)
    rows, plates, names = [], [], []
    for plate in ("P1", "P2"):
        offset, gain = rng.normal(0, 3, 10), rng.uniform(0.7, 1.4, 10)
        for compound in compounds:
            mean = 0 if compound == "DMSO" else effect[int(compound[1:])]
            rows.append((rng.normal(0, 1, 10) @ mixing + mean) * gain + offset)
            plates.append(plate)
            names.append(compound)
    x = np.array(rows)
    copies = x[:, :2] + rng.normal(0, 0.01, (len(x), 2))
    x = np.hstack([x, copies, np.full((len(x), 1), 5.0), 1 - x[:, 2:3]])
    return x, [f"Cells_F{i}" for i in range(N_FEATURES)], plates, names
