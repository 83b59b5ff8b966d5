"""Metrics: counted from the journal, scraped for real, closed to whoever has no token."""

import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest
from controller_fakes import FakeLab
from notify_lab import Diary, at
from prometheus_client.parser import text_string_to_metric_families

from controller.lab import init_lab, open_lab
from controller.metrics import BUCKETS_S, Durations, Exporter, Meter, serving
from controller.observed import observed
from controller.state import fold
from controller.store import NewEvent, open_store


def scrape(port: int, token: str | None = None, path: str = "/metrics") -> dict[tuple[str, tuple[str, ...]], float]:
    """Read every sample: (name, label values) -> value."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    return {
        (s.name, tuple(s.labels[k] for k in sorted(s.labels))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def metered(events) -> Meter:
    meter = Meter(is_virtual=True)
    for event in events:
        meter.hear(event)
    return meter


@pytest.fixture
def campaign():
    """Two rounds by the real loop on fake devices; the second plate fails."""
    lab = FakeLab()
    lab.executor.bad_plates.add(1)
    lab.run()
    return lab


def test_a_whole_campaign_is_counted(campaign):
    with serving(Exporter(metered(campaign.journal.events), lambda: 3), "127.0.0.1", 0, None) as port:
        found = scrape(port)
    key = next(iter(campaign.start().state.open_faults())).key
    assert found["nextplate_open_faults", ()] == 1, key
    assert found["nextplate_plates", ("passed",)] == 1
    assert found["nextplate_plates", ("failed",)] == 1
    assert found["nextplate_rounds_total", ()] == 2
    assert found["nextplate_pending_intents", ()] == 0
    assert found["nextplate_transfers_total", ()] == 8
    assert found["nextplate_images_total", ()] == 2 * 768
    assert found["nextplate_outbox_depth", ()] == 3
    assert found["nextplate_journal_events_total", ()] == len(campaign.journal.events)
    runs = [
        v
        for (name, labels), v in found.items()
        if name == "nextplate_device_action_seconds_count" and "run-load" in labels
    ]
    assert runs == [4]
    bucket = {labels for name, labels in found if name == "nextplate_device_action_seconds_bucket"}
    assert len(bucket) % (len(BUCKETS_S) + 1) == 0
    total = found["nextplate_device_action_seconds_sum", ("run-load", "liquid-handler", "done")]
    assert total == 4 * 7 * 60, "the fake devices take seven minutes"


def test_a_restart_resets_nothing(campaign):
    events = campaign.journal.events
    whole, half = metered(events), metered(events[: len(events) // 2])
    for event in events[len(events) // 2 :]:
        half.hear(event)
    assert (half.transfers, half.images, half.rounds, half.plates) == (
        whole.transfers, whole.images, whole.rounds, whole.plates,
    )  # fmt: skip


def test_faults_and_proposals_open_and_close():
    key = "first.r0.run-0"
    diary = Diary().begin().add(1, "proposal", round=0, question="?").operate(2, key, "run-0").fault(3, key)
    meter = metered(diary.events)
    assert (len(meter.faults), len(meter.proposals), len(meter.begun)) == (1, 1, 1)
    n = len(diary.events)
    diary.decide(4, "approve", round=0).end(5, key, "failed", told_by="ann").answer(6, key, "lose-plate")
    for event in diary.events[n:]:
        meter.hear(event)
    assert (len(meter.faults), len(meter.proposals), len(meter.begun)) == (0, 0, 0)
    assert meter.faults_opened == 1
    assert meter.plate_states()["lost"] == 1
    assert meter.durations == {}, "what a person told has no duration"


def test_a_campaign_that_begins_takes_no_question_of_one_that_runs():
    lab = FakeLab(rounds=1)
    lab.begin("second", beside=True)
    lab.device.unknown.add("second.r0.run-0")
    lab.run()
    lab.begin("third", beside=True)
    events = list(lab.journal.events)
    for n in range(1, len(events) + 1):
        open_now = {fault.fault for fault in fold(events[:n]).open_faults()}
        assert metered(events[:n]).faults.keys() == open_now
    assert open_now == {"second.r0.run-0"}


def test_what_is_left_of_a_campaign_that_was_aborted_is_open_no_longer():
    diary = Diary().begin().operate(0, "first.r0.run-0", "run-0").end(1, "first.r0.run-0", "failed")
    diary.fault(2, "first.r0.run-0").add(2, "proposal", round=1, question="?").decide(3, "abort")
    meter = metered(diary.events)
    assert (len(meter.faults), len(meter.proposals)) == (1, 0)
    diary.campaign = "second"
    assert len(metered(diary.begin(4).events).faults) == 0


def test_the_age_of_the_last_event_is_the_walls_in_a_real_lab_and_since_it_was_told_in_a_simulated_one():
    tick = [100.0]
    real = Meter(is_virtual=False, wall=lambda: at(30).timestamp(), monotonic=lambda: tick[0])
    virtual = Meter(is_virtual=True, wall=lambda: at(30).timestamp(), monotonic=lambda: tick[0])
    assert real.age_s() == virtual.age_s() == 0
    for meter in (real, virtual):
        meter.hear(Diary().begin(10).events[0])
    tick[0] = 105.0
    assert real.age_s() == 20 * 60
    assert virtual.age_s() == 5


def test_a_histogram_counts_up_to_each_bound():
    durations = Durations()
    for seconds in (0.5, 1.0, 1.1, 20000.0):
        durations.add(seconds)
    told = dict(durations.buckets())
    assert (told["1.0"], told["5.0"], told[str(BUCKETS_S[-1])], told["+Inf"]) == (2, 3, 3, 4)


def test_without_the_token_nothing_is_told():
    with serving(Exporter(metered([]), lambda: None), "127.0.0.1", 0, "T0K3N") as port:
        for token in (None, "wrong", ""):
            with pytest.raises(urllib.error.HTTPError) as refused:
                scrape(port, token)
            assert refused.value.code == 401
            refused.value.close()
        assert ("nextplate_open_faults", ()) in scrape(port, "T0K3N")
        with pytest.raises(urllib.error.HTTPError) as refused:
            scrape(port, "T0K3N", "/secret")
        assert refused.value.code == 404
        refused.value.close()


def test_two_exporters_share_nothing():
    one, two = metered(Diary().begin().events), metered([])
    with (
        serving(Exporter(one, lambda: None), "127.0.0.1", 0, None) as first,
        serving(Exporter(two, lambda: None), "127.0.0.1", 0, None) as second,
    ):
        assert scrape(first)["nextplate_journal_events_total", ()] == 1
        assert scrape(second)["nextplate_journal_events_total", ()] == 0


def make_lab(folder, table: str):
    init_lab(folder)
    (folder / "lab.toml").write_text(table)
    return open_lab(folder)


def test_a_port_that_is_taken_is_told_and_the_night_goes_on(tmp_path):
    told: list[str] = []
    with serving(Exporter(metered([]), lambda: None), "127.0.0.1", 0, None) as port:
        lab = make_lab(tmp_path / "lab", f"[metrics]\nport = {port}\n")
        with open_store(lab.database) as store, observed(lab, store, told.append) as hear:
            (event,) = store.append([NewEvent("tips.added", datetime.now(UTC), None, {})])
            hear(event)
    assert len(told) == 1
    assert told[0].startswith(f"metrics: 127.0.0.1:{port}: ")


def test_a_token_that_is_not_set_serves_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("NP_METRICS_TOKEN", raising=False)
    told: list[str] = []
    lab = make_lab(tmp_path / "lab", '[metrics]\nport = 9464\nbind = "0.0.0.0"\ntoken = "${NP_METRICS_TOKEN}"\n')
    with open_store(lab.database) as store, observed(lab, store, told.append):
        pass
    assert told == [
        "metrics: the environment variable NP_METRICS_TOKEN is not set, so none are served; the night goes on"
    ]


def test_a_lab_serves_what_it_hears_and_its_outbox(tmp_path):
    with serving(Exporter(metered([]), lambda: None), "127.0.0.1", 0, None) as free:
        pass
    lab = make_lab(tmp_path / "lab", f"[metrics]\nport = {free}\n")
    with open_store(lab.database) as store:
        for event in Diary().begin().events:
            store.append([NewEvent(event.kind, event.time, event.campaign, event.payload)])
        texts = dict.fromkeys(("due_at", "kept_at", "error"), "")
        row = {
            "id": "x",
            "event_seq": 1,
            "kind": "fault",
            "subject": "s",
            "step": 0,
            "channel": "mail",
            "content": "{}",
        }
        row |= {"state": "waiting", "attempts": 0, "told_at": None, **texts}
        store.keep_notices([row])
        with observed(lab, store) as hear:
            (event,) = store.append([NewEvent("tips.added", datetime.now(UTC), None, {})])
            hear(event)
            until = time.monotonic() + 30
            while (found := scrape(free))["nextplate_journal_events_total", ()] < 2:
                assert time.monotonic() < until
    assert found["nextplate_journal_events_total", ()] == 2
    assert found["nextplate_outbox_depth", ()] == 1
    assert found["nextplate_last_event_age_seconds", ()] < 60
