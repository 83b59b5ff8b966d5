"""The lab, the campaign, the assay, its plate, and how its images are read."""

import re
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from controller.settings.section import Name, Section, Share
from nextplate.errors import DataError, SettingsError

FEWEST_DOSES = 5
"""A sigmoid curve has four numbers, and nextplate.assay fits none through fewer doses than these."""
MIN_STEP = 1.2
"""Least ratio of two doses of a series: no stock well may give both (protocols.stock.DOSE_TOLERANCE)."""


class LabSection(Section):
    """Who and where."""

    name: Name = "lab"
    database: str = "sqlite:///nextplate.db"
    """SQLAlchemy URL; a relative SQLite path lies in the lab folder."""


def _no_round(name: str) -> str:
    if re.search(r"\.r\d", name):
        raise ValueError("'.r' and a number is how rounds are named; call the campaign something else")
    return name


class CampaignSection(Section):
    """One campaign: how many rounds of one plate each, and the seed of every random choice."""

    name: Annotated[Name, AfterValidator(_no_round)] = "first"
    rounds: Annotated[int, Field(ge=1, le=1000)] = 3
    seed: Annotated[int, Field(ge=0)] = 1
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Of several campaigns that want the same device, the higher goes first; four hours of waiting count as one."""


_NEEDED_BY = {
    "washer": ("program",),
    "dispenser": ("program",),
    "shaker": ("speed_rpm", "duration_s"),
    "incubator": ("hours",),
    "barcode-reader": (),
}
"""What each device's step has to say, beside how long the plate rests there."""


class StepSection(Section):
    """One thing done to the assay plate between the deck and the imager."""

    device: Literal["washer", "dispenser", "shaker", "incubator", "barcode-reader"]
    before_incubation: bool = False
    """Before the plate's first incubation (of incubation_h), else after it."""
    program: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Of a washer or a dispenser: a name that the device or its driver's options know."""
    speed_rpm: Annotated[int, Field(ge=1)] | None = None
    duration_s: Annotated[int, Field(ge=1)] | None = None
    hours: Annotated[float, Field(gt=0)] | None = None
    """Of one more incubation."""
    tolerance_min: Annotated[float, Field(gt=0)] | None = None
    """By how much that incubation may take too long."""
    rest_min: Annotated[float, Field(ge=0)] = 0.0
    """How long the plate stands there afterwards, before it is carried on: a fixation, a stain."""

    @model_validator(mode="after")
    def _says_what_its_device_needs(self) -> "StepSection":
        needed = _NEEDED_BY[self.device]
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"a step of a {self.device} needs {' and '.join(missing)}")
        allowed = (*needed, "tolerance_min") if self.device == "incubator" else (*needed, "rest_min")
        default = type(self).model_fields
        said = [
            n for n in default if n not in ("device", "before_incubation") and getattr(self, n) != default[n].default
        ]
        if idle := [name for name in said if name not in allowed]:
            raise ValueError(f"a step of a {self.device} has no {' and no '.join(idle)}")
        if self.device == "incubator" and self.before_incubation:
            raise ValueError("the first incubation is incubation_h; another one comes after it")
        return self


