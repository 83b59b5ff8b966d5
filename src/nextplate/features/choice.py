"""What to measure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from nextplate.errors import DataError
from nextplate.features.granularity import GrainRule

GROUPS = (
    "shape", "hull", "moments", "intensity", "radial", "texture", "texture-directions", "granularity",
    "colocalisation", "neighbours",
)  # fmt: skip
"""All groups of features per object, in the order of their columns."""

_WITH_NUMBERS: dict[str, tuple[int, ...]] = {
    "texture": (3,),
    "texture-directions": (3,),
    "radial": (4,),
    "neighbours": (5,),
    "granularity": (16,),
}
"""Groups that take numbers after a colon, and what they take without."""


BASIC = ("shape", "intensity")
"""What "basic" stands for: the cheapest groups that say how cells look."""

_WORDS = ("basic", "all", "none", "field")


@dataclass(frozen=True, slots=True)
class Choice:
    """The groups to measure, and their settings."""

    groups: frozenset[str]
    texture_px: tuple[int, ...] = ()
    """Distances between the pixels of a pair, ascending; features are means over four directions."""
    texture_directions_px: tuple[int, ...] = ()
    """Distances for which each direction has features of its own."""
    n_rings: int = 4
    neighbour_px: int = 5
    grains: GrainRule = field(default_factory=GrainRule)
    n_levels: int = 256
    """Grey levels of the texture, 2 to 256; CellProfiler has 256."""
    white: float | None = None
    """Brightness of the highest grey level; None: the largest value of whole numbers, 1.0 of floats."""


def select(wanted: Iterable[str], *, n_levels: int = 256, white: float | None = None) -> Choice:
    """Choose groups of features by name: `select(["shape", "texture:3,9", "radial:6"])`.

    Names are those of GROUPS, or "all". After a colon stand the distances of texture (several, default 3), the number
    of rings (4), the distance of neighbours (5) or the number of grain sizes (16).

    Raises:
        DataError: a name is not known, or its numbers are not allowed.
    """
    if not 2 <= n_levels <= 256:
        raise DataError(f"texture has 2 to 256 grey levels, not {n_levels}")
    if white is not None and not white > 0:
        raise DataError(f"the brightness of the highest grey level is above 0, not {white}")
    numbers: dict[str, tuple[int, ...]] = {}
    for word in wanted:
        for group, values in _read(word).items():
            numbers[group] = tuple(sorted({*numbers.get(group, ()), *values}))
    _check_single(numbers)
    return Choice(
        groups=frozenset(numbers),
        texture_px=numbers.get("texture", ()),
        texture_directions_px=numbers.get("texture-directions", ()),
        n_rings=numbers.get("radial", (4,))[0],
        neighbour_px=numbers.get("neighbours", (5,))[0],
        grains=GrainRule(n_sizes=numbers.get("granularity", (16,))[0]),
        n_levels=n_levels,
        white=white,
    )


def _read(word: str) -> dict[str, tuple[int, ...]]:
    """Return the groups one word stands for, each with its numbers."""
    name, _, given = word.partition(":")
    if word == "all":
        return {group: _WITH_NUMBERS.get(group, ()) for group in GROUPS}
    if name not in GROUPS:
        raise DataError(f"no group of features is called {name!r}; there are: all, {', '.join(GROUPS)}")
    if not given and word == name:
        return {name: _WITH_NUMBERS.get(name, ())}
    numbers = given.split(",")
    if name not in _WITH_NUMBERS or not all(number.isdecimal() and 0 < int(number) < 1000 for number in numbers):
        raise DataError(
            f"{word!r}: after the colon stand whole numbers from 1 to 999, in {', '.join(_WITH_NUMBERS)} only"
        )
    return {name: tuple(int(number) for number in numbers)}


def _check_single(numbers: dict[str, tuple[int, ...]]) -> None:
    for group in ("radial", "neighbours", "granularity"):
        if len(numbers.get(group, ())) > 1:
            raise DataError(f"{group} takes one number, found {', '.join(map(str, numbers[group]))}")


def parse_features(text: str) -> tuple[Choice | None, bool]:
    """Read a choice in one line, as people type it: "basic", "none", "all", "shape texture:3,9 field".

    Returns:
        (the groups per object, None for none; whether whole fields are measured, which "all" includes).

    Raises:
        DataError: as `select`; names the groups there are.
    """
    # Commas part groups, and the numbers of one: texture:3,9.
    words = [w for w in re.split(r"[\s;]+|,(?!\d)", text.strip()) if w]
    if words == ["none"]:
        return None, False
    if words in ([], ["list"]):
        raise DataError(f"groups of features: basic ({' '.join(BASIC)}), all, none, field, {', '.join(GROUPS)}")
    if unknown := [w for w in words if w not in _WORDS and w.partition(":")[0] not in GROUPS]:
        raise DataError(f"no group of features is called {unknown[0]!r}; there are {', '.join((*_WORDS, *GROUPS))}")
    groups = [g for w in words if w != "field" for g in (BASIC if w == "basic" else (w,))]
    return (select(groups) if groups else None), "field" in words or "all" in words
