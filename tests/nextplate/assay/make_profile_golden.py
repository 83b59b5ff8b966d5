"""Write golden_copairs_0_5_5_pycytominer_1_7_1.json: what these two say of the generated profiles.

Run by hand, with an environment of its own (neither is a dependency, nextplate.assay.plate_profiles says why):

    python3.11 -m venv /tmp/copairs
    /tmp/copairs/bin/pip install copairs==0.5.5 pycytominer==1.7.1     (not with constraints.txt: see there)
    PYTHONPATH=. /tmp/copairs/bin/python tests/nextplate/assay/make_profile_golden.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from copairs.map import average_precision, mean_average_precision
from pycytominer import feature_select, normalize

from tests.nextplate.assay.profile_scene import scene

SHOWN = (0, 30, 60)
"""Wells whose numbers are kept."""
N_DRAWS = 200_000


def golden() -> dict[str, object]:
    profiles, features, plates, compounds = scene()
    meta = pd.DataFrame({"Metadata_plate": plates, "Metadata_compound": compounds})
    frame = pd.concat([meta, pd.DataFrame(profiles, columns=features)], axis=1)
    negative = "Metadata_compound == 'DMSO'"
    by_plate = [
        normalize(f, features=features, meta_features=list(meta), samples=negative, method="mad_robustize")
        for _, f in frame.groupby("Metadata_plate")
    ]
    robust = pd.concat(by_plate, ignore_index=True)
    selected = feature_select(
        robust, features=features, operation=["variance_threshold", "drop_na_columns", "correlation_threshold"]
    )
    kept = [c for c in selected if c.startswith("Cells_")]
    without_mirror = [f for f in kept if f != "Cells_F13"]
    sphered = normalize(
        selected,
        features=without_mirror,
        meta_features=list(meta),
        samples=negative,
        method="spherize",
        spherize_method="ZCA-cor",
        spherize_epsilon=1e-12,
    )
    return {
        "versions": {name: version(name) for name in ("copairs", "pycytominer")},
        "robust_z": {f: _rounded(robust[f].to_numpy()[list(SHOWN)]) for f in without_mirror},
        "kept": kept,
        "sphered": {f: _rounded(sphered[f].to_numpy()[list(SHOWN)]) for f in without_mirror},
        "map": _precision(sphered, without_mirror),
    }


def _precision(frame: pd.DataFrame, features: list[str]) -> dict[str, list[float]]:
    meta = frame[["Metadata_plate", "Metadata_compound"]].assign(
        is_negative=frame["Metadata_compound"] == "DMSO",
        reference=np.where(frame["Metadata_compound"] == "DMSO", np.arange(len(frame)), -1),
    )
    found = average_precision(
        meta,
        frame[features].to_numpy(),
        pos_sameby=["Metadata_compound", "reference"],
        pos_diffby=[],
        neg_sameby=[],
        neg_diffby=["is_negative"],
        progress_bar=False,
    )
    samples = found[~found["is_negative"]]
    scored = mean_average_precision(
        samples, ["Metadata_compound"], null_size=N_DRAWS, threshold=0.05, seed=1, progress_bar=False, cache_dir="/tmp"
    )
    columns = ["Metadata_compound", "mean_average_precision", "p_value", "corrected_p_value"]
    return {name: _rounded(numbers) for name, *numbers in scored[columns].itertuples(index=False)}


def _rounded(values: object) -> list[float]:
    return [float(f"{v:.7g}") for v in np.asarray(values, dtype=float)]


if __name__ == "__main__":
    path = Path(__file__).with_name("golden_copairs_0_5_5_pycytominer_1_7_1.json")
    path.write_text(json.dumps(golden(), indent=1) + "\n")
    print(path.read_text())
