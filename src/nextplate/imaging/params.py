"""How to measure a plate."""

from dataclasses import dataclass

from nextplate.errors import DataError
from nextplate.features import Choice

OBJECTS = ("Nuclei", "Cells", "Cytoplasm")
"""What features can be measured of; Cytoplasm is a cell without its nucleus."""


@dataclass(frozen=True, slots=True)
class MeasureParams:
    """How to measure a plate."""

    dna: str = "DNA"
    """Channel name of the nuclear stain."""
    reporter: str | None = "Reporter"
    """Channel whose nucleus/ring ratio is taken; None: there is no ratio."""
    others: tuple[str, ...] = ()
    """Further channels: looked at by QC, and in the features."""
    nucleus_diameter_um: float = 14.0
    """Typical nucleus; used where the pixel size is known, else the diameter is estimated from the images."""
    pixel_size_um: float | None = None
    """Overrides what the files say; None: believe the files."""
    n_sample_fields: int = 48
    """Fields looked at to learn background, illumination and threshold."""
    focus_z: float = 4.0
    """A well is out of focus when both scores lie so many robust standard deviations below the plate's."""
    max_saturated_share: float = 0.01
    saturation_level: int | None = None
    """Counts at which the camera clips; None: the largest number of the file's bit depth."""
    features: Choice | None = None
    """Features of every object at full resolution, in all channels; None: none."""
    objects: tuple[str, ...] = ("Nuclei",)
    """Whose features, of OBJECTS."""
    has_field_features: bool = False
    """Measure whole fields too: moments, percentiles, spectral bands, correlations."""

    def __post_init__(self) -> None:
        """Refuse unknown objects and a channel named twice."""
        if unknown := [name for name in self.objects if name not in OBJECTS]:
            raise DataError(f"there are no objects {', '.join(unknown)}; there are {', '.join(OBJECTS)}")
        if twice := {c for c in self.channels if self.channels.count(c) > 1}:
            raise DataError(f"the channel {', '.join(sorted(twice))} is named for two purposes; name each channel once")

    @property
    def channels(self) -> tuple[str, ...]:
        """All channels that are read: DNA, then the reporter, then the others."""
        return (self.dna, *(() if self.reporter is None else (self.reporter,)), *self.others)

    @property
    def needed(self) -> tuple[str, ...]:
        """Channels without which a field cannot be measured."""
        return self.channels[: 1 if self.reporter is None else 2]

    def role_of(self, channel: str) -> str:
        """Return what a channel is for: dna, reporter or other."""
        return "dna" if channel == self.dna else "reporter" if channel == self.reporter else "other"

    @property
    def has_cells(self) -> bool:
        """Say whether whole cells are looked for."""
        return self.features is not None and not {"Cells", "Cytoplasm"}.isdisjoint(self.objects)

    @property
    def is_full_resolution(self) -> bool:
        """Say whether anything is measured at the images' own resolution."""
        return self.features is not None or self.has_field_features
