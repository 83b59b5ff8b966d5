"""The whole of lab.toml, and what its tables must agree on."""

from collections.abc import Iterator
from typing import Annotated, get_args

from pydantic import Field, field_validator, model_validator

from controller.settings.assay import AssaySection, CampaignSection, LabSection, PlateSection, ReadoutSection
from controller.settings.choosing import BeliefSection, PickingSection
from controller.settings.devices import DeviceKind, DeviceSection, SimSection, default_devices
from controller.settings.running import ApprovalSection, FaultsSection, ProofSection
from controller.settings.section import Section
from protocols.labware import LABWARE, pipette, robot_deck


class Settings(Section):
    """The whole of lab.toml; every table may be left out."""

    lab: LabSection = LabSection()
    campaign: CampaignSection = CampaignSection()
    assay: AssaySection = AssaySection()
    plate: PlateSection = PlateSection()
    readout: ReadoutSection = ReadoutSection()
    picking: PickingSection = PickingSection()
    belief: BeliefSection = BeliefSection()
    approval: ApprovalSection = ApprovalSection()
    proof: ProofSection = ProofSection()
    faults: FaultsSection = FaultsSection()
    sim: SimSection = SimSection()
    device: Annotated[tuple[DeviceSection, ...], Field(strict=False)] = Field(default_factory=default_devices)

    @field_validator("device", mode="after")
    @classmethod
    def _devices_make_a_lab(cls, devices: tuple[DeviceSection, ...]) -> tuple[DeviceSection, ...]:
        names = [d.name for d in devices]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two devices are called {', '.join(map(repr, twice))}; every device needs its own name")
        kinds = [d.kind for d in devices]
        for kind in get_args(DeviceKind):
            if kinds.count(kind) != 1:
                raise ValueError(f"{kinds.count(kind)} devices of kind {kind!r}; exactly one is needed")
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

    @property
    def is_simulated(self) -> bool:
        """Tell whether the lab is a simulated one: all of its devices are, or none."""
        return all(d.driver == "sim" for d in self.device)

    def device_of(self, kind: str) -> DeviceSection:
        """Return the one device of a kind."""
        return next(d for d in self.device if d.kind == kind)


def _liquid_problems(settings: Settings) -> Iterator[str]:
    assay, plate = settings.assay, settings.plate
    if assay.negative_control == assay.positive_control:
        yield f"both controls are {assay.negative_control!r}; give each its own liquid"
    tool = pipette(robot_deck(settings.device_of("liquid-handler").robot or "").pipette)
    if not tool.min_nl <= assay.transfer_ul * 1000 <= tool.max_nl:
        allowed = f"{tool.min_nl / 1000:g} to {tool.max_nl / 1000:g}"
        yield f"transfer_ul = {assay.transfer_ul:g}: {tool.load_name} takes {allowed} microlitres"
    kind = LABWARE.get(plate.labware)
    if kind is None or kind.is_tip_rack or kind.n_wells != plate.wells:
        fits = sorted(n for n, item in LABWARE.items() if item.n_wells == plate.wells and not item.is_tip_rack)
        yield f"labware = {plate.labware!r} is no known plate of {plate.wells} wells (allowed: {', '.join(fits)})"
    elif (assay.transfer_ul + assay.well_volume_ul) * 1000 > kind.max_volume_nl:
        full = f"{assay.well_volume_ul:g} + {assay.transfer_ul:g}"
        yield f"well_volume_ul and transfer_ul: {full} microlitres overfill a well of {kind.max_volume_nl / 1000:g}"
