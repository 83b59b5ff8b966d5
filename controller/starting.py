"""What has to be right before a night starts: the clock, and every device that has a plate in it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from controller.lab import Lab
from controller.nightly.clockguard import boot_question, clock_file, read_word
from controller.operators import sort_out
from controller.recipe import BENCH
from controller.settings import Settings
from controller.state import LabState, fold
from controller.store import NewEvent
from nextplate.errors import PlanError

if TYPE_CHECKING:
    from controller.store.store import Store

JSON = Mapping[str, Any]
_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_PLACES: Mapping[str, str] = {"liquid-handler": "deck", "incubator": "incubator", "imager": "imager", **BENCH}


def stations_of(settings: Settings) -> dict[str, str]:
    """Return which device each place where a plate may stand belongs to: place to name and driver."""
    devices = (device for device in settings.device if device.kind in _PLACES and not device.stands_in)
    return {_PLACES[device.kind]: f"{device.name!r} (driver {device.driver!r})" for device in devices}


def check_clock(lab: Lab, store: "Store", now: datetime) -> None:
    """Compare the clock of a real lab with the journal: robots move by it.

    Raises:
        PlanError: it was never set, or is behind the journal, or half a year ahead of it; says how to go on.
    """
    last, max_jump = store.last_event(), timedelta(hours=lab.settings.nightly.max_clock_jump_h)
    told, seq = (last.time, last.seq) if last else (None, 0)
    if question := boot_question(now, told, seq, read_word(clock_file(lab.folder)), max_jump):
        raise PlanError(question)


def check_stations(lab: Lab, state: LabState, waiting: Sequence[JSON]) -> None:
    """Refuse to start where a plate stands in a device that lab.toml does not name any more.

    Args:
        lab: as it is now.
        state: with the devices as they were at the last start.
        waiting: what operators have said that is not in the journal yet; a plate that was carried away is gone.

    Raises:
        PlanError: names every plate, its device, and what to do; also of a device that a campaign may need.
    """
    said = [d for kind, _, d in sort_out(state, waiting) if kind == "decision" and d["what"] == "carried"]
    after = fold([NewEvent("decision", _SOME_TIME, None, told) for told in said], state)
    if problems := [*_homeless(after, stations_of(lab.settings)), *_unmanned(state, lab.settings)]:
        raise PlanError("; ".join(problems))


def _homeless(state: LabState, stations: Mapping[str, str]) -> Iterator[str]:
    for barcode, place in sorted(state.places.items()):
        station = place.partition("/")[0]
        was = state.stations.get(station)
        if was is not None and stations.get(station) != was:
            now = f"which now names {stations[station]} there" if station in stations else "which names none there now"
            yield (
                f"plate {barcode} stands at {place} of {was}, but lab.toml was changed since, {now}; put the device "
                f"back, or take the plate out and say so: nextplate plate carried {barcode} stack/done"
            )


def _unmanned(state: LabState, settings: Settings) -> Iterator[str]:
    """Tell which devices stood in when a campaign began and do not any more: it may have given them work."""
    there = {(device.kind, device.name) for device in settings.device if device.stands_in}
    for campaign in state.campaigns.values():
        named = (d for d in campaign.settings.get("device", ()) if d.get("stands_in") and not campaign.is_over)
        for device in named:
            if (device["kind"], device["name"]) not in there:
                yield f"{device['name']!r} stood in when campaign {campaign.name!r} began; put it back into lab.toml"
