"""lab.toml: the settings of a lab, validated; an error names file, line, key, value found and values allowed."""

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from nextplate.errors import DataError, SettingsError
from nextplate.models.kinds import KINDS
from protocols.labware import LABWARE, pipette, robot_deck

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]


class Section(BaseModel):
    """A table of lab.toml: unknown keys are errors, values are not coerced from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class LabSection(Section):
    """Who and where."""

    name: Name = "lab"
    database: str = "sqlite:///nextplate.db"
    """SQLAlchemy URL; a relative SQLite path lies in the lab folder."""


class CampaignSection(Section):
    """One campaign: how many rounds of one plate each, and the seed of every random choice."""

    name: Name = "first"
    rounds: Annotated[int, Field(ge=1, le=1000)] = 3
    seed: Annotated[int, Field(ge=0)] = 1


class AssaySection(Section):
    """What happens in a well and when it counts as a hit."""

    negative_control: str = "DMSO"
    positive_control: str = "REF-1"
    dose_um: Annotated[float, Field(gt=0)] = 10.0
    transfer_ul: Annotated[float, Field(gt=0)] = 5.0
    well_volume_ul: Annotated[float, Field(gt=0)] = 45.0
    """Medium and cells in the well before the transfer."""
    incubation_h: Annotated[float, Field(ge=0)] = 24.0
    dna_channel: str = "DNA"
    reporter_channel: str = "Reporter"
    hit_threshold: Annotated[float, Field(gt=0)] = 0.5
    """On the response scale: 0 negative control, 1 positive control."""
    min_viability: Share = 0.5
    min_z_prime: float = 0.3


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


class PickingSection(Section):
    """How the next compounds are chosen."""

    rule: Literal[
        "random", "greedy", "ucb", "uncertainty", "ei", "pi", "modal-ucb", "thompson", "top-k", "entropy", "margin",
        "bald", "set-size", "hits-at-fdr",
    ] = "ucb"  # fmt: skip
    beta: Annotated[float, Field(ge=0)] = 0.5
    exploration_share: Share = 0.1
    diversity_weight: Annotated[float, Field(ge=0)] = 0.1
    diversity: Literal["none", "penalty", "maxmin", "dpp", "facility"] = "penalty"
    """How a batch is kept varied; the ways are told in nextplate.acquisition.choose."""
    cap_per_scaffold: Annotated[int, Field(ge=0)] = 0
    """Most compounds of one Murcko scaffold a plate picks by score; 0: no cap."""
    source_plate_cost: Annotated[float, Field(ge=0)] = 0.0
    """What a pick has to bring more to open another source plate; 1 is from the median score to the best."""


def _known_kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"there is no such kind of belief (allowed: {', '.join(KINDS)})")
    return name


class BeliefSection(Section):
    """The model and its calibration."""

    kind: Annotated[str, AfterValidator(_known_kind)] = "lightgbm"
    """A name in nextplate.models.KINDS."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9


class ApprovalSection(Section):
    """Who lets a round start: the policy inside its limits, or a person."""

    policy: Literal["auto", "hand"] = "auto"
    max_compounds: Annotated[int, Field(ge=0)] = 400
    """A round with more compounds than this waits for a person even under the auto policy."""


class ProofSection(Section):
    """How a protocol is proven before it is dispatched."""

    python: str = ""
    """Interpreter with the opentrons package; empty: the one that runs nextplate."""
    timeout_s: Annotated[int, Field(ge=10)] = 300


