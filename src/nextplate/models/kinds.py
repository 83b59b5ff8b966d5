"""Kinds of belief: what the loop needs of one, and the kinds there are.

A kind is a module (or any object) with four functions. Adding one is a file with them and a line in KINDS. One that
is dear to ask about millions of compounds also names the kinds that may screen for it, ``SCREENS = ("lightgbm",)``
(see ``screens``).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelError

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Rows = Index | slice


class Kind(Protocol):
    """A kind of belief. Equal arguments give equal beliefs."""

    def fit(
        self, features: Features, rows: Index, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, seed: int = 0
    ) -> Any:
        """Fit a belief to labelled compounds.

        Args:
            features: of the library; a kind takes from them what it needs.
            rows: shape (n,): rows of the library that are labelled; replicates of a compound repeat its row.
            y: shape (n,): responses, higher is better; or 0/1, and then the mean predicted is a probability.
            weight: shape (n,), e.g. wells per compound; None weighs all alike.
            seed: of everything random.

        Returns:
            The belief; its ``notes`` tell an operator what fell back to what.

        Raises:
            ModelError: there is nothing to fit.
        """

    def predict(self, belief: Any, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
        """Return mean and spread (a standard deviation) of m compounds, each of shape (m,); rows None: of all.

        Raises:
            ModelError: the features are not those the belief was fitted on.
        """

    def save(self, belief: Any, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
        """Write the belief to a new folder without pickles, the same bytes for the same belief."""

    def load(self, folder: Path) -> Any:
        """Read what save wrote.

        Raises:
            ModelError: the folder is not whole, not unaltered, or not of this kind.
        """


def screens(kind: Kind, n_labels: int) -> tuple[str, ...]:
    """Name the kinds that may screen a large library for a dear one, best first; none for a cheap kind.

    A kind is dear where predicting a compound costs far more than by trees. It declares ``SCREENS``, and where it is
    dear only from so many labels on, ``DEAR_FROM``.

    Args:
        kind: of belief.
        n_labels: that the belief was fitted to.
    """
    names: tuple[str, ...] = getattr(kind, "SCREENS", ())
    return names if n_labels >= getattr(kind, "DEAR_FROM", 0) else ()


def _lightgbm() -> Kind:
    from nextplate.models import lightgbm

    return lightgbm


def _forest() -> Kind:
    from nextplate.models import forest

    return forest


def _nearest() -> Kind:
    from nextplate.models import nearest

    return nearest


def _committee() -> Kind:
    from nextplate.models import committee

    return committee


def _gp() -> Kind:
    from nextplate.models import gp

    return gp


def _minmax_gp() -> Kind:
    from nextplate.models import gp
    from nextplate.models.variants import Variant

    return Variant(gp, {"kernels": (0,), "noise": 0.3})


def _extra_trees() -> Kind:
    from nextplate.models import forest
    from nextplate.models.variants import Variant

    return Variant(forest, {"is_extra": True})


def _auto() -> Kind:
    from nextplate.models import auto

    return auto


def _deep() -> Kind:
    from nextplate.models import deep

    return deep


def _mpnn() -> Kind:
    from nextplate.models import mpnn

    return mpnn


def _fusion() -> Kind:
    from nextplate.models.fusion import Fusion

    return Fusion()


def _early_fusion() -> Kind:
    from nextplate.models.fusion import Fusion

    return Fusion(mode="early")


def _profiles() -> Kind:
    from nextplate.models.imaged import Imaged

    return Imaged("profiles")


def _cell_count() -> Kind:
    from nextplate.models.imaged import Imaged

    return Imaged("cell-count", counts_only=True)


KINDS: Mapping[str, Callable[[], Kind]] = MappingProxyType(
    {
        "lightgbm": _lightgbm,
        "forest": _forest,
        "nearest": _nearest,
        "committee": _committee,
        "gp": _gp,
        "minmax-gp": _minmax_gp,
        "extra-trees": _extra_trees,
        "auto": _auto,
        "deep": _deep,
        "mpnn": _mpnn,
        "fusion": _fusion,
        "early-fusion": _early_fusion,
        "profiles": _profiles,
        "cell-count": _cell_count,
    }
)
"""By the name in lab.toml. Each is imported when it is first asked for, as some load libraries that others need not."""

CELL_COUNT = "cell-count"
OF_IMAGES = ("fusion", "early-fusion", "profiles", CELL_COUNT)
"""Kinds that learn from image profiles (``Features.profiles``)."""
FUSED_CHEMISTRY = "lightgbm"
"""Kind of the belief about structures in fusion: the same, alone, tells what images add."""


def kind_of(name: str) -> Kind:
    """Return a kind by the name in lab.toml.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in KINDS:
        raise ModelError(f"there is no kind of belief {name!r}; the kinds are: {', '.join(KINDS)}")
    return KINDS[name]()
