"""Options of a driver: the table ``options`` of its [[device]] in lab.toml, checked by the driver's own factory."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivers.ports import Device
from nextplate.errors import SettingsError

Make = Callable[[str, Mapping[str, Any], Path], Device]
"""A factory, what an entry point in group ``nextplate.drivers`` names: (kind, options, lab folder) -> device.

It may touch files, but must not wait for hardware; it raises SettingsError for options that it cannot use.
"""


def checked(
    options: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """Return the options if every required one is there, none is unknown, and each is of its type.

    Raises:
        SettingsError: every problem at once, and the options allowed; the caller adds file and device.
    """
    allowed = {**required, **(optional or {})}
    problems = [f"option {name!r} is missing" for name in required if name not in options]
    problems += [f"{name!r} is no option" for name in options if name not in allowed]
    problems += [
        f"option {name} = {options[name]!r} should be {kind.__name__}"
        for name, kind in allowed.items()
        if name in options and not _fits(options[name], kind)
    ]
    if problems:
        raise SettingsError(f"{'; '.join(problems)} (allowed: {_described(required, optional or {})})")
    return dict(options)


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _described(required: Mapping[str, type], optional: Mapping[str, type]) -> str:
    named = [f"{name} ({kind.__name__})" for name, kind in required.items()]
    named += [f"{name} ({kind.__name__}, may be left out)" for name, kind in optional.items()]
    return ", ".join(named) or "none"
