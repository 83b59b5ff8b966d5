"""The whole of lab.toml, and what its tables must agree on."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, get_args

from pydantic import Field, field_validator, model_validator

from controller.settings.assay import AssaySection, CampaignSection, LabSection, PlateSection, ReadoutSection
from controller.settings.choosing import BeliefSection, PickingSection
from controller.settings.deck import DeckSection
from controller.settings.devices import (
    NEEDED,
    DeviceKind,
    DeviceSection,
    SensorsSection,
    SimSection,
    default_devices,
)
from controller.settings.nightly import NightlySection
from controller.settings.running import ApprovalSection, CostSection, FaultsSection, ProofSection
from controller.settings.section import Section
from controller.settings.telling import LogsSection, MetricsSection, NotificationsSection
from nextplate.errors import DataError, PlanError
from protocols.decks import described_deck
from protocols.dosing import fits
from protocols.giving import Giving
from protocols.judge_acoustic import droplet_words
from protocols.labware import LABWARE, Pipette, RobotDeck, pipette

ADDED_LATER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "campaign": ("priority",),
        "assay": ("dose_series_um", "final_dmso_percent", "incubation_tolerance_min", "step"),
        "picking": ("budget", "goal"),
        "belief": (
            "profiles", "cell_count", "viability", "replicates", "censored_above", "censored_below", "n_passed",
            "n_lot",
        ),
        "approval": (
            "max_new_scaffolds", "max_volume_ul", "max_cost", "max_hours", "latest_finish", "min_expected_hits",
        ),
        "proof": ("robots",),
        "faults": ("policy",),
        "deck": ("dilution", "tables", "offsets"),
    }
)  # fmt: skip
"""Settings, by table, that older campaigns' journals do not have."""
_NO_DECISIONS = ("lab", "sensors", "sim", "notifications", "metrics", "logs", "nightly")
"""Tables that shape no decision; what is told to whom may change at any time, and addresses belong in no journal."""