class FaultsSection(Section):
    """What to do when something goes wrong and nobody is there."""

    partial_load: Literal["ask", "accept"] = "ask"
    """A load that stopped half-way: ask a person, or go on and leave the undosed wells out."""
    failed_plate: Literal["ask", "discard", "use"] = "ask"
    """A plate that fails its quality control."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    retry_wait_s: Annotated[float, Field(gt=0)] = 30.0


def _plain_value(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float):
        raise ValueError("an option is text, a number, true or false")
    return value


DeviceKind = Literal["liquid-handler", "plate-mover", "incubator", "imager"]


class DeviceSection(Section):
    """One device."""

    name: Name
    kind: DeviceKind
    driver: Name = "sim"
    """``sim``, or the name of an entry point in group nextplate.drivers, such as ``folder``."""
    robot: Literal["flex", "ot2"] | None = None
    """For a liquid handler."""
    options: dict[str, Annotated[Any, AfterValidator(_plain_value)]] = Field(default_factory=dict)
    """For the driver, which checks them; the simulated devices take theirs from [sim]."""

    @model_validator(mode="after")
    def _robot_for_handler(self) -> "DeviceSection":
        if (self.kind == "liquid-handler") != (self.robot is not None):
            raise ValueError("robot is needed for a liquid-handler ('flex' or 'ot2') and for no other kind")
        return self

    @model_validator(mode="after")
    def _sim_has_its_own_table(self) -> "DeviceSection":
        if self.driver == "sim" and self.options:
            raise ValueError("driver 'sim' takes no options; the table [sim] sets up the simulated lab")
        return self


class SimFaults(Section):
    """How often the simulated devices fail; the meaning of each rate stands in sim.settings.FaultSettings."""

    reply_lost: Share = 0.0
    refused: Share = 0.0
    crash: Share = 0.0
    stall: Share = 0.0
    clogged_tip: Share = 0.002
    unnoticed_clog: Share = 0.0
    grip_missed: Share = 0.0
    plate_dropped: Share = 0.0
    out_of_focus: Share = 0.005
    missing_image: Share = 0.0
    truncated_image: Share = 0.0


class SimSection(Section):
    """The simulated lab behind the sim drivers."""

    seed: Annotated[int, Field(ge=0)] = 1
    faults: SimFaults = SimFaults()


def _default_devices() -> tuple[DeviceSection, ...]:
    return (
        DeviceSection(name="handler", kind="liquid-handler", robot="flex"),
        DeviceSection(name="arm", kind="plate-mover"),
        DeviceSection(name="incubator", kind="incubator"),
        DeviceSection(name="microscope", kind="imager"),
    )


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
    device: Annotated[tuple[DeviceSection, ...], Field(strict=False)] = Field(default_factory=_default_devices)

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


def load_settings(path: Path) -> Settings:
    """Read and validate lab.toml.

    Raises:
        SettingsError: every problem at once, one line each: file, line, key, value found, values allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such file; make a lab with: nextplate init {path.parent}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    try:
        return Settings.model_validate(body)
    except ValidationError as error:
        lines = [_explain(path, text, item) for item in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def _explain(path: Path, text: str, item: ErrorDetails) -> str:
    keys = [str(part) for part in item["loc"]]
    line = _line_of(text, keys) or _line_of(text, keys[:-1])
    where = f"{path}:{line}" if line else str(path)
    dotted = ".".join(keys)
    if item["type"] == "extra_forbidden":
        return f"{where}: {dotted} is not a setting{_did_you_mean(keys)}"
    found = "" if isinstance(item["input"], dict | tuple | list) else f" = {item['input']!r}"
    message = item["msg"].removeprefix("Value error, ")
    key = f"{dotted}{found}: " if dotted else ""
    return f"{where}: {key}{message[0].lower()}{message[1:]}"


def _did_you_mean(keys: list[str]) -> str:
    allowed = _fields_at(keys[:-1])
    close = difflib.get_close_matches(keys[-1], allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} (allowed: {', '.join(allowed)})"


def _fields_at(keys: list[str]) -> list[str]:
    model: Any = Settings
    for key in (k for k in keys if not k.isdigit()):
        annotation = model.model_fields[key].annotation
        model = _model_in(annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, Annotated):
        return next((m for a in get_args(annotation) if (m := _model_in(a))), None)
    return None


def _line_of(text: str, keys: list[str]) -> int | None:
    """Find the line where a key is set, counting tables as the file writes them."""
    table, index, seen = "", -1, 0
    wanted_index = next((int(k) for k in keys if k.isdigit()), None)
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if header := re.match(r"^\[(\[)?\s*([\w.-]+)\s*\]", line):
            table = header[2]
            index = seen if header[1] and keys[:1] == [table] else -1
            seen += index >= 0
            if ".".join(keys) == table or (
                len(keys) == 2 and index == wanted_index and keys[0] == table and keys[1].isdigit()
            ):
                return number
        elif (
            keys
            and re.match(rf"^{re.escape(keys[-1])}\s*=", line)
            and (table == ".".join(k for k in keys[:-1] if not k.isdigit()))
            and (wanted_index is None or index == wanted_index)
        ):
            return number
    return None
