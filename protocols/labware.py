"""Labware, pipettes and robots that protocols are compiled for.

Names and capacities are those of Opentrons' shared data (opentrons 9.0.0). Dead volumes are ours: what a pipette
tip 1 mm above the bottom cannot take reliably.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from nextplate.errors import DataError, PlanError
from nextplate.plate import PlateFormat, normal_well, parse_well, row_letters


@dataclass(frozen=True, slots=True)
class Labware:
    """A kind of plate, reservoir or tip rack."""

    load_name: str
    wells_format: PlateFormat
    max_volume_nl: int
    """Of one well; for a tip rack, of one tip."""
    dead_volume_nl: int
    """Stays in a well whatever is drawn; 0 for tip racks."""
    height_mm: float
    """Of the whole, above the deck."""
    is_tip_rack: bool = False
    acoustic_max_nl: int = 0
    """The most that a well may hold to be drawn from by sound; 0: the plate is no source for that."""

    @property
    def n_wells(self) -> int:
        """Count the wells or tips."""
        return self.wells_format.n_wells

    def has(self, well: str) -> bool:
        """Tell whether this is the zero-padded name of one of the wells."""
        try:
            return normal_well(well, self.wells_format) == well
        except DataError:
            return False

    def wells_by_column(self) -> tuple[str, ...]:
        """Return A01, B01 .. H01, A02 ..: the order in which tips are used."""
        return _by_column(self.wells_format)


@cache
def _by_column(plate_format: PlateFormat) -> tuple[str, ...]:
    wells = list(plate_format.wells())
    width = plate_format.n_columns
    return tuple(well for column in range(width) for well in wells[column::width])


_P96, _P384 = PlateFormat(8, 12), PlateFormat(16, 24)
_P1536, _ROW12, _ONE = PlateFormat(32, 48), PlateFormat(1, 12), PlateFormat(1, 1)

LABWARE: Mapping[str, Labware] = {
    item.load_name: item
    for item in (
        Labware("corning_384_wellplate_112ul_flat", _P384, 112_000, 4_000, 14.22),
        Labware("greiner_384_wellplate_240ul", _P384, 240_000, 5_000, 22.0),
        Labware("biorad_384_wellplate_50ul", _P384, 50_000, 2_000, 10.4),
        Labware("appliedbiosystemsmicroamp_384_wellplate_40ul", _P384, 40_000, 2_000, 9.7),
        Labware("corning_96_wellplate_360ul_flat", _P96, 360_000, 15_000, 14.22),
        Labware("nest_96_wellplate_200ul_flat", _P96, 200_000, 10_000, 14.3),
        Labware("nest_96_wellplate_100ul_pcr_full_skirt", _P96, 100_000, 5_000, 15.7),
        Labware("nest_96_wellplate_2ml_deep", _P96, 2_000_000, 50_000, 41.0),
        Labware("greiner_1536_wellplate_10ul", _P1536, 10_000, 1_000, 10.4),  # ours: no Opentrons definition exists
        # Sources of acoustic dispensers. Windows as commonly given for these plates, not verified on a device.
        Labware("labcyte_384_pp", _P384, 65_000, 15_000, 14.4, acoustic_max_nl=65_000),
        Labware("labcyte_384_ldv", _P384, 14_000, 2_500, 14.4, acoustic_max_nl=12_000),
        Labware("labcyte_1536_ldv", _P1536, 5_500, 1_000, 10.4, acoustic_max_nl=5_500),
        Labware("nest_12_reservoir_15ml", _ROW12, 15_000_000, 1_000_000, 31.4),
        Labware("usascientific_12_reservoir_22ml", _ROW12, 22_000_000, 1_000_000, 44.45),
        Labware("nest_1_reservoir_195ml", _ONE, 195_000_000, 10_000_000, 31.4),
        Labware("agilent_1_reservoir_290ml", _ONE, 290_000_000, 10_000_000, 44.04),
        Labware("opentrons_flex_96_tiprack_50ul", _P96, 50_000, 0, 99.0, is_tip_rack=True),
        Labware("opentrons_flex_96_filtertiprack_50ul", _P96, 50_000, 0, 99.0, is_tip_rack=True),
        Labware("opentrons_flex_96_tiprack_200ul", _P96, 200_000, 0, 99.0, is_tip_rack=True),
        Labware("opentrons_flex_96_tiprack_1000ul", _P96, 1_000_000, 0, 99.0, is_tip_rack=True),
        Labware("opentrons_96_tiprack_20ul", _P96, 20_000, 0, 64.69, is_tip_rack=True),
        Labware("opentrons_96_filtertiprack_20ul", _P96, 20_000, 0, 64.69, is_tip_rack=True),
        Labware("opentrons_96_tiprack_300ul", _P96, 300_000, 0, 64.49, is_tip_rack=True),
        Labware("opentrons_96_filtertiprack_200ul", _P96, 200_000, 0, 64.49, is_tip_rack=True),
    )
}

DESTINATIONS: Mapping[int, str] = {
    96: "corning_96_wellplate_360ul_flat",
    384: "corning_384_wellplate_112ul_flat",
}
"""Assay plate by number of wells, unless another is named."""


@dataclass(frozen=True, slots=True)
class Pipette:
    """A pipette of one channel or eight, or what shoots droplets by sound and needs no tips."""

    load_name: str
    engine_name: str
    """What the vendor's engine calls it in an analysis."""
    min_nl: int
    max_nl: int
    tips: tuple[str, ...]
    """Load names of the racks that fit."""
    low_mode_below_nl: int = 0
    """Volumes under this need the pipette's low-volume mode; 0: it has none."""
    low_mode_max_nl: int = 0
    """The most it takes in that mode."""
    n_channels: int = 1
    robot: str = "flex"
    """The robot it goes on."""
    max_wells: int = 384
    """Of a plate it can reach into: wells of a plate with more are narrower than its tips' ends."""
    droplet_pl: int = 0
    """Picolitres of the droplets that an acoustic dispenser shoots; 0: it is a pipette."""
    draw_ul_s: float = 0.0
    """Flow rate at which it draws where a file does not set one: measured with opentrons 9.0.0, for every tip."""
    give_ul_s: float = 0.0
    """Likewise of dispensing."""

    @property
    def is_acoustic(self) -> bool:
        """Tell whether it shoots droplets, without tips."""
        return self.droplet_pl > 0

    @property
    def step_nl(self) -> int:
        """Return the smallest volume that is whole nanolitres and whole droplets; 1 for a pipette."""
        return math.lcm(self.droplet_pl, 1_000) // 1_000 if self.is_acoustic else 1


