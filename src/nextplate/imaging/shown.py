"""Names from a disk or a vendor's file, as they may stand in messages, tables and journals."""

from dataclasses import replace

from nextplate.imaging.listing import Listing
from nextplate.readout import Missing


def shown(text: str) -> str:
    """Return a text with everything escaped that would steer a terminal, turn a line round or has no UTF-8."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown_listing(listing: Listing) -> Listing:
    """Return a listing whose plate, channels and reasons can be shown and stored; paths stay as they are."""
    names = (listing.plate, *listing.channels, *(p.channel for p in listing.planes), *listing.notes)
    if all(name.isprintable() for name in {*names, *(m.reason for m in listing.refused)}):
        return listing
    return replace(
        listing,
        plate=shown(listing.plate),
        channels=tuple(shown(c) for c in listing.channels),
        planes=tuple(replace(p, channel=shown(p.channel)) for p in listing.planes),
        refused=tuple(
            Missing(m.well, m.field, None if m.channel is None else shown(m.channel), shown(m.reason))
            for m in listing.refused
        ),
        notes=tuple(shown(note) for note in listing.notes),
    )
