"""What a report says, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nextplate.plate import PlateFormat
from nextplate.readout import FieldImage


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty."""

    value: float | None
    """None: not determined; ``why`` says why."""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """How many observations it rests on."""
    kind: str = ""
    """What low and high are, e.g. 95 % Wilson interval."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class WellView:
    """A well of a plate: who sits in it and what was measured."""

    well: str
    role: str
    reason: str
    compound_id: str | None
    replicate: int
    dose_um: float
    activity: float | None = None
    """None: not measured, or not determined."""
    viability: float | None = None
    n_cells: int | None = None
    flags: tuple[str, ...] = ()
    is_used: bool = False
    is_hit: bool = False
    is_toxic: bool = False


@dataclass(frozen=True, slots=True)
class Quality:
    """A plate's quality control."""

    z_prime: Estimate
    z_prime_robust: Estimate
    ssmd: Estimate
    n_flagged: int
    flags: Mapping[str, int]
    """Wells per reason code."""
    passed: bool
    reasons: tuple[str, ...]
    """Why it failed."""
    others: Mapping[str, float | None]
    """Further numbers of plate_qc.json, by name."""


@dataclass(frozen=True, slots=True)
class Shot:
    """An example field: a well worth seeing."""

    title: str
    """Negative control, best hit .."""
    well: WellView
    dna: Path
    reporter: Path
    field: int


@dataclass(frozen=True, slots=True)
class Shots:
    """Example fields of a plate, with what is needed to show them alike."""

    shots: tuple[Shot, ...]
    absent: tuple[str, ...]
    """Examples that the plate does not offer, and why."""
    pixel_size_um: float | None
    """None when the files do not say."""
    references: tuple[tuple[Path, Path], ...]
    """DNA and reporter images of control wells, from which the contrast is set."""
    images: tuple[FieldImage, ...]
    """Every image of the plate."""


@dataclass(frozen=True, slots=True)
class PlateView:
    """A plate of the campaign."""

    barcode: str
    round: int
    """Counting from 0."""
    shape: PlateFormat
    wells: tuple[WellView, ...]
    quality: Quality | None
    """None while it is not measured."""
    verdict: str
    """passed, failed and used, failed and discarded, not measured."""
    counts: bool
    """True when its responses taught the campaign."""
    shots: Shots | None
    threshold: float
    min_viability: float
    origin: Mapping[str, str]
    """Task -> folder of its step, relative to the lab."""


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """How often measurements fell into the intervals promised for them."""

    group: str
    """all, the reason of the picks, or cross-validation."""
    nominal: float
    empirical: Estimate
    mean_width: float | None
    """On the response scale; None when infinite or not recorded."""


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round of the campaign, as far as it has come."""

    round: int
    """Counting from 0."""
    plate: PlateView | None
    """None before the layout."""
    reasons: Mapping[str, int]
    """Compounds picked, by reason."""
    n_called: int | None
    """Compounds called hits on this plate; None while it is not measured."""
    n_toxic: int | None
    coverage: tuple[CoverageRow, ...]
    held_out: tuple[CoverageRow, ...]
    """Of the cross-validation of the belief that chose this round."""
    rmse_held_out: Estimate
    rmse_picks: Estimate
    n_planned: int | None
    """Transfers in the protocol."""
    n_moved: int | None
    """Transfers that moved liquid, by the handler's report."""
    n_loads: int | None
    n_tips: int | None
    seconds: Mapping[str, float]
    """Task -> seconds of computing, in order of the tasks."""
    lab_hours: float | None
    """Lab time from the first intent to the last outcome."""
    dilution_plates: tuple[str, ...] = ()
    """Barcodes of the plates that doses too small for the pipette were diluted in."""
    beside: Mapping[str, Any] | None = None
    """Of a belief that sees images: how it, chemistry, images and cell counts alone did on the plate
    (controller.steps.beside); None of others."""
    beside_held_out: Mapping[str, Any] | None = None
    """The same in cross-validation."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Cumulative counts after a round."""

    round: int
    """Counting from 0."""
    n_tested: int
    n_called: int
    n_true: int | None
    """True hits among the tested, in a simulated lab."""
    random: Estimate
    """Hits that as many compounds drawn at random would hold."""
    similarity: Estimate


