"""Where a plate mover's places are: a TOML file of taught positions, made by hand-guiding the arm.

::

    format = 1
    plate_width_mm = 85.5    # what the jaws read when they hold a plate
    open_mm = 100.0          # and when they are open
    safe = [400.0, 0.0, 180.0, -90.0]     # column mm, shoulder, elbow, wrist in degrees; a fifth number is the rail mm

    [places."deck/A2"]       # a place of drivers.ports.Move
    at = [250.0, 20.0, 100.0, -60.0]      # where the jaws close and open
    above = [300.0, 20.0, 100.0, -60.0]   # from where the way down is free

Every way goes safe, above, at, and back; the lines between must be free of obstacles, which nobody can check but the
person who taught them.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.pf400_words import JAWS
from nextplate.errors import SettingsError

FORMAT = 1
SAFE = "safe"
Pose = tuple[float, ...]
"""Joints without the jaws: column mm, three angles in degrees, and the rail in mm where there is one."""
_LIMIT = 10_000.0
_KEYS = {"format", "plate_width_mm", "open_mm", "safe", "places", "pose_tolerance", "jaw_tolerance_mm"}


@dataclass(frozen=True, slots=True)
class Nest:
    """A taught place."""

    at: Pose
    above: Pose


@dataclass(frozen=True, slots=True)
class Taught:
    """All that was taught."""

    path: Path
    safe: Pose
    nests: Mapping[str, Nest]
    plate_width_mm: float
    open_mm: float
    pose_tolerance: float = 0.5
    """By which no joint may be off, in mm or degrees."""
    jaw_tolerance_mm: float = 2.0

    def nest(self, place: str) -> Nest | None:
        """Return a place; None when it was not taught."""
        return self.nests.get(place)

    def is_near(self, pose: Pose, other: Pose) -> bool:
        """Say whether two poses are one."""
        return len(pose) == len(other) and all(
            abs(a - b) <= self.pose_tolerance for a, b in zip(pose, other, strict=True)
        )

    def where(self, pose: Pose) -> str | None:
        """Return `SAFE`, or the place in or above which a pose is; None when it is at none of them."""
        if self.is_near(pose, self.safe):
            return SAFE
        return next((place for place, nest in self.nests.items() if self._is_between(pose, nest)), None)

    def _is_between(self, pose: Pose, nest: Nest) -> bool:
        """Say whether a pose is on the way from a nest to above it."""
        if len(pose) != len(nest.at):
            return False
        way = [b - a for a, b in zip(nest.at, nest.above, strict=True)]
        length = sum(d * d for d in way)
        share = sum((p - a) * d for p, a, d in zip(pose, nest.at, way, strict=True)) / length
        share = min(max(share, 0.0), 1.0)
        return self.is_near(pose, tuple(a + share * d for a, d in zip(nest.at, way, strict=True)))


def split_jaws(joints: tuple[float, ...]) -> tuple[Pose, float]:
    """Take the joints that wherej tells apart: the pose, and the opening of the jaws in mm."""
    return joints[:JAWS] + joints[JAWS + 1 :], joints[JAWS]


def read_taught(path: Path) -> Taught:
    """Read the file.

    Raises:
        SettingsError: it is not there, or a position in it cannot be; names the file, the place and the mistake.
    """
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"the taught positions {path} cannot be read: {error}") from error
    try:
        return _checked(path, body)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise SettingsError(f"the taught positions {path} cannot be used: {what}") from error


def _checked(path: Path, body: dict[str, Any]) -> Taught:
    if body.get("format") != FORMAT:
        raise ValueError(f"format = {body.get('format')!r} should be {FORMAT}")
    if unknown := sorted(set(body) - _KEYS):
        raise ValueError(f"{unknown[0]!r} is unknown (known: {', '.join(sorted(_KEYS))})")
    safe = _pose(body["safe"], "safe", None)
    places = body["places"]
    if not isinstance(places, dict) or not places:
        raise TypeError('places should be tables, [places."deck/A2"] and so on, at least one')
    nests = {place: _nest(place, nest, len(safe)) for place, nest in places.items()}
    taught = Taught(
        path,
        safe,
        nests,
        _above_0(body["plate_width_mm"], "plate_width_mm"),
        _above_0(body["open_mm"], "open_mm"),
        _above_0(body.get("pose_tolerance", 0.5), "pose_tolerance"),
        _above_0(body.get("jaw_tolerance_mm", 2.0), "jaw_tolerance_mm"),
    )
    _refuse_unclear(taught)
    return taught


def _refuse_unclear(taught: Taught) -> None:
    """Refuse what would let an open hand pass for a full one, or one place for another.

    Raises:
        ValueError: it would.
    """
    if taught.open_mm - taught.plate_width_mm <= 2 * taught.jaw_tolerance_mm:
        raise ValueError(
            f"open_mm = {taught.open_mm:g} is too near plate_width_mm = {taught.plate_width_mm:g} to tell an open "
            f"gripper from one that holds a plate (jaw_tolerance_mm = {taught.jaw_tolerance_mm:g})"
        )
    seen = {SAFE: taught.safe}
    for place, nest in taught.nests.items():
        for name, pose in ((f"at of {place}", nest.at), (f"above of {place}", nest.above)):
            if twin := next((other for other, taken in seen.items() if taught.is_near(pose, taken)), None):
                raise ValueError(f"{name} is the same position as {twin}")
            seen[name] = pose


def _nest(place: str, body: Any, n_joints: int) -> Nest:
    if not isinstance(body, dict):
        raise TypeError(f"place {place!r} should be a table with at and above")
    if unknown := sorted(set(body) - {"at", "above"}):
        raise ValueError(f"place {place!r}: {unknown[0]!r} is unknown (known: at, above)")
    if missing := sorted({"at", "above"} - set(body)):
        raise ValueError(f"place {place!r}: {missing[0]} is missing")
    return Nest(*(_pose(body[name], f"{name} of place {place!r}", n_joints) for name in ("at", "above")))


def _pose(body: Any, name: str, n_joints: int | None) -> Pose:
    if not isinstance(body, list) or len(body) not in ((4, 5) if n_joints is None else (n_joints,)):
        n = "4 numbers, 5 with a rail" if n_joints is None else f"{n_joints} numbers, as safe is"
        raise ValueError(f"{name} = {body!r} should be {n}")
    return tuple(_number(value, name) for value in body)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} holds {value!r}, which is no position")
    if abs(value) > _LIMIT:
        raise ValueError(f"{name} holds {value!r}, which no joint reaches")
    return float(value)


def _above_0(value: Any, name: str) -> float:
    if (number := _number(value, name)) <= 0:
        raise ValueError(f"{name} = {value!r} should be above 0")
    return number