class Settings(Section):
    """The whole of lab.toml; every table may be left out."""

    lab: LabSection = LabSection()
    campaign: CampaignSection = CampaignSection()
    assay: AssaySection = AssaySection()
    plate: PlateSection = PlateSection()
    deck: DeckSection = DeckSection()
    readout: ReadoutSection = ReadoutSection()
    picking: PickingSection = PickingSection()
    belief: BeliefSection = BeliefSection()
    approval: ApprovalSection = ApprovalSection()
    cost: CostSection | None = None
    """None: nobody knows what a round costs."""
    proof: ProofSection = ProofSection()
    faults: FaultsSection = FaultsSection()
    nightly: NightlySection = NightlySection()
    notifications: NotificationsSection = NotificationsSection()
    metrics: MetricsSection = MetricsSection()
    logs: LogsSection = LogsSection()
    sensors: SensorsSection = SensorsSection()
    sim: SimSection = SimSection()
    device: Annotated[tuple[DeviceSection, ...], Field(strict=False)] = Field(default_factory=default_devices)

    @field_validator("device", mode="after")
    @classmethod
    def _devices_make_a_lab(cls, devices: tuple[DeviceSection, ...]) -> tuple[DeviceSection, ...]:
        names = [d.name for d in devices]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two devices are called {', '.join(map(repr, twice))}; every device needs its own name")
        kinds = [d.kind for d in devices if not d.stands_in]
        for kind in get_args(DeviceKind):
            if kind in NEEDED and kinds.count(kind) != 1:
                raise ValueError(f"{kinds.count(kind)} devices of kind {kind!r}; exactly one is needed")
            if kinds.count(kind) > 1:
                raise ValueError(f"{kinds.count(kind)} devices of kind {kind!r}; at most one can be used")
        if len(more := [d.name for d in devices if d.stands_in]) > 1:
            raise ValueError(f"{', '.join(map(repr, more))} stand in; at most one can")
        return devices

    @model_validator(mode="after")
    def _one_kind_of_time(self) -> "Settings":
        simulated = [d.name for d in self.device if d.driver == "sim"]
        if simulated and not self.is_simulated:
            real = ", ".join(f"{d.name} ({d.driver})" for d in self.device if d.driver != "sim")
            raise ValueError(
                f"driver 'sim' for {', '.join(simulated)} cannot be mixed with {real}: simulated devices live on "
                "virtual time; let all devices be 'sim', or none"
            )
        return self

    @model_validator(mode="after")
    def _liquids_fit(self) -> "Settings":
        # A campaign keeps the settings it began with: what no protocol can do must be told before, not at the robot.
        if problems := list(_liquid_problems(self)):
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _steps_have_devices(self) -> "Settings":
        kinds = {device.kind for device in self.device}
        if missing := [step.device for step in self.assay.step if step.device not in kinds]:
            raise ValueError(f"assay.step: no device of kind {missing[0]!r}; add a [[device]] of that kind")
        return self

    @model_validator(mode="after")
    def _front_has_two_objectives(self) -> "Settings":
        if self.picking.goal == "pareto" and self.belief.viability != "endpoint":
            raise ValueError("picking.goal = 'pareto' needs belief.viability = 'endpoint', the second objective")
        return self

    @model_validator(mode="after")
    def _budget_divides_the_plate(self) -> "Settings":
        budget, plate = self.picking.budget, self.plate
        if budget is None:
            return self
        if budget.dose_response and not self.assay.dose_series_um:
            raise ValueError("picking.budget.dose_response needs assay.dose_series_um, the doses of a series")
        # Loaded only where it is needed: some commands must answer at once.
        from nextplate.acquisition.budget import divide_plate

        try:
            n_doses = max(1, len(self.assay.dose_series_um))
            divide_plate(plate.wells, plate.n_negative, plate.n_positive, budget.shares(), n_doses)
        except PlanError as error:
            raise ValueError(f"picking.budget: {error}") from error
        return self

    def journal_body(self) -> dict[str, Any]:
        """Return the settings that shape a campaign's decisions, as the journal keeps them: JSON values.

        What was added later stays out while nobody uses it, so that journals stay what they were.
        """
        default = type(self)()
        unused: dict[str, Any] = dict.fromkeys(_NO_DECISIONS, True)
        unused |= {name: True for name in ("readout", "deck", "cost") if getattr(self, name) == getattr(default, name)}
        for table, names in ADDED_LATER.items():
            if unused.get(table) is True:
                continue
            mine, usual = getattr(self, table), getattr(default, table)
            if idle := {name for name in names if getattr(mine, name) == getattr(usual, name)}:
                unused[table] = idle
        body: dict[str, Any] = json.loads(self.model_dump_json(exclude=unused))
        for device in body["device"]:
            if not device["stands_in"]:
                del device["stands_in"]
        return body

    @property
    def is_simulated(self) -> bool:
        """Tell whether the lab is a simulated one: all of its devices are, or none."""
        return all(d.driver == "sim" for d in self.device)

    def device_of(self, kind: str) -> DeviceSection:
        """Return the one device of a kind."""
        return next(d for d in self.device if d.kind == kind and not d.stands_in)


