"""What is looked at before an Opentrons is given a load: files, robot and pipettes, the robot's own analysis."""

import re
from dataclasses import dataclass, field

from drivers.key_files import file_name
from drivers.opentrons_words import Analysis, Health, Mounted, Stored
from drivers.ports import RunLoad
from drivers.proven import proven_bytes, proven_file
from nextplate.errors import DataError, NeedsOperator
from protocols.labware import pipette, robot_deck
from protocols.model import DeckLoad, Protocol
from protocols.offsets import Offset, read_offsets
from protocols.proof import compare_commands
from protocols.render import other_mount
from protocols.render_rows import uses_eight

_LEVEL = re.compile(rb"""["']apiLevel["']\s*:\s*["'](\d{1,3})\.(\d{1,3})["']""")
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Planned:
    """A load, read from its files."""

    protocol: Protocol
    load: DeckLoad
    content: bytes = field(repr=False)
    """The rendered file, as it was proven; empty where it was not asked for."""
    offsets: tuple[Offset, ...] = ()
    """Of labware, that the load brings; of a file that was not asked for, none."""


def read_planned(command: RunLoad, *, needs_file: bool) -> Planned:
    """Read the files of a command.

    Raises:
        NeedsOperator: they cannot be read, or are not those that were approved and proven.
    """
    where = command.protocol_path
    try:
        protocol = Protocol.from_json(where.read_bytes().decode())
    except (OSError, DataError, UnicodeDecodeError) as error:
        raise NeedsOperator(f"cannot read protocol {where}: {error}") from error
    if protocol.digest != command.protocol_digest:
        approved = command.protocol_digest[:12]
        raise NeedsOperator(f"protocol {where} is not the one approved: digest {protocol.digest[:12]}, not {approved}")
    load = next((load for load in protocol.loads if load.index == command.load), None)
    if load is None:
        raise NeedsOperator(f"protocol {where} has no load {command.load}; it has {len(protocol.loads)}")
    content = proven_file(command) if needs_file else b""
    if content is None:
        raise NeedsOperator(f"protocol {where} was not rendered; an Opentrons needs the Python file of each load")
    return Planned(protocol, load, content, _offsets(command) if needs_file else ())


def _offsets(command: RunLoad) -> tuple[Offset, ...]:
    if command.offsets is None:
        return ()
    proven_bytes(command.offsets)
    try:
        return read_offsets(command.offsets.path)
    except DataError as error:
        raise NeedsOperator(f"the labware offsets of the load cannot be used: {error}") from error


def marked(content: bytes, lab_id: str, key: str) -> bytes:
    """Return a file that is this key's alone: a comment at its end makes the robot give it an id of its own."""
    end = b"" if content.endswith(b"\n") else b"\n"
    return content + end + f"# nextplate {lab_id} {file_name(key)}\n".encode("ascii")


def require_robot(health: Health, planned: Planned, robot: str) -> None:
    """Compare the robot with the one that lab.toml and the protocol are for.

    Raises:
        NeedsOperator: another robot, or software that cannot run the file.
    """
    wanted = robot_deck(robot).engine_type
    if planned.protocol.robot != robot:
        raise NeedsOperator(f"the protocol is for a {planned.protocol.robot}, and option robot says {robot}")
    if health.model != wanted:
        found = health.model or "a robot that does not say its model"
        raise NeedsOperator(f"at this url is {health.name!a}, {found}, not {wanted}; correct option url or robot")
    level = _LEVEL.search(planned.content)
    if level is None or health.api_levels is None:
        return
    least, most = health.api_levels
    if not least <= (int(level[1]), int(level[2])) <= most:
        raise NeedsOperator(
            f"the protocol needs apiLevel {int(level[1])}.{int(level[2])}, and the robot's software {health.software} "
            f"takes {least[0]}.{least[1]} to {most[0]}.{most[1]}; update the robot"
        )


def needed_pipettes(planned: Planned) -> dict[str, str]:
    """Return the engine's name of the pipette that each mount needs."""
    protocol = planned.protocol
    needed = {protocol.mount: pipette(protocol.pipette).engine_name}
    if uses_eight(planned.load):
        needed[other_mount(protocol.mount)] = pipette(protocol.multichannel).engine_name
    return needed


def require_pipettes(
    mounted: tuple[Mounted, ...], planned: Planned, measured: frozenset[tuple[str, str]] | None, *, is_flex: bool
) -> None:
    """Compare the pipettes with those of the protocol.

    Args:
        mounted: what is there.
        planned: the load.
        measured: of an OT-2, what is calibrated; None: its software does not say.
        is_flex: whether the pipettes tell their own calibration.

    Raises:
        NeedsOperator: another pipette, one that is not ready, or not calibrated.
    """
    for mount, name in needed_pipettes(planned).items():
        found = [tool for tool in mounted if tool.mount == mount]
        if len(found) == 1 and not found[0].is_ok:
            raise NeedsOperator(f"the pipette on the {mount} mount is not ready; update its firmware at the robot")
        if len(found) != 1 or found[0].name != name:
            there = ", ".join(tool.name or "something unknown" for tool in found) or "nothing"
            raise NeedsOperator(f"the {mount} mount has {there}, and the protocol needs {name}")
        if not found[0].is_ok:
            raise NeedsOperator(
                f"the {name} on the {mount} mount is not ready; update its firmware in the Opentrons App"
            )
        is_calibrated = found[0].calibrated_at if is_flex else measured is None or (found[0].serial, mount) in measured
        if not is_calibrated:
            raise NeedsOperator(f"the {name} on the {mount} mount is not calibrated; calibrate it in the Opentrons App")


def require_analysis(analysis: Analysis, stored: Stored, planned: Planned) -> None:
    """Compare what the robot itself says it would do with the plan.

    Raises:
        NeedsOperator: its analysis failed, or differs; names the wells.
    """
    if analysis.result != "ok" or analysis.errors:
        raise NeedsOperator(
            f"the robot's own analysis ended {analysis.result[:60]!a}: {analysis.errors or 'no errors'}"
        )
    differences = compare_commands(analysis.commands, stored.robot_type, planned.protocol, planned.load)
    if differences:
        shown = "; ".join(differences[:_MAX_SHOWN])
        raise NeedsOperator(f"the robot would do another thing than was planned: {shown}")
