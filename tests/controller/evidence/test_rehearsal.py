"""What is repeated of a night: which campaigns, and when people say again what nobody had asked them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.evidence.rehearsal import _copy, _Follower, _series, _words
from controller.store import Event
from nextplate.errors import DataError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def journal(*told: tuple[str, str | None, dict[str, Any]]) -> list[Event]:
    return [
        Event(n, NOON + timedelta(minutes=n), kind, campaign, payload, "", f"{n:064d}")
        for n, (kind, campaign, payload) in enumerate(told, start=1)
    ]


def begun(name: str) -> tuple[str, str, dict[str, Any]]:
    return "campaign.started", name, {"name": name}


def act(kind: str, key: str, campaign: str = "a") -> tuple[str, str, dict[str, Any]]:
    return kind, campaign, {"key": key}


def said(what: str, by: str = "ann", campaign: str = "a", **more: Any) -> tuple[str, str, dict[str, Any]]:
    return "decision", campaign, {"what": what, "by": by, **more}


@pytest.mark.parametrize(("told", "series", "not_repeated"), [
    ([begun("a"), act("intent", "a.r0.x"), begun("b"), act("intent", "b.r0.x", "b")], ["a", "b"], []),
    ([begun("a"), begun("c"), act("intent", "c.r0.x", "c"), act("intent", "a.r0.x"), begun("b")], ["a", "c", "b"],
     ["campaigns a and c at the same time: here one follows the other"]),
    ([begun("a"), begun("b"), act("intent", "a.r0.x"), act("intent", "b.r0.x", "b")], ["b"],
     ["campaign a, which ran beside it"]),
    ([begun("b"), begun("a"), act("intent", "a.r0.x"), act("intent", "b.r0.x", "b")], ["b"],
     ["campaign a, which ran beside it"]),
    ([begun("b"), ("tips.added", None, {}), act("intent", "b.r0.x", "b")], ["b"],
     ["event 2, tips.added: it came while the campaign ran"]),
])  # fmt: skip
def test_campaigns_before_it_are_run_again_and_what_ran_beside_it_is_told(told, series, not_repeated):
    events = journal(*told)
    began = next(e for e in events if e.payload.get("name") == "b")
    starts, missing = _series(events, began)
    assert ([e.campaign for e in starts], missing) == (series, not_repeated)


def test_words_nobody_asked_for_come_after_the_same_action_and_in_their_order():
    events = journal(
        begun("a"), act("intent", "k1"), act("outcome", "k1"),
        said("approve", round=0), said("approve", "policy", round=1), said("rollback", round=0),
        act("intent", "k2"), said("pause"), act("outcome", "k2"), said("resume"), said("abort"),
    )  # fmt: skip
    asked, unasked = _words(events)
    assert [word["what"] for word in asked] == ["approve"], "the policy speaks for itself"
    heard: list[str] = []
    follower = _Follower({"k1", "k2"}, False, unasked, lambda word: heard.append(word["what"]))
    told = []
    for event in events:
        if event.kind in ("intent", "outcome"):
            follower.heard(event)
            told.append((follower.scanned(), list(heard)))
    assert told == [
        (False, []),
        (False, ["rollback"]),
        (False, ["rollback", "pause"]),
        (True, ["rollback", "pause", "resume", "abort"]),
    ]
    assert not follower.say_next()


def test_a_paused_repetition_is_told_to_go_on_also_where_it_parted():
    _, unasked = _words(journal(begun("a"), said("pause"), act("outcome", "never here"), said("resume")))
    heard: list[str] = []
    follower = _Follower(set(), True, unasked, lambda word: heard.append(word["what"]))
    assert not follower.scanned()
    assert heard == ["pause"]
    assert follower.say_next()
    assert heard == ["pause", "resume"]


def test_files_that_the_settings_name_come_along_or_are_missed(tmp_path: Path):
    lab, scratch = tmp_path / "lab", tmp_path / "scratch"
    (lab / "measured").mkdir(parents=True)
    scratch.mkdir()
    (lab / "measured" / "offsets.json").write_text("[]")
    _copy(lab, scratch, "measured/offsets.json")
    assert (scratch / "measured" / "offsets.json").read_text() == "[]"
    _copy(lab, scratch, str(lab / "measured" / "offsets.json"))  # is read where it is
    (tmp_path / "other.json").write_text("[]")
    for name, why in (("../other.json", "lies outside the lab"), ("gone.json", "is missing")):
        with pytest.raises(DataError, match=why):
            _copy(lab, scratch, name)