_FLEX_50 = ("opentrons_flex_96_tiprack_50ul", "opentrons_flex_96_filtertiprack_50ul")
_FLEX_1000 = ("opentrons_flex_96_tiprack_1000ul", "opentrons_flex_96_tiprack_200ul", _FLEX_50[0])
_OT2_20 = ("opentrons_96_tiprack_20ul", "opentrons_96_filtertiprack_20ul")
_OT2_300 = ("opentrons_96_tiprack_300ul", "opentrons_96_filtertiprack_200ul")

PIPETTES: Mapping[str, Pipette] = {
    item.load_name: item
    for item in (
        Pipette(
            "flex_1channel_50",
            "p50_single_flex",
            1_000,
            50_000,
            _FLEX_50,
            5_000,
            30_000,
            draw_ul_s=35.0,
            give_ul_s=57.0,
        ),
        Pipette(
            "flex_1channel_1000", "p1000_single_flex", 5_000, 1_000_000, _FLEX_1000, draw_ul_s=716.0, give_ul_s=716.0
        ),
        Pipette(
            "flex_8channel_50",
            "p50_multi_flex",
            1_000,
            50_000,
            _FLEX_50,
            5_000,
            30_000,
            8,
            draw_ul_s=35.0,
            give_ul_s=57.0,
        ),
        Pipette(
            "flex_8channel_1000",
            "p1000_multi_flex",
            5_000,
            1_000_000,
            _FLEX_1000,
            n_channels=8,
            draw_ul_s=716.0,
            give_ul_s=716.0,
        ),
        Pipette(
            "p20_single_gen2", "p20_single_gen2", 1_000, 20_000, _OT2_20, robot="ot2", draw_ul_s=7.56, give_ul_s=7.56
        ),
        Pipette(
            "p300_single_gen2",
            "p300_single_gen2",
            20_000,
            300_000,
            _OT2_300,
            robot="ot2",
            draw_ul_s=92.86,
            give_ul_s=92.86,
        ),
        Pipette(
            "p20_multi_gen2",
            "p20_multi_gen2",
            1_000,
            20_000,
            _OT2_20,
            n_channels=8,
            robot="ot2",
            draw_ul_s=7.6,
            give_ul_s=7.6,
        ),
        Pipette(
            "p300_multi_gen2",
            "p300_multi_gen2",
            20_000,
            300_000,
            _OT2_300,
            n_channels=8,
            robot="ot2",
            draw_ul_s=94.0,
            give_ul_s=94.0,
        ),
        # Limits of one transfer are not verified on a device.
        Pipette("echo_550", "", 5, 10_000, (), robot="echo", max_wells=1536, droplet_pl=2_500),
        Pipette("echo_525", "", 25, 10_000, (), robot="echo", max_wells=1536, droplet_pl=25_000),
    )
}


@dataclass(frozen=True, slots=True)
class Fixture:
    """A module that stands on the deck for good (protocols.geometry.fixture)."""

    kind: str
    slots: tuple[str, ...]
    height_mm: float
    max_beside_mm: float | None
    """What stands to the left or right of it is at most so high; None: as high as it likes."""