class AssaySection(Section):
    """What happens in a well and when it counts as a hit."""

    negative_control: str = "DMSO"
    positive_control: str = "REF-1"
    dose_um: Annotated[float, Field(gt=0)] = 10.0
    transfer_ul: Annotated[float, Field(gt=0)] = 5.0
    well_volume_ul: Annotated[float, Field(gt=0)] = 45.0
    """Medium and cells in the well before the transfer."""
    incubation_h: Annotated[float, Field(ge=0)] = 24.0
    incubation_tolerance_min: Annotated[float, Field(gt=0)] | None = None
    """By how much a plate may incubate too long before it is imaged: plates are then begun one after the other so that
    each keeps its time, and one that does not fails its quality control. None: as it comes."""
    dna_channel: str = "DNA"
    reporter_channel: str = "Reporter"
    hit_threshold: Annotated[float, Field(gt=0)] = 0.5
    """On the response scale: 0 negative control, 1 positive control."""
    min_viability: Share = 0.5
    min_z_prime: float = 0.3
    dose_series_um: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)] = ()
    """Final concentrations of a dose-response series, one well each, in any order; a stock well has to give each.
    Empty: no series."""
    final_dmso_percent: Annotated[float, Field(gt=0, lt=100)] | None = None
    """Share of solvent in every well that is filled, v/v: doses are then made by volume, and the negative control's
    liquid fills up. None: transfer_ul of stock of the right strength into every well."""

    step: Annotated[tuple[StepSection, ...], Field(strict=False, max_length=50)] = ()
    """What else is done to the plate before it is imaged, in order. Empty: it is incubated and imaged."""

    @field_validator("step")
    @classmethod
    def _incubations_differ(cls, steps: tuple[StepSection, ...]) -> tuple[StepSection, ...]:
        after = ["incubator", *(s.device for s in steps if not s.before_incubation)]
        if ("incubator", "incubator") in pairwise(after):
            raise ValueError("two incubations follow each other; make them one")
        return steps

    @field_validator("dose_series_um")
    @classmethod
    def _doses_differ(cls, doses: tuple[float, ...]) -> tuple[float, ...]:
        if 0 < len(doses) < FEWEST_DOSES:
            raise ValueError(f"a series of {len(doses)} doses gives no curve; name at least {FEWEST_DOSES}")
        ordered = sorted(doses)
        near = [(a, b) for a, b in pairwise(ordered) if b < a * MIN_STEP]
        if near:
            a, b = near[0]
            raise ValueError(f"{a:g} and {b:g} uM are too near: a stock well could give both; keep a factor {MIN_STEP}")
        return doses


class PlateSection(Section):
    """The assay plate."""

    wells: Literal[96, 384] = 384
    labware: str = "corning_384_wellplate_112ul_flat"
    barcode_prefix: Name = "NP"
    n_negative: Annotated[int, Field(ge=3)] = 20
    n_positive: Annotated[int, Field(ge=3)] = 12
    n_confirm: Annotated[int, Field(ge=0)] = 16
    """Wells that test an earlier hit once more; duplicates of new compounds in the first round."""

    @model_validator(mode="after")
    def _has_room(self) -> "PlateSection":
        taken = self.n_negative + self.n_positive + self.n_confirm
        if taken >= self.wells:
            raise ValueError(f"controls and confirmations take {taken} of {self.wells} wells; none is left to pick for")
        return self


def _step_choice(value: Any) -> Any:
    is_step = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if value is not None and not is_step and value not in ("projection", "middle", "max"):
        raise ValueError("write 'projection', 'middle', 'max' or the number of a step")
    return value


class ReadoutSection(Section):
    """How the images of a plate are opened and measured; what is left out is found out from the folder."""

    reader: str | None = None
    """A name of nextplate.imaging.READERS."""
    pattern: str | None = None
    """A regular expression for names that no reader knows (nextplate.imaging.compile_pattern)."""
    z: Annotated[Any, AfterValidator(_step_choice)] = None
    """Which step of a z-stack, counted from 1, 0 the projection; left out: the projection."""
    t: Annotated[int, Field(ge=0)] | None = None
    """Which time point, as the microscope numbers it; left out: the first."""
    features: str | None = None
    """Features of every nucleus, in all channels, kept with the measurements (nextplate.features.parse_features); left
    out: none."""

    # Readers are loaded only where a setting needs them: every command reads this file, and some must answer at once.
    @field_validator("reader")
    @classmethod
    def _is_a_reader(cls, name: str | None) -> str | None:
        if name is not None:
            from nextplate.imaging import READERS

            known = [reader.name for reader in READERS]
            if name not in known:
                raise ValueError(f"there is no such reader (allowed: {', '.join(known)})")
        return name

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, text: str | None) -> str | None:
        if text is not None:
            from nextplate.imaging import compile_pattern

            try:
                compile_pattern(text)
            except SettingsError as error:
                raise ValueError(str(error)) from error
        return text

    @field_validator("features")
    @classmethod
    def _are_features(cls, text: str | None) -> str | None:
        if text is not None:
            from nextplate.features import parse_features

            try:
                parse_features(text)
            except DataError as error:
                raise ValueError(str(error)) from error
        return text

    @model_validator(mode="after")
    def _one_way_to_read(self) -> "ReadoutSection":
        if self.reader is not None and self.pattern is not None:
            raise ValueError("reader and pattern are both set; a pattern is used instead of any reader: leave one out")
        return self
