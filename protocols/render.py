"""Write one deck load as an Opentrons Python protocol, for Flex and OT-2.

Names come from libraries and people, so each is written by ``ascii()``: whatever it holds, quotes and line breaks
included, it stays one string in a table.
"""

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from nextplate.errors import PlanError
from nextplate.plate import parse_well
from protocols.labware import pipette, robot_deck
from protocols.model import DeckLoad, Protocol, Transfer
from protocols.sentences import said


def render(protocol: Protocol, load_index: int) -> str:
    """Return the text of a protocol file; ASCII, the same for the same protocol.

    Raises:
        PlanError: no such load, steps that the template has no words for, or volumes that need two modes of the
            pipette in one load.
        DataError: a robot, pipette or well that is not known.
    """
    load = find_load(protocol, load_index)
    if words := _unsayable(load):
        raise PlanError(
            f"load {load.index}: {words}; an Opentrons file of nextplate has transfers with fresh tips only"
        )
    deck = robot_deck(protocol.robot)
    template = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True).from_string(  # noqa: S701
        files("protocols").joinpath("templates/opentrons.py.j2").read_text(encoding="utf-8")
    )
    return template.render(
        docstring=f"Deck load {load.index + 1} of {len(protocol.loads)}, for the {deck.robot_type}.",
        name=ascii(f"{protocol.name}, load {load.index + 1} of {len(protocol.loads)}"),
        description=ascii(f"{len(load.transfers)} transfers; digest {protocol.digest}"),
        robot_type=ascii(deck.robot_type),
        api_level=ascii(deck.api_level),
        deck=[[ascii(x) for x in (i.slot, i.labware, i.barcode, i.role.value)] for i in load.deck],
        transfers=[_row(t, load) for t in load.transfers],
        trash_slot=ascii(deck.trash_slot) if deck.trash_slot else "",
        pipette=ascii(protocol.pipette),
        mount=ascii(protocol.mount),
        **_low_mode(protocol, load),
    )


def _unsayable(load: DeckLoad) -> str:
    """Name the first step that the template has no words for."""
    used: set[tuple[str, str]] = set()
    for step in load.steps:
        if not isinstance(step, Transfer):
            return f"step {step.step_id} cannot be rendered: {said(step)}"
        if step.stroke:
            return f"transfer {step.transfer_id} cannot be rendered: it is a stroke of the 8-channel pipette"
        if (step.tip_rack, step.tip_well) in used:
            return f"transfer {step.transfer_id} cannot be rendered: it keeps tip {step.tip_well} of {step.tip_rack}"
        used.add((step.tip_rack, step.tip_well))
    return ""


def find_load(protocol: Protocol, load_index: int) -> DeckLoad:
    """Return a load of a protocol.

    Raises:
        PlanError: there is no such load.
    """
    for load in protocol.loads:
        if load.index == load_index:
            return load
    raise PlanError(f"protocol {protocol.name} has no load {load_index}; it has {len(protocol.loads)}, from 0")


def vendor_well(well: str) -> str:
    """Spell a well as Opentrons does: A1 for A01.

    Raises:
        DataError: not a well name.
    """
    _, column = parse_well(well)
    return f"{well.strip().rstrip('0123456789')}{column + 1}"


def microlitres(volume_nl: int) -> str:
    """Write nanolitres as microlitres, exactly: 1250 is 1.25."""
    whole, rest = divmod(volume_nl, 1000)
    return f"{whole}.{rest:03d}".rstrip("0") + ("0" if rest == 0 else "")


def _row(t: Transfer, load: DeckLoad) -> list[str]:
    slots = {item.barcode: item.slot for item in load.deck}
    for barcode in (t.source_plate, t.destination_plate, t.tip_rack):
        if barcode not in slots:
            raise PlanError(f"transfer {t.transfer_id} uses {barcode}, which is not on the deck of load {load.index}")
    return [
        str(t.transfer_id),
        ascii(slots[t.source_plate]), ascii(vendor_well(t.source_well)),
        ascii(slots[t.destination_plate]), ascii(vendor_well(t.destination_well)),
        microlitres(t.volume_nl),
        ascii(slots[t.tip_rack]), ascii(vendor_well(t.tip_well)),
        ascii(t.compound_id),
    ]  # fmt: skip


def _low_mode(protocol: Protocol, load: DeckLoad) -> dict[str, str]:
    tool = pipette(protocol.pipette)
    volumes = sorted({t.volume_nl for t in load.transfers})
    if not volumes or not tool.low_mode_below_nl or volumes[0] >= tool.low_mode_below_nl:
        return {"low_volume_ul": "", "low_below_ul": ""}
    if volumes[-1] > tool.low_mode_max_nl:
        raise PlanError(
            f"load {load.index} mixes {volumes[0]} nl and {volumes[-1]} nl; {tool.load_name} takes at most "
            f"{tool.low_mode_max_nl} nl in the mode that small volumes need"
        )
    return {"low_volume_ul": microlitres(volumes[0]), "low_below_ul": microlitres(tool.low_mode_below_nl)}
