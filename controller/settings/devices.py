"""The devices, and the simulated lab behind the sim drivers."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from controller.settings.section import Name, Section, Share


def _plain_value(value: Any) -> Any:
    """Let plain values through, and lists of them; a TOML list becomes a list again in the journal."""
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    if not isinstance(value, str | bool | int | float):
        raise ValueError("an option is text, a number, true or false, or a list of these")
    return value


DeviceKind = Literal[
    "liquid-handler", "plate-mover", "incubator", "imager", "washer", "dispenser", "shaker", "barcode-reader"
]
NEEDED: frozenset[DeviceKind] = frozenset(("liquid-handler", "plate-mover", "incubator", "imager"))
"""Kinds that every lab has one device of; of the others it may have one."""


class DeviceSection(Section):
    """One device."""

    name: Name
    kind: DeviceKind
    driver: Name = "sim"
    """``sim``, or the name of an entry point in group nextplate.drivers, such as ``folder``."""
    robot: Literal["flex", "ot2", "echo"] | None = None
    """For a liquid handler; echo: an acoustic dispenser, which has no tips and takes a work list."""
    stands_in: bool = False
    """Takes over where the first device of its kind fails: a second plate mover that reaches the same places."""
    options: dict[str, Annotated[Any, AfterValidator(_plain_value)]] = Field(default_factory=dict)
    """For the driver, which checks them; the simulated devices take theirs from [sim]."""

    @model_validator(mode="after")
    def _robot_for_handler(self) -> "DeviceSection":
        if (self.kind == "liquid-handler") != (self.robot is not None):
            raise ValueError("robot is needed for a liquid-handler ('flex', 'ot2' or 'echo') and for no other kind")
        return self

    @model_validator(mode="after")
    def _stands_in_for_a_mover(self) -> "DeviceSection":
        if self.stands_in and self.kind != "plate-mover":
            raise ValueError(f"only a plate-mover can stand in, not {self.kind!r}: a plate stands at one device")
        return self

    @model_validator(mode="after")
    def _sim_has_its_own_table(self) -> "DeviceSection":
        if self.driver == "sim" and self.options:
            raise ValueError("driver 'sim' takes no options; the table [sim] sets up the simulated lab")
        return self


def _in_order(band: tuple[float, float]) -> tuple[float, float]:
    if not band[0] <= band[1]:
        raise ValueError(f"the lowest value comes first: [{band[1]:g}, {band[0]:g}]")
    return band


Band = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_in_order)]


class SensorsSection(Section):
    """Between which values sensors must be, or their device is given nothing new until they are."""

    look_s: Annotated[float, Field(ge=1)] = 60.0
    """Time between two looks."""
    bands: dict[DeviceKind, dict[Name, Band]] = Field(default_factory=dict)
    """By kind of device and reading (temperature_c, co2_percent, humidity_percent, o2_percent, n2_percent, door_open):
    lowest and highest value. A reading that the device does not tell suspends nothing."""


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
    field_px: Annotated[int, Field(ge=64)] = 540
    """Pixels along an edge of a simulated field; a small one has fewer cells and is drawn and measured sooner."""
    faults: SimFaults = SimFaults()


def default_devices() -> tuple[DeviceSection, ...]:
    """Return the devices of a simulated lab."""
    return (
        DeviceSection(name="handler", kind="liquid-handler", robot="flex"),
        DeviceSection(name="arm", kind="plate-mover"),
        DeviceSection(name="incubator", kind="incubator"),
        DeviceSection(name="microscope", kind="imager"),
    )