@dataclass(frozen=True, slots=True)
class Curve:
    """Hits against compounds tested."""

    points: tuple[CurvePoint, ...]
    steps: tuple[tuple[int, int], ...]
    """(tested, called) after every compound, in order of rounds and ranks."""
    has_referee: bool
    n_true_in_library: int | None
    origin: Mapping[str, str]
    """Series -> how it was made."""
    by_lot: Estimate
    """Share of hits called among the compounds chosen by lot: the base rate."""
    by_model: Estimate
    """Share of hits called among the compounds chosen by the belief."""
    enrichment_called: Estimate
    """by_model over by_lot."""
    enrichment_true: Estimate
    """True hits found over those expected of as many random compounds."""
    by_reason: tuple[tuple[int, str, Estimate], ...]
    """(round, reason, share of hits called)."""
    precision: Estimate
    """Share of the calls that are true hits, by the referee."""
    n_retested: int
    n_again: int
    """Hits called again, of those retested in a later round."""


@dataclass(frozen=True, slots=True)
class Link:
    """One row of an id chain."""

    what: str
    value: str
    where: str
    """File or table that holds it."""


@dataclass(frozen=True, slots=True)
class PickView:
    """What was believed of a compound when it was picked."""

    round: int
    rank: int
    reason: str
    score: float | None
    mean: float | None
    lower: float | None
    upper: float | None
    p_hit: float | None
    nearest_tested: float | None
    why: str | None = None
    """One line that says why it was picked; None in campaigns that did not keep it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A compound called a hit."""

    compound_id: str
    smiles: str
    activity: Estimate
    values: tuple[tuple[str, str, float], ...]
    """(plate, well, activity) of every used well."""
    viability: float | None
    n_wells: int
    n_hit_wells: int
    pick: PickView
    chain: tuple[Link, ...]
    """From the campaign down to the pixels; empty below the top hits."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong or was decided."""

    time: datetime
    round: int | None
    """Counting from 0; None: the campaign as a whole."""
    kind: str
    """fault, failure, device, decision, transfer, image or note."""
    what: str
    done: str
    """What was done about it."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Images per second, by wall clock."""

    n_images: int
    measured: Estimate
    written: Estimate


@dataclass(frozen=True, slots=True)
class ForesightRow:
    """How often what was promised before measuring held, over all rounds."""

    method: str
    """plain, for picks, or adaptive."""
    group: str
    nominal: float
    share: Estimate
    n_infinite: int
    """How many held only because their interval was infinite."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What became of predictions made before measuring, over all rounds."""

    rows: tuple[ForesightRow, ...]
    picture: bytes | None
    """PNG; None where the file is gone."""
    nominal: float
    asked: float
    """The level that has to be asked for so that the nominal one is kept on picks."""
    drift_round: int | None
    """Round, counting from 0, in which drift was noticed; None: not so far."""
    drift_capital: float
    drift_threshold: float
    drift_n: int
    """Compounds picked by lot that the alarm has bet on."""
    drift_rate: float
    """False alarms: at most this share of campaigns without drift."""
    origin: str


@dataclass(frozen=True, slots=True)
class HitListView:
    """Untested compounds that may be called hits."""

    compounds: tuple[str, ...]
    """Best first."""
    fdr: float
    expected_hits: float
    n_candidates: int
    why: tuple[str, ...]
    """Why it is empty, or what was given up."""
    notes: tuple[str, ...]
    """How probabilities and intervals of the belief were made."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Everything the report says."""

    name: str
    seed: int
    state: str
    n_planned_rounds: int
    n_library: int
    library: str
    """Digest."""
    started: datetime
    ended: datetime
    """Time of the last event so far."""
    n_events: int
    head: str
    """Hash of the journal's last event."""
    is_simulated: bool
    rounds: tuple[RoundView, ...]
    curve: Curve
    foresight: Foresight | None
    """None while no plate chosen by a belief is measured."""
    hit_list: HitListView | None
    """None while no belief is calibrated."""
    hits: tuple[Hit, ...]
    """Every compound called a hit, best first."""
    incidents: tuple[Incident, ...]
    speed: Speed
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    commands: tuple[str, ...]
    """What to type to get the same campaign again."""

    @property
    def plates(self) -> tuple[PlateView, ...]:
        """Return the plates there are."""
        return tuple(r.plate for r in self.rounds if r.plate is not None)
