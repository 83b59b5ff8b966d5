"""schedule: when each plate is where, as far as it can be foreseen."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import HERE, JsonOption, LabOption, say

if TYPE_CHECKING:
    from datetime import datetime

    from nextplate.schedule import Schedule


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schedule")(schedule)


def schedule(
    lab: LabOption = HERE,
    picture: Annotated[Path | None, typer.Option(help="Draw it to this file (.png or .svg).")] = None,
    solve_s: Annotated[
        float, typer.Option("--solve", min=0, max=3600, help="Seconds to look for a better schedule and its bound.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Tell when each plate under way will be where, by how long devices have taken until now.

    Example: nextplate schedule --lab mylab --picture tonight.png
    """
    from controller.files import write_bytes
    from controller.foresee import foresee
    from nextplate.errors import DataError

    if picture is not None and picture.suffix not in (".png", ".svg"):
        raise DataError(f"{picture}: a picture is a .png or an .svg file")
    now, plan = foresee(lab, solve_s)
    if picture is not None:
        from controller.report.figures.gantt import draw_gantt

        write_bytes(picture, draw_gantt(plan, now, picture.suffix[1:]))
    text = _text(plan, now) + (f"\nwrote {picture}" if picture else "")
    say(_body(plan, now) | {"picture": None if picture is None else str(picture)}, text, as_json)


def _text(plan: "Schedule", now: "datetime") -> str:
    from datetime import timedelta

    from nextplate.schedule import gantt

    if not plan.placed:
        return "no plate is proven or under way; nothing is to be foreseen"
    ends = now + timedelta(seconds=plan.end_s)
    bound = f"; no schedule ends more than {plan.gap:.1%} sooner" if plan.bound_s else ""
    return f"{gantt(plan)}\nfrom {now:%Y-%m-%d %H:%M} UTC; the last plate is back at {ends:%Y-%m-%d %H:%M}{bound}"


def _body(plan: "Schedule", now: "datetime") -> dict[str, Any]:
    return {
        "now": now.isoformat(),
        "placed": [asdict(p) for p in plan.placed],
        "end_s": plan.end_s,
        "bound_s": plan.bound_s or None,
        "broken": [str(b) for b in plan.broken],
    }
