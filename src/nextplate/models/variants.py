"""Kinds that are another kind with some of its options set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.belief import Belief
from nextplate.models.kinds import FloatArray, Index, Kind, Rows


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind fitted with options; its beliefs and their folders are those of the kind."""

    kind: Kind
    options: Mapping[str, Any]
    """Passed to the kind's fit."""

    @property
    def SCREENS(self) -> tuple[str, ...]:  # as modules declare it
        """Kinds that may screen for it: those of the kind."""
        return getattr(self.kind, "SCREENS", ())

    @property
    def DEAR_FROM(self) -> int:
        """Labels from which it is dear: as the kind."""
        return getattr(self.kind, "DEAR_FROM", 0)

    def fit(
        self,
        features: Features,
        rows: Index,
        y: npt.ArrayLike,
        weight: npt.ArrayLike | None = None,
        seed: int = 0,
        **more: Any,
    ) -> Belief:
        """Fit as the kind does, with the options."""
        belief: Belief = self.kind.fit(features, rows, y, weight, seed, **self.options, **more)
        return belief

    def predict(self, belief: Any, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
        """Predict as the kind does."""
        return self.kind.predict(belief, features, rows)

    def save(self, belief: Any, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
        """Save as the kind does."""
        self.kind.save(belief, folder, metrics=metrics)

    def load(self, folder: Path) -> Any:
        """Load as the kind does."""
        return self.kind.load(folder)
