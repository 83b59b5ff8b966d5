"""What the commands of `nextplate notify` do."""

import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from controller.lab import Lab
from controller.notify.channels import open_channel
from controller.notify.courier import Courier, Parcel, ProcessCourier, Sending
from controller.notify.notifier import LOCK, LabNow, alone, make_post, wall_now
from controller.notify.plain import plain, sms
from nextplate.errors import DataError, SettingsError
from protocols.sentences import plain as one_line

if TYPE_CHECKING:
    from controller.store.store import Store

JSON = Mapping[str, Any]
_LOOK_S = 0.05


def try_channels(lab: Lab, only: str | None, courier: Courier | None = None) -> dict[str, dict[str, Any]]:
    """Send a test message to one channel or all, at the same time; return what became of each.

    Raises:
        DataError: there is no such channel, or none at all.
    """
    channels = lab.settings.notifications.channels
    if not channels:
        raise DataError(f"{lab.folder / 'lab.toml'}: [notifications.channels] names no channel, so nobody can be told")
    if only is not None and only not in channels:
        raise DataError(f"there is no channel {only!r}; lab.toml names: {', '.join(channels)}")
    carrier = courier or ProcessCourier(lab.folder)
    under_way: dict[str, Sending] = {}
    results: dict[str, dict[str, Any]] = {}
    for name in [only] if only else channels:
        try:
            channel = open_channel(name, channels[name], lab.folder, os.environ)
            under_way[name] = carrier.send(_trial(lab, name, channel.is_short), channel)
        except SettingsError as error:
            results[name] = {"delivered": False, "said": str(error)}
    results |= _awaited(under_way)
    return {name: results[name] for name in channels if name in results}


def _awaited(under_way: dict[str, Sending]) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    while under_way:
        for name, sending in list(under_way.items()):
            if (result := sending.result()) is not None:
                results[name] = {"delivered": result.is_ok, "said": result.said}
                del under_way[name]
        time.sleep(_LOOK_S)
    return results


def _trial(lab: Lab, channel: str, is_short: bool) -> Parcel:
    house = lab.settings.lab.name
    title = f"nextplate {house}: test message"
    body = f"A test of channel {channel}. Nothing has happened, and nothing has to be done.\nlab {plain(lab.folder)}"
    if is_short:
        title, body = "", sms(f"nextplate {house}: test of channel {channel}.", "Nothing has to be done.", "")
    return Parcel("test", 1, title, body, None)


def trial_text(results: Mapping[str, JSON]) -> str:
    """Tell people what became of the test messages."""
    said = {name: "delivered" if r["delivered"] else f"NOT delivered: {r['said']}" for name, r in results.items()}
    return "\n".join(one_line(f"{name}: {text}") for name, text in said.items())


def notices_body(store: "Store", last: int) -> dict[str, Any]:
    """Tell the latest messages."""
    names = ("id", "due_at", "kind", "subject", "step", "channel", "state", "attempts", "told_at", "error", "event_seq")
    rows = store.select("notices", {}, ("due_at", "event_seq", "step", "id"))[-last:]
    return {"messages": [{**{n: row[n] for n in names}, "title": json.loads(row["content"])["title"]} for row in rows]}


def notices_text(body: JSON) -> str:
    """Tell them to people."""
    lines = [_notice_line(row) for row in body["messages"]]
    return "\n".join(map(one_line, lines)) or "nothing had to be told yet"


def _notice_line(row: JSON) -> str:
    said = f"sent {row['told_at'][:16]}" if row["state"] == "sent" else f"{row['state']}, {row['attempts']} tries"
    why = f": {row['error']}" if row["error"] else ""
    return f"{row['due_at'][:16]}  {row['channel']:<10} {said:<22} {row['title']} ({row['id']}){why}"


def send_due(lab: Lab, store: "Store") -> dict[str, Any]:
    """Send what is due and what waits, each once, and return what is left."""
    post = make_post(lab, store)
    now = LabNow(lab.settings.is_simulated, wall_now, time.monotonic)
    with alone(lab.folder / LOCK) as is_alone:
        if not is_alone:
            return {"busy": True, "waiting": 0}
        try:
            post.read()
            while True:
                last = now.at(post.desk.time) + post.rules.settle
                post.turn(last, wall_now(), time.monotonic())
                if post.is_resting(time.monotonic()):
                    return {"busy": False, "waiting": post.depth}
                time.sleep(_LOOK_S)
        finally:
            post.stop()
