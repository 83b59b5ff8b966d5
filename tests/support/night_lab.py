"""Whole campaigns of the computing steps alone: real steps and structures, and an assay that a test writes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from controller.settings import PickingSection
from controller.step import run_step
from nextplate.chem.enumeration import wehi_smiles
from nextplate.chem.library import LibraryRow, featurise
from protocols.stock import StockWell

Assay = Callable[[list[int], int], Mapping[str, Any]]
"""(rows of the library, round) -> columns of responses.parquet that differ from a good, inactive well's."""


def make_library(folder: Path, n: int) -> Path:
    """Featurise the first n structures of the WEHI set."""
    rows = [LibraryRow(i + 2, f"C{i:04d}", s, s, "") for i, s in enumerate(wehi_smiles()[:n])]
    featurise(rows, folder, n_jobs=1)
    return folder


@dataclass
class NightLab:
    """A lab folder, what was measured in it, and what each step said."""

    folder: Path
    n: int
    assay: Assay
    kind: str = "nearest"
    n_wells: int = 24
    seed: int = 3
    belief: Mapping[str, Any] = field(default_factory=dict)
    """What the step fit is told beside the kind."""
    picking: Mapping[str, Any] = field(default_factory=dict)
    """What the step pick is told other than by default."""
    profiles: str = ""
    """File of image profiles in the folder, if the belief learns from them."""
    said: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)

    def run(self, rounds: int) -> "NightLab":
        """Make and measure so many plates, and the closing belief."""
        wells = [
            StockWell("SRC", "A01", f"C{i:04d}", 300_000, 10_000.0, "corning_96_wellplate_360ul_flat")
            for i in range(self.n)
        ]
        pl.DataFrame([asdict(w) for w in wells]).write_parquet(self.folder / "stock.parquet")
        for r in range(rounds):
            self._believe(r)
            self._plate(r)
        self._believe(rounds)
        return self

    def file(self, step: str, r: int, name: str) -> Path:
        """Path of a step's file."""
        return self.folder / self.said[step][r]["folder"] / name

    def json(self, step: str, r: int, name: str) -> Any:
        """Read a step's JSON file."""
        return json.loads(self.file(step, r, name).read_text())

    def notes(self, step: str, r: int) -> str:
        """Join the notes of a step's summary."""
        return "; ".join(self.said[step][r]["summary"]["notes"])

    def _step(self, step: str, r: int, inputs: Mapping[str, str], params: Mapping[str, Any]) -> None:
        whole = {"seed": self.seed, "round": r, "purpose": step, **params}
        self.said.setdefault(step, {})[r] = run_step(self.folder, step, inputs, whole, lambda *_: None)

    def _folder(self, step: str, r: int) -> str:
        folder: str = self.said[step][r]["folder"]
        return folder

    def _believe(self, r: int) -> None:
        if r == 0:
            return
        responses = {f"responses-{k}": f"responses-{k}.parquet" for k in range(r)}
        responses |= {"profiles": self.profiles} if self.profiles else {}
        self._step("fit", r, {"library": "library", **responses}, {"kind": self.kind, **self.belief})
        inputs = {"library": "library", "fitted": self._folder("fit", r), **self._met(r)}
        if r > 1:
            inputs["deployed"] = self._folder("fit", r - 1)
        self._step("calibrate", r, inputs, {"confidence": 0.9, "threshold": 0.5, "n_picks": self.n_wells, "beta": 0.5})

    def _met(self, r: int) -> dict[str, str]:
        return {f"met-{k}": self._folder("evaluate", k) for k in range(r)}

    def _plate(self, r: int) -> None:
        inputs = {"library": "library", "stock": "stock.parquet"}
        inputs |= {f"responses-{k}": f"responses-{k}.parquet" for k in range(r)}
        judged = {"responses": f"responses-{r}.parquet"}
        if r:
            inputs["predictions"] = f"{self._folder('calibrate', r)}/predictions.parquet"
            inputs["fitted"] = self._folder("fit", r)
            judged |= {"beside": f"{self._folder('fit', r)}/beside.parquet"} if self.profiles else {}
            judged["calibration"] = f"{self._folder('calibrate', r)}/calibration.json"
            judged |= {"predictions": inputs["predictions"], "promise": self._folder("calibrate", r)}
        params = {**PickingSection().model_dump(mode="json"), "n_wells": self.n_wells, "n_confirm": 0, "controls": []}
        params |= {"dose_um": 10.0, "transfer_ul": 0.05, "well_volume_ul": 49.95, "hit_threshold": 0.5, "excluded": []}
        params |= self.picking
        self._step("pick", r, {**inputs, **self._met(r)}, params)
        judged["picks"] = f"{self._folder('pick', r)}/picks.parquet"
        self._measure(r)
        self._step("evaluate", r, {**judged, **self._met(r)}, {"confidence": 0.9})

    def _measure(self, r: int) -> None:
        ids = pl.read_parquet(self.file("pick", r, "picks.parquet"))["compound_id"].to_list()
        n = len(ids)
        columns = {"plate": [f"NP-{r}"] * n, "well": [f"W{i}" for i in range(n)], "role": ["sample"] * n}
        columns |= {"compound_id": ids, "replicate": [0] * n, "dose_um": [10.0] * n, "viability": [1.0] * n}
        columns |= {"activity": [0.0] * n, "flags": [""] * n, "is_used": [True] * n, "is_toxic": [False] * n}
        columns |= self.assay([int(i[1:]) for i in ids], r)
        frame = pl.DataFrame(columns).with_columns(pl.col("activity").cast(pl.Float64))
        is_hit = pl.col("is_used") & (pl.col("activity") >= 0.5) & ~pl.col("is_toxic")
        frame.with_columns(is_hit=is_hit.fill_null(value=False)).write_parquet(self.folder / f"responses-{r}.parquet")


def noise(rows: list[int], r: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Draw the assay's noise of a round."""
    drawn: np.ndarray[Any, np.dtype[np.float64]] = np.random.default_rng([17, r]).normal(0, 0.1, len(rows))
    return drawn
