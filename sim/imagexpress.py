"""Files of an ImageXpress export: ``<plate>/TimePoint_1/<plate>_A01_s1_w1.TIF`` and ``<plate>/<plate>.HTD``.

Format as in the public samples of fmi-faim/faim-ipa (resources/ImageXpress_exported). Every file is written under
a temporary name and renamed, so a file that can be seen is whole.
"""

import errno
import io
import uuid
from collections.abc import Callable
from pathlib import Path

import tifffile

from nextplate.errors import DiskFull
from nextplate.plate import PlateFormat, parse_well
from sim.render import Pixels

CHANNELS = ("DNA", "Reporter")
WAVELENGTHS_NM = (452, 525)
WELL_PITCH_UM = {24: 4500.0, 12: 9000.0}


def image_path(folder: Path, barcode: str, well: str, wave: int) -> Path:
    """Return where the image of a well and a 1-based wave lies."""
    return folder / "TimePoint_1" / f"{barcode}_{well}_s1_w{wave}.TIF"


def write_image(path: Path, image: Pixels, description: str, *, keep_share: float = 1.0) -> None:
    """Write one uncompressed TIFF with a MetaSeries description; keep_share below 1 cuts the file short.

    Raises:
        DiskFull: no room; no part of the file stays.
    """

    # Through memory: a full disk met by tifffile itself gives an OSError that does not say so.
    out = io.BytesIO()
    tifffile.imwrite(
        out, image, photometric="minisblack", description=description, software="MetaSeries", metadata=None
    )
    content = out.getbuffer()
    kept = content[: int(keep_share * len(content))]
    _whole_or_nothing(path, lambda temporary: temporary.write_bytes(kept))


def describe(barcode: str, well: str, wave: int, field_px: int, pixel_size_um: float, grid: PlateFormat) -> str:
    """Return the MetaSeries XML of one image."""
    row, column = parse_well(well)
    pitch = WELL_PITCH_UM.get(grid.n_columns, 9000.0)
    props: list[tuple[str, str, object]] = [
        ("plane-type", "string", "plane"),
        ("pixel-size-x", "int", field_px),
        ("pixel-size-y", "int", field_px),
        ("bits-per-pixel", "int", 16),
        ("spatial-calibration-state", "bool", "on"),
        ("spatial-calibration-x", "float", pixel_size_um),
        ("spatial-calibration-y", "float", pixel_size_um),
        ("spatial-calibration-units", "string", "um"),
        ("image-name", "string", CHANNELS[wave - 1]),
        ("stage-position-x", "float", pitch * (column + 0.5)),
        ("stage-position-y", "float", pitch * (row + 0.5)),
        ("stage-label", "string", f"{well} : Site 1"),
        ("wavelength", "float", WAVELENGTHS_NM[wave - 1]),
        ("camera-binning-x", "int", 2),
        ("camera-binning-y", "int", 2),
        ("_IllumSetting_", "string", CHANNELS[wave - 1]),
        ("_MagSetting_", "string", "20x"),
    ]
    lines = [f'<prop id="{name}" type="{kind}" value="{value}"/>' for name, kind, value in props]
    head = ["<MetaData>", f'<prop id="Description" type="string" value="Plate Name: {barcode}"/>', "<PlaneInfo>"]
    return "\r\n".join(
        [*head, *lines, "</PlaneInfo>", '<prop id="ApplicationName" type="string" value="MetaMorph"/>', "</MetaData>"]
    )


def write_htd(path: Path, barcode: str, acquisition: str, grid: PlateFormat) -> None:
    """Write the plate's HTD file, the last file of an acquisition.

    Raises:
        DiskFull: no room; no part of the file stays.
    """
    columns = ", ".join(["TRUE"] * grid.n_columns)
    lines = [
        '"HTSInfoFile", Version 1.0',
        f'"Description", "{barcode}: DNA and reporter, 1 site"',
        f'"PlateType", {4 if grid.n_columns == 24 else 2}',
        '"TimePoints", 1',
        '"ZSeries", FALSE',
        '"ZSteps", 1',
        '"ZProjection", FALSE',
        f'"XWells", {grid.n_columns}',
        f'"YWells", {grid.n_rows}',
        *(f'"WellsSelection{row + 1}", {columns}' for row in range(grid.n_rows)),
        '"Sites", TRUE',
        '"XSites", 1',
        '"YSites", 1',
        '"SiteSelection1", TRUE',
        '"Waves", TRUE',
        f'"NWavelengths", {len(CHANNELS)}',
        *(f'"WaveName{i}", "{name}"' for i, name in enumerate(CHANNELS, start=1)),
        *(f'"WaveCollect{i}", 1' for i in range(1, len(CHANNELS) + 1)),
        f'"UniquePlateIdentifier", "{uuid.uuid5(uuid.NAMESPACE_URL, acquisition)}"',
        '"EndFile"',
    ]
    text = "\r\n".join(lines) + "\r\n"
    _whole_or_nothing(path, lambda temporary: temporary.write_bytes(text.encode("latin-1")))


def _whole_or_nothing(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"no room left for image {path}; free some space and start again") from error
        raise
