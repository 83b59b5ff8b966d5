"""From a label image and channels to named numbers per object, for all objects at once.

`measure_features` measures what `select` chose; `explain` says what a column means; `measure_field` looks at a whole
field without objects. Nothing loops over objects: pixels are sorted by object once, and every feature is a sum, an
extreme, a histogram or a sort over segments. tests/nextplate/features holds the numbers to those of CellProfiler's
measurements (cp_measure), scikit-image and mahotas within 1e-3.

Defined unlike them, on purpose:

* An object that touches the border of the field: its distances to the edge (radii, radial rings) take the outside of
  the field as outside of the object; CellProfiler's radial distribution does not.
* Quartiles and median are numpy's (rank (n - 1) q) and cp_measure's; CellProfiler itself takes rank n q.
* `Texture_*_{channel}_{n}px` without an angle is the mean of the four directions, which CellProfiler lists one by one.
* Granularity thins by whole steps only (CellProfiler: any fraction; equal at its defaults) and reads the last row and
  column of the thinned image where rounding lets cp_measure read 0.
* Coefficients of a pair of channels without a common bright pixel are 0 (Manders) or NaN (overlap, K); cp_measure
  says 0 for all.
"""

from nextplate.features.catalogue import FEATURES, Feature, explain
from nextplate.features.choice import BASIC, GROUPS, Choice, parse_features, select
from nextplate.features.measure import measure_features
from nextplate.features.whole_field import measure_field

__all__ = [
    "BASIC",
    "FEATURES",
    "GROUPS",
    "Choice",
    "Feature",
    "explain",
    "measure_features",
    "measure_field",
    "parse_features",
    "select",
]
