"""The picture that goes with a night's end: the plate's responses, well by well."""

from pathlib import Path

from controller.files import safe_name, write_bytes


def night_picture(lab: Path, plate: str) -> Path:
    """Return the file with a plate's picture, drawn if it is not there yet.

    Raises:
        DataError: the plate is not measured, or its numbers are gone.
        DiskFull: there is no room.
    """
    from controller.pictures import heat_of
    from controller.report.figures.heatmap import draw_heatmap
    from controller.shownplate import DEFAULT, lab_plate

    path = lab / "reports" / "nights" / f"{safe_name(plate)}.png"
    if not path.exists():
        write_bytes(path, draw_heatmap(heat_of(lab_plate(lab, plate), DEFAULT)))
    return path
