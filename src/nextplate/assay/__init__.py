"""From measured wells to responses on the scale of the plate's own controls, and the quality of the plate.

0 is the median of the negative controls, 1 that of the positive ones. A plate that fails keeps its responses, with
is_used False and the reasons in words.
"""

from nextplate.assay.params import AssayParams
from nextplate.assay.quality import FLAGS, DriftRow, PlateQc, drift
from nextplate.assay.responses import normalise

__all__ = ["FLAGS", "AssayParams", "DriftRow", "PlateQc", "drift", "normalise"]
