"""From a plate folder of images to numbers per well and per cell.

`open_readout` lists what a microscope left; `measure` turns it into tables with image QC, `export_plate` into
OME-Zarr. Wells are never dropped: a well without usable images has a row with n_fields 0 and a reason.

Why images are binned before segmentation: at 9 to 14 pixels per nucleus counts and nucleus/ring ratios are what
they are at full resolution (tests hold them to the truth), at a quarter of the cost.
"""

from nextplate.imaging.field_table import field_table, missing_table, plane_table
from nextplate.imaging.judgement import Judged, judge_plate
from nextplate.imaging.omezarr_export import Exported, export_plate
from nextplate.imaging.omezarr_plan import ExportOptions
from nextplate.imaging.params import OBJECTS, MeasureParams
from nextplate.imaging.pixels import read_image
from nextplate.imaging.positions import with_positions
from nextplate.imaging.profile import is_unusable, well_table
from nextplate.imaging.quality import FLAGS, PARTIAL, WARNINGS, excludes, join_flags
from nextplate.imaging.reader import READERS, Reader, list_planes, open_readout
from nextplate.imaging.readers.pattern import compile_pattern
from nextplate.imaging.well import WellMeasure
from nextplate.imaging.whole_plate import Measured, PlateWork, Progress, WellPlan, measure, measure_wells, prepare

__all__ = [
    "FLAGS",
    "OBJECTS",
    "PARTIAL",
    "READERS",
    "WARNINGS",
    "ExportOptions",
    "Exported",
    "Judged",
    "MeasureParams",
    "Measured",
    "PlateWork",
    "Progress",
    "Reader",
    "WellMeasure",
    "WellPlan",
    "compile_pattern",
    "excludes",
    "export_plate",
    "field_table",
    "is_unusable",
    "join_flags",
    "judge_plate",
    "list_planes",
    "measure",
    "measure_wells",
    "missing_table",
    "open_readout",
    "plane_table",
    "prepare",
    "read_image",
    "well_table",
    "with_positions",
]