def _liquid_problems(settings: Settings) -> Iterator[str]:
    assay, plate = settings.assay, settings.plate
    if assay.negative_control == assay.positive_control:
        yield f"both controls are {assay.negative_control!r}; give each its own liquid"
    try:
        tool = pipette(deck_of(settings).pipette)
    except (DataError, PlanError) as error:
        yield f"deck: {error}"
        return
    if not tool.min_nl <= assay.transfer_ul * 1000 <= tool.max_nl:
        allowed = f"{tool.min_nl / 1000:g} to {tool.max_nl / 1000:g}"
        yield f"transfer_ul = {assay.transfer_ul:g}: {tool.load_name} takes {allowed} microlitres"
    elif tool.is_acoustic and (words := droplet_words(round(assay.transfer_ul * 1000), tool)):
        yield f"transfer_ul = {assay.transfer_ul:g}: {words}"
    kind = LABWARE.get(plate.labware)
    if kind is None or kind.is_tip_rack or kind.n_wells != plate.wells:
        fits = sorted(n for n, item in LABWARE.items() if item.n_wells == plate.wells and not item.is_tip_rack)
        yield f"labware = {plate.labware!r} is no known plate of {plate.wells} wells (allowed: {', '.join(fits)})"
        return
    giving = giving_of(settings)
    if giving.well_nl + giving.total_nl > kind.max_volume_nl:
        full = f"{assay.well_volume_ul:g} + {giving.total_nl / 1000:g}"
        what = "final_dmso_percent" if giving.is_by_volume else "transfer_ul"
        yield f"well_volume_ul and {what}: {full} microlitres overfill a well of {kind.max_volume_nl / 1000:g}"
    if giving.is_by_volume:
        yield from _fill_problems(giving, tool)
    if tool.is_acoustic and (named := [name for name in ("tables", "offsets") if getattr(settings.deck, name)]):
        yield f"deck.{named[0]} is for an Opentrons robot; {tool.load_name} takes a work list"
    if spare := settings.deck.dilution:
        yield from _spare_problems(spare, tool, is_by_volume=giving.is_by_volume)


def _fill_problems(giving: Giving, tool: Pipette) -> Iterator[str]:
    """Tell where the pipette cannot fill wells up to the share of solvent that is asked for."""
    total_nl, transfer_nl = giving.total_nl, giving.transfer_nl
    what = f"final_dmso_percent = {giving.final_dmso_percent:g} is {total_nl / 1000:g} microlitres a well"
    most_nl = tool.low_mode_max_nl or tool.max_nl
    if tool.is_acoustic:
        if not transfer_nl <= total_nl:
            yield f"{what}, which is less than transfer_ul = {transfer_nl / 1000:g} of the positive control"
    elif not tool.min_nl <= total_nl <= most_nl:
        yield f"{what}; {tool.load_name} moves {tool.min_nl / 1000:g} to {most_nl / 1000:g}"
    elif not fits(transfer_nl, total_nl, tool):
        yield (
            f"{what}, of which transfer_ul = {transfer_nl / 1000:g} of the positive control leave "
            f"{(total_nl - transfer_nl) / 1000:g} to fill up; {tool.load_name} moves at least {tool.min_nl / 1000:g}"
        )


def _spare_problems(spare: str, tool: Pipette, *, is_by_volume: bool) -> Iterator[str]:
    """Tell why doses cannot be diluted in the plates that are named for it."""
    kind = LABWARE.get(spare)
    if tool.is_acoustic:
        yield f"deck.dilution: {tool.load_name} shoots droplets small enough, and has no tips to dilute with"
    elif kind is None or kind.is_tip_rack or kind.n_wells > tool.max_wells:
        fits = sorted(n for n, k in LABWARE.items() if not k.is_tip_rack and 12 < k.n_wells <= tool.max_wells)
        yield f"deck.dilution = {spare!r} is no plate that {tool.load_name} reaches into (allowed: {', '.join(fits)})"
    if not is_by_volume:
        yield "deck.dilution needs assay.final_dmso_percent: only doses made by volume are diluted"


def giving_of(settings: Settings) -> Giving:
    """Return how doses are made with these settings."""
    assay = settings.assay
    tool = pipette(deck_of(settings).pipette)
    volumes_nl = round(assay.transfer_ul * 1000), round(assay.well_volume_ul * 1000)
    needs_tool = assay.final_dmso_percent is not None or tool.is_acoustic
    return Giving(*volumes_nl, assay.final_dmso_percent, tool if needs_tool else None, settings.deck.dilution)


def deck_of(settings: Settings) -> RobotDeck:
    """Return the liquid handler's deck.

    Raises:
        DataError: table [deck] names a slot or a module that there is not.
        PlanError: it leaves too few slots.
    """
    return described_deck(settings.device_of("liquid-handler").robot or "", settings.deck.model_dump())
