"""A schedule as text: one line per plate."""

from nextplate.schedule.work import Schedule

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def gantt(schedule: Schedule, width: int = 100) -> str:
    """Draw a schedule: a line per plate, a letter per stage, dots while it waits; below it what the letters mean.

    Args:
        schedule: to be drawn.
        width: columns of the time axis.
    """
    plates = list(dict.fromkeys(p.plate for p in schedule.placed))
    stages = list(dict.fromkeys(p.stage for p in schedule.placed))
    letter = dict(zip(stages, _LETTERS * (1 + len(stages) // len(_LETTERS)), strict=False))
    begin_s = min((p.arrive_s for p in schedule.placed), default=0)
    per_s = max(1, schedule.end_s - begin_s) / width
    label = max(map(len, plates), default=0)
    lines = []
    for plate in plates:
        row = [" "] * width
        for p in schedule.of(plate):
            _fill(row, p.arrive_s, p.leave_s, begin_s, per_s, ".")
            _fill(row, p.start_s, p.end_s, begin_s, per_s, letter[p.stage])
        lines.append(f"{plate:<{label}} |{''.join(row)}|")
    lines.append(f"{'':<{label}}  0 h{'':<{width - 12}}{(schedule.end_s - begin_s) / 3600:6.1f} h")
    lines += [f"{'':<{label}}  {mark} {stage}" for stage, mark in letter.items()]
    return "\n".join([*lines, *(f"not kept: {broken}" for broken in schedule.broken)])


def _fill(row: list[str], start_s: int, stop_s: int, begin_s: int, per_s: float, mark: str) -> None:
    first = int((start_s - begin_s) / per_s)
    for column in range(first, max(first + 1, int((stop_s - begin_s) / per_s))):
        if 0 <= column < len(row):
            row[column] = mark
