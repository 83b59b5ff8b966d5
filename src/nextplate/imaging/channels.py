"""Which channel is what: names as people know them, and a guess at the nuclear stain."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nextplate.errors import DataError
from nextplate.readout import Readout

_NUCLEAR = re.compile(r"dna|dapi|hoechst|nucle(us|i|ar)|draq|h33342|propidium", re.IGNORECASE)
_TRANSMITTED = re.compile(r"bright|phase|trans(mi|$|\b)|dpc|dic\b|\bbf\b|\bph\b", re.IGNORECASE)


def is_fluorescent(channel: str) -> bool:
    """Say whether a channel's name is not that of transmitted light, where cells are as dark as they are bright."""
    return _TRANSMITTED.search(channel) is None


def renamed(readout: Readout, names: Mapping[str, str]) -> Readout:
    """Give channels other names, old to new.

    Raises:
        DataError: a channel that is not there, or two channels of one name.
    """
    if unknown := [old for old in names if old not in readout.channels]:
        raise DataError(f"plate {readout.plate} has no channel {unknown[0]!r}; it has {', '.join(readout.channels)}")
    channels = tuple(names.get(c, c) for c in readout.channels)
    if twice := sorted({c for c in channels if channels.count(c) > 1}):
        raise DataError(f"two channels of plate {readout.plate} would be called {twice[0]!r}")
    return replace(
        readout,
        channels=channels,
        images=tuple(replace(i, channel=names.get(i.channel, i.channel)) for i in readout.images),
        missing=tuple(
            replace(m, channel=None if m.channel is None else names.get(m.channel, m.channel)) for m in readout.missing
        ),
    )


def nuclear_channel(channels: Sequence[str]) -> str | None:
    """Return the one channel whose name says that it stains nuclei; None when none or several do."""
    found = [c for c in channels if _NUCLEAR.search(c)]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Roles:
    """What each channel is for."""

    dna: str
    reporter: str | None
    others: tuple[str, ...]


def chosen_channels(held: Sequence[str], wanted: Sequence[str] | None, dna: str | None, reporter: str | None) -> Roles:
    """Decide what each channel is for.

    Args:
        held: the plate's channels.
        wanted: those to measure; None: all. The nuclear stain is always measured.
        dna: the nuclear stain; None: the one whose name says so.
        reporter: None: the other one, where two are measured; 'none': there is none.

    Raises:
        DataError: a channel that is not there, or nothing tells which is the nuclear stain.
    """
    for name in (*(wanted or ()), *(n for n in (dna, reporter) if n not in (None, "none"))):
        if name not in held:
            raise DataError(f"the plate has no channel {name!r}; it has {', '.join(held) or 'none'}")
    nuclear = dna or nuclear_channel(held)
    if nuclear is None:
        raise DataError(f"which channel stains the nuclei? Say --dna NAME; there are {', '.join(held) or 'none'}")
    rest = [c for c in held if c != nuclear and (wanted is None or c in wanted or c == reporter)]
    if reporter is None and len(rest) == 1:
        reporter = rest[0]
    given = None if reporter == "none" else reporter
    return Roles(nuclear, given, tuple(c for c in rest if c != given))
