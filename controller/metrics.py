"""Numbers for Prometheus: counted from the journal's events, served over HTTP while a campaign runs.

They are the lab's, not the process's: the whole journal is counted at the start, so a restart resets nothing.
"""

import bisect
import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from controller.store import Event

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

JSON = Mapping[str, Any]
BUCKETS_S = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""Upper bounds of the histogram of device actions."""
_STAGES: Mapping[str, str] = {
    "layout": "planned", "deck": "dispensing", "run": "dispensing", "clear": "dispensing", "bring": "dispensing",
    "store": "incubating", "carry": "treating", "treat": "treating", "fetch": "imaging", "stage": "imaging",
    "acquire": "imaging", "unstage": "imaging", "measure": "measured",
}  # fmt: skip
STATES = ("planned", "dispensing", "incubating", "treating", "imaging", "measured", "passed", "failed", "lost")
"""Of a plate, in the order it goes through them."""
_Night = tuple[str | None, int]


@dataclass(slots=True)
class Durations:
    """One histogram."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect.bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound, how many up to it)."""
        total, said = 0, []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            said.append((bound, float(total)))
        return said


@dataclass(frozen=True, slots=True)
class _Begun:
    night: _Night
    task: str
    device: str | None
    action: str
    time: datetime


@dataclass(slots=True)
class Meter:
    """Counts events. Told of by one thread, read by others."""

    is_virtual: bool
    """The lab's time is not the wall's, so the age of an event is how long ago it was told of."""
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    events: int = 0
    transfers: int = 0
    images: int = 0
    rounds: int = 0
    restarts: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    """Key by name of an open question."""
    running: set[str | None] = field(default_factory=set)
    """Campaigns that are not over."""
    faults_opened: int = 0
    proposals: set[tuple[str | None, int]] = field(default_factory=set)
    plates: dict[_Night, str] = field(default_factory=dict)
    begun: dict[str, _Begun] = field(default_factory=dict)
    nights: dict[str, _Night] = field(default_factory=dict)
    """Campaign and round by key, also of what is over."""
    durations: dict[tuple[str, str, str], Durations] = field(default_factory=dict)
    last_time: datetime | None = None
    last_heard: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, event: Event) -> None:
        """Count an event; hear them in order, each once."""
        with self.lock:
            self.events, self.last_time, self.last_heard = event.seq, event.time, self.monotonic()
            if handler := _HANDLERS.get(event.kind):
                handler(self, event)

    def age_s(self) -> float:
        """Return how long ago the last event was, 0 before the first."""
        if self.last_time is None:
            return 0.0
        since_heard = self.monotonic() - self.last_heard
        return since_heard if self.is_virtual else max(0.0, self.wall() - self.last_time.timestamp())

    def plate_states(self) -> Counter[str]:
        """Count plates by state."""
        return Counter(self.plates.values())


def _campaign_started(m: Meter, event: Event) -> None:
    """Drop questions about what is done of campaigns that are over, as the state does."""
    m.faults = {fault: key for fault, key in m.faults.items() if not _is_left(m, key)}
    m.running.add(event.payload["name"])


def _is_left(m: Meter, key: str) -> bool:
    return key in m.nights and key not in m.begun and m.nights[key][0] not in m.running


def _over(m: Meter, event: Event) -> None:
    m.running.discard(event.campaign)
    m.proposals = {proposal for proposal in m.proposals if proposal[0] != event.campaign}


def _started(m: Meter, _event: Event) -> None:
    m.restarts += 1


def _intent(m: Meter, event: Event) -> None:
    p = event.payload
    night: _Night = (event.campaign, p["round"])
    action = p["action"]
    m.nights[p["key"]] = night
    m.begun[p["key"]] = _Begun(night, p["task"], action.get("device"), _verb(action), event.time)


def _verb(action: JSON) -> str:
    verb: str = action["command"]["verb"] if "device" in action else action.get("step", "")
    return verb


def _outcome(m: Meter, event: Event) -> None:
    p = event.payload
    result, is_told = p["result"], "told_by" in p["result"]
    if not is_told:
        m.faults.pop(p["key"], None)
    m.transfers += len(result.get("transfers", ()))
    began = m.begun.pop(p["key"], None)
    if began is None:
        return
    m.images += int(result.get("images") or 0) if began.action == "acquire" else 0
    if began.device is not None and not is_told:
        name = (began.device, began.action, p["status"])
        m.durations.setdefault(name, Durations()).add((event.time - began.time).total_seconds())
    if p["status"] == "done":
        _advance(m, began, result)


def _advance(m: Meter, began: _Begun, result: JSON) -> None:
    if began.task in ("normalise", "admit"):
        m.rounds += began.task == "normalise"
        passed = began.task == "admit" or result.get("summary", {}).get("passed")
        m.plates[began.night] = "passed" if passed else "failed"
    elif stage := _STAGES.get(began.task.partition("-")[0]):
        m.plates[began.night] = stage


