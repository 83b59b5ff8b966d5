"""Where the stage stood, for microscopes that say it inside the images only."""

from dataclasses import replace

from nextplate.imaging.pixels import stage_position_um
from nextplate.readout import FieldImage, Readout


def with_positions(readout: Readout) -> Readout:
    """Fill x_um and y_um from the images' own MetaSeries header (ImageXpress), in the frame of the stage.

    One header per field is read, about a millisecond each, which is why listing does not do it. Images that carry a
    position already keep it; where a header says none it stays None.
    """
    found: dict[tuple[str, int], tuple[float, float] | None] = {}
    for image in readout.images:
        key = (image.well, image.field)
        if image.x_um is None and found.get(key) is None:
            found[key] = stage_position_um(image.path)
    return replace(readout, images=tuple(_placed(i, found.get((i.well, i.field))) for i in readout.images))


def _placed(image: FieldImage, place: tuple[float, float] | None) -> FieldImage:
    if image.x_um is not None or place is None:
        return image
    return replace(image, x_um=place[0], y_um=place[1])
