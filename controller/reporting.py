"""Write the report of a lab's campaign: one HTML page, and its figures as PNG files beside it."""

from pathlib import Path

from controller.files import write_bytes, write_text
from controller.lab import Lab

PAGE = "report.html"


def write_report(lab: Lab, out: Path) -> Path:
    """Write the report of the latest campaign, finished or not, into a folder; return the page.

    Raises:
        PlanError: no campaign has been started.
        DataError: a file that the journal names is gone or damaged.
        StoreError: the database cannot be read, or its journal was changed.
        DiskFull: no room for the report.
    """
    from controller.report.drawing import draw
    from controller.report.gather import gather
    from controller.report.page import render_page

    campaign = gather(lab)
    drawn = draw(campaign)
    for name, image in drawn.pngs.items():
        write_bytes(out / name, image)
    page = out / PAGE
    write_text(page, render_page(campaign, drawn))
    return page
