"""Settings of the simulated lab: the assay, the physics, and how often things go wrong."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from nextplate.errors import SettingsError


class FaultKind(StrEnum):
    """What can go wrong; each is drawn per command key or injected by SimLab.break_device."""

    REPLY_LOST = "reply-lost"
    """submit raises Transient though the device has the command."""
    REFUSED = "refused"
    """submit raises Transient and the device has nothing; the next attempt is taken."""
    CRASH = "crash"
    """The device stops half-way: FAILED, with what had been done."""
    STALL = "stall"
    """The device stands still for FaultSettings.stall_s half-way, then goes on."""
    CLOGGED_TIP = "clogged-tip"
    """Handler: one transfer moves nothing, and the handler notices (reports 0)."""
    UNNOTICED_CLOG = "unnoticed-clog"
    """Handler: one transfer moves nothing and is reported as planned."""
    GRIP_MISSED = "grip-missed"
    """Mover: FAILED; the plate still stands where it was."""
    PLATE_DROPPED = "plate-dropped"
    """Mover: FAILED; the plate lies at place ``floor`` until SimLab.place_by_hand."""
    OUT_OF_FOCUS = "out-of-focus"
    """Imager: a well is blurred."""
    MISSING_IMAGE = "missing-image"
    """Imager: one file of a well is not written."""
    TRUNCATED_IMAGE = "truncated-image"
    """Imager: one file of a well is cut short."""
    OFFLINE = "offline"
    """The device does not answer: submit raises Transient, poll and lookup say UNKNOWN (injected only)."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Probabilities of faults, all seeded by (seed, key): the same campaign fails in the same way again."""

    reply_lost: float = 0.0
    """Per command."""
    refused: float = 0.0
    """Per command, on its first attempt."""
    crash: float = 0.0
    """Per command of the handler and the imager."""
    stall: float = 0.0
    """Per command of the imager."""
    stall_s: float = 14400.0
    clogged_tip: float = 0.0
    """Per transfer."""
    unnoticed_clog: float = 0.0
    """Per transfer."""
    grip_missed: float = 0.0
    """Per move."""
    plate_dropped: float = 0.0
    """Per move."""
    out_of_focus: float = 0.005
    """Per well imaged."""
    missing_image: float = 0.0
    """Per well imaged."""
    truncated_image: float = 0.0
    """Per well imaged."""

    def __post_init__(self) -> None:
        for kind in FaultKind:
            rate = self.rate(kind)
            if not 0 <= rate <= 1:
                raise SettingsError(f"fault rate {kind.value} is {rate}; it must lie between 0 and 1")

    def rate(self, kind: FaultKind) -> float:
        """Return the probability of one kind; 0 for a kind which is only injected."""
        return float(getattr(self, kind.value.replace("-", "_"), 0.0))


@dataclass(frozen=True, slots=True)
class SimSettings:
    """Everything that decides what the simulated lab does."""

    seed: int
    start: datetime = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
    """Virtual time when the world is made."""
    faults: FaultSettings = field(default_factory=FaultSettings)
    n_threads: int = 2
    """Threads that render images; the bytes do not depend on it."""
    hit_share: float = 0.01
    """Share of the delivered library whose true effect at hit_dose_um reaches hit_effect."""
    toxic_share: float = 0.03
    """Share of the delivered library that kills half of the cells at hit_dose_um."""
    hit_dose_um: float = 10.0
    hit_effect: float = 0.5
    negative_control: str = "DMSO"
    positive_control: str = "REF-1"
    assay_labware: str = "corning_384_wellplate_112ul_flat"
    medium_nl: int = 45_000
    """Cells in this much medium stand in every well of a new assay plate."""
    field_px: int = 540
    pixel_size_um: float = 0.65
    n_cells: float = 135.0
    """Cells expected in an untreated 540 x 540 px field; scales with the area."""
    pipetting_cv: float = 0.015
    """Relative standard deviation of a dispensed volume."""
    has_pressure_sensor: bool = True
    """True: the handler notices air and reports the volume really dispensed."""
    incubator_slots: int = 44

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise SettingsError(f"simulated start {self.start} has no time zone; give UTC")
        if self.field_px < 64 or self.n_threads < 1:
            raise SettingsError(f"field_px {self.field_px} must be >= 64 and n_threads {self.n_threads} >= 1")
