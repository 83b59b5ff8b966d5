"""Read a lab and foresee its plates, without touching a device."""

from datetime import datetime
from pathlib import Path

from controller.app import lab_time
from controller.lab import open_lab
from controller.nightly.windows import windows_of
from controller.recipe import running_plans
from controller.state import fold
from controller.store import read_journal
from controller.timing import foreseen, routes, shop
from nextplate.schedule import Limits, Schedule, solve


def foresee(folder: Path, solve_s: float = 0) -> tuple[datetime, Schedule]:
    """Return the lab's time and the schedule of every plate that is proven or further.

    Args:
        folder: the lab's.
        solve_s: how long to look for a better schedule than the first; 0: not at all.

    Raises:
        SettingsError: no lab there.
    """
    lab = open_lab(folder)
    state, now = fold(read_journal(lab.database)), lab_time(lab)
    plans = running_plans(state)
    section = lab.settings.nightly
    closed = windows_of(section.move, section.time_zone).closed(now)
    if not solve_s:
        return now, foreseen(state, now, plans, closed)
    return now, solve(shop(state, now, closed), list(routes(state, now, plans)), Limits(wall_s=solve_s))