@dataclass(frozen=True, slots=True)
class Hand:
    """How the plate mover grips a plate on the deck."""

    finger_mm: float
    """How far beside the plate its fingers reach."""
    grip_height_mm: float
    """Of their lower ends above the deck: what stands beside the plate and is no higher is not in the way."""
    axis: str = "x"
    """x: left and right of the plate; y: behind it and in front."""


@dataclass(frozen=True, slots=True)
class RobotDeck:
    """A robot, its deck and the pipette it carries."""

    robot: str
    """flex, ot2 or echo."""
    robot_type: str
    """As a protocol file requires it."""
    engine_type: str
    """As an analysis reports it."""
    api_level: str
    slots: tuple[str, ...]
    """Usable slots: the first is the assay plate's, then nearest first."""
    trash_slot: str | None
    """None: the trash is part of the robot."""
    pipette: str
    """Load name."""
    mount: str
    """left or right."""
    staging: tuple[str, ...] = ()
    """Slots that the gripper reaches and no pipette: for labware that waits."""
    multichannel: str = ""
    """Load name of an 8-channel pipette on the other mount; empty: there is none."""
    fixtures: tuple[Fixture, ...] = ()
    hand: Hand | None = None
    """None: nobody said how the mover grips; nothing is in its way."""


ROBOTS: Mapping[str, RobotDeck] = {
    "flex": RobotDeck(
        "flex", "Flex", "OT-3 Standard", "2.20",
        ("C2", "B2", "D2", "B3", "C3", "B1", "C1", "D3", "D1", "A2", "A1"),
        "A3", "flex_1channel_50", "left", ("D4", "C4", "B4"),  # A4 goes with A3, where the trash bin is
    ),
    "ot2": RobotDeck(
        "ot2", "OT-2", "OT-2 Standard", "2.20",
        ("5", "8", "6", "9", "2", "4", "3", "7", "1", "11", "10"),
        None, "p20_single_gen2", "left",
    ),
    "echo": RobotDeck(
        "echo", "Echo", "", "", ("destination", "source"), None, "echo_550", "left",
    ),
}  # fmt: skip


def labware(load_name: str) -> Labware:
    """Return a kind of labware.

    Raises:
        DataError: unknown; lists the known names.
    """
    if load_name not in LABWARE:
        raise DataError(f"labware {load_name!r} is not known; known are {', '.join(sorted(LABWARE))}")
    return LABWARE[load_name]


def vendor_well(well: str) -> str:
    """Spell a well as vendors do, without padding: A1 for A01, AF48.

    Raises:
        DataError: not a well name.
    """
    row, column = parse_well(well)
    return f"{row_letters(row)}{column + 1}"


def pipette(load_name: str) -> Pipette:
    """Return a pipette.

    Raises:
        DataError: unknown; lists the known names.
    """
    if load_name not in PIPETTES:
        raise DataError(f"pipette {load_name!r} is not known; known are {', '.join(sorted(PIPETTES))}")
    return PIPETTES[load_name]


def robot_deck(
    robot: str,
    *,
    pipette_name: str | None = None,
    mount: str | None = None,
    blocked: tuple[str, ...] = (),
    multichannel: str = "",
    fixtures: tuple[Fixture, ...] = (),
    hand: Hand | None = None,
) -> RobotDeck:
    """Return a robot's deck, with another pipette, mount, an 8-channel pipette beside it, or some slots not to be used.

    The slots of ``fixtures`` are not to be used either.

    Raises:
        DataError: an unknown robot, pipette, mount or slot; a pipette of another robot, or of one channel for eight.
        PlanError: fewer than three usable slots: assay plate, a source and a tip rack need one each.
    """
    if robot not in ROBOTS:
        raise DataError(f"robot {robot!r} is not known; known are {', '.join(sorted(ROBOTS))}")
    deck = ROBOTS[robot]
    blocked = (*blocked, *(slot for module in fixtures for slot in module.slots))
    unknown = [slot for slot in blocked if slot not in deck.slots and slot != deck.trash_slot]
    if unknown:
        raise DataError(f"{robot} has no slot {', '.join(unknown)}; it has {', '.join(sorted(deck.slots))}")
    chosen = pipette(pipette_name or deck.pipette)
    second = pipette(multichannel) if multichannel else None
    for tool, n_channels in ((chosen, 1), *(((second, 8),) if second else ())):
        if (tool.robot, tool.n_channels) != (robot, n_channels):
            raise DataError(
                f"pipette {tool.load_name} has {tool.n_channels} channel(s) and goes on the {tool.robot}; wanted is "
                f"one of {n_channels} for the {robot}"
            )
    if mount not in (None, "left", "right"):
        raise DataError(f"mount {mount!r}; write left or right")
    slots = tuple(slot for slot in deck.slots if slot not in blocked)
    if len(slots) < (2 if chosen.is_acoustic else 3):
        raise PlanError(f"{len(slots)} usable slots on the {robot}; plate, source and tips need 3")
    kept = replace(deck, slots=slots, fixtures=fixtures, hand=hand)
    return replace(kept, pipette=chosen.load_name, mount=mount or deck.mount, multichannel=multichannel)
