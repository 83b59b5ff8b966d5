"""When the unattended service starts, when robots may move, and how patient it is."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from controller.nightly.windows import parse_start, parse_window
from controller.settings.section import Section


def _a_start(text: str) -> str:
    parse_start(text)
    return text


def _a_window(text: str) -> str:
    parse_window(text)
    return text


def _a_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("there is no such time zone; write one as Europe/Stockholm or UTC") from error
    return name


class NightlySection(Section):
    """`nextplate nightly`."""

    start: Annotated[tuple[Annotated[str, AfterValidator(_a_start)], ...], Field(strict=False, min_length=1)] = (
        "20:00",
    )
    """When nights start: "HH:MM", or "DAYS HH:MM" with days as in "mon-fri" or "sat,sun"."""
    time_zone: Annotated[str, AfterValidator(_a_zone)] = "UTC"
    """Of start and move."""
    move: Annotated[tuple[Annotated[str, AfterValidator(_a_window)], ...], Field(strict=False)] = ()
    """When robots may begin something new: "HH:MM-HH:MM" of every day. What is in flight is always finished, and
    computing goes on. Empty: at any time."""
    misfire_s: Annotated[float, Field(ge=1)] = 3600.0
    """A start missed by no more than this (the machine was off) is made up for."""
    hang_s: Annotated[float, Field(ge=2)] = 300.0
    """A loop that has not scanned for so long is killed and started anew; nothing is lost by it."""
    stop_s: Annotated[float, Field(ge=1)] = 120.0
    """How long a clean stop may take."""
    backoff_s: Annotated[float, Field(gt=0)] = 5.0
    """Wait before the first restart; doubled with each further one, to at most five minutes."""
    max_restarts: Annotated[int, Field(ge=0)] = 5
    """Restarts within an hour; after them the night is given up until the next start."""
    max_clock_jump_h: Annotated[float, Field(gt=0)] = 24.0
    """A clock that is off by more than this is not believed: nothing moves until a person says that it is right."""
