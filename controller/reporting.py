"""Write the report of a lab's campaign: one HTML page, and its figures as PNG files beside it."""

from pathlib import Path

from controller.files import write_bytes, write_text
from controller.lab import Lab

PAGE = "report.html"


def write_report(lab: Lab, out: Path, name: str | None = None) -> Path:
    """Write the report of a campaign, finished or not, into a folder; return the page.

    Args:
        lab: whose.
        out: the folder.
        name: the campaign's; None: lab.toml's, else the one started last.

    Raises:
        PlanError: no campaign has been started.
        DataError: a file that the journal names is gone or damaged.
        StoreError: the database cannot be read, or its journal was changed.
        DiskFull: no room for the report.
    """
    from controller.report.drawing import draw
    from controller.report.gather import gather
    from controller.report.page import render_page

    campaign = gather(lab, campaign=name)
    drawn = draw(campaign)
    for name, image in drawn.pngs.items():
        write_bytes(out / name, image)
    page = out / PAGE
    write_text(page, render_page(campaign, drawn))
    return page