def _accepted(m: Meter, event: Event) -> None:
    m.faults.pop(event.payload["key"], None)


def _fault(m: Meter, event: Event) -> None:
    m.faults[event.payload["fault"]] = event.payload["key"]
    m.faults_opened += 1


def _proposal(m: Meter, event: Event) -> None:
    m.proposals.add((event.campaign, event.payload["round"]))


def _decision(m: Meter, event: Event) -> None:
    p = event.payload
    if p["what"] in ("approve", "reject"):
        m.proposals.discard((event.campaign, p["round"]))
    elif p["what"] == "answer":
        m.faults.pop(p["fault"], None)
        night = m.nights.get(p["fault"])
        if p["choice"] == "lose-plate" and night is not None:
            m.plates[night] = "lost"
    if p["what"] in ("reject", "abort") or p.get("choice") == "abort":
        _over(m, event)


_HANDLERS: Mapping[str, Callable[[Meter, Event], None]] = {
    "campaign.started": _campaign_started,
    "controller.started": _started,
    "intent": _intent,
    "outcome": _outcome,
    "accepted": _accepted,
    "fault": _fault,
    "proposal": _proposal,
    "decision": _decision,
    "campaign.finished": _over,
}


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps it by identity
class Exporter:
    """Shows a meter to Prometheus (its Collector)."""

    meter: Meter
    untold: Callable[[], int | None]
    """Count messages to people that have not gone out; None: the database cannot be asked now."""

    def collect(self) -> "Iterable[Metric]":
        """Yield the metrics as they are now."""
        untold = self.untold()
        with self.meter.lock:
            return list(_families(self.meter, untold))


def _families(m: Meter, untold: int | None) -> "Iterator[Metric]":
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    plates = GaugeMetricFamily("nextplate_plates", "Assay plates by state", labels=["state"])
    found = m.plate_states()
    for state in STATES:
        plates.add_metric([state], found[state])
    yield plates
    yield GaugeMetricFamily("nextplate_open_faults", "Questions nobody has answered", len(m.faults))
    yield GaugeMetricFamily("nextplate_open_proposals", "Rounds that wait for approval", len(m.proposals))
    yield GaugeMetricFamily("nextplate_pending_intents", "Actions announced and without outcome", len(m.begun))
    yield GaugeMetricFamily("nextplate_last_event_age_seconds", "Time since the journal's last event", m.age_s())
    for name, said, value in (
        ("journal_events", "Events in the journal", m.events),
        ("rounds", "Plates measured and judged", m.rounds),
        ("transfers", "Transfers that handlers reported", m.transfers),
        ("images", "Images that microscopes reported", m.images),
        ("faults", "Questions asked", m.faults_opened),
        ("controller_starts", "Processes that took over", m.restarts),
    ):
        yield CounterMetricFamily(f"nextplate_{name}", said, value)
    if untold is not None:
        yield GaugeMetricFamily("nextplate_outbox_depth", "Messages to people that have not gone out", untold)
    histogram = HistogramMetricFamily(
        "nextplate_device_action_seconds", "From intent to outcome", labels=["device", "action", "status"]
    )
    for labels, durations in sorted(m.durations.items()):
        histogram.add_metric(labels, durations.buckets(), durations.sum_s)
    yield histogram


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(WSGIRequestHandler):
    timeout = 10  # a reader that says nothing is let go

    def log_message(self, format: str, *args: Any) -> None:
        """Keep scrapes out of standard error."""


Start = Callable[[str, list[tuple[str, str]]], object]


@dataclass(frozen=True, slots=True)
class _Page:
    """The WSGI application: /metrics, for whoever has the token."""

    registry: "CollectorRegistry"
    token: str | None

    def __call__(self, environ: dict[str, Any], start: Start) -> list[bytes]:
        """Answer one request."""
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

        if environ.get("PATH_INFO") not in ("/metrics", "/"):
            return _refused(start, "404 Not Found")
        given = environ.get("HTTP_AUTHORIZATION", "")
        if self.token is not None and not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            return _refused(start, "401 Unauthorized")
        body = generate_latest(self.registry)
        start("200 OK", [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)])
        return [body]


def _refused(start: Start, why: str) -> list[bytes]:
    start(why, [("Content-Type", "text/plain")])
    return [f"{why}\n".encode()]


@contextmanager
def serving(exporter: Exporter, bind: str, port: int, token: str | None) -> Iterator[int]:
    """Serve metrics while the block runs; yields the port, another one where 0 was asked for.

    Raises:
        OSError: the address is taken or not this machine's.
    """
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    host = "127.0.0.1" if bind == "localhost" else bind
    server = _server(host, port)
    server.set_app(_Page(registry, token))
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _server(host: str, port: int) -> _Server:
    import socket

    kind = type("_Server6", (_Server,), {"address_family": socket.AF_INET6}) if ":" in host else _Server
    server: _Server = kind((host, port), _Handler)
    return server
