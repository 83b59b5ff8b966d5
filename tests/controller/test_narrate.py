"""What people read of an event."""

from datetime import UTC, datetime

import pytest

from controller.narrate import Narrator
from controller.store import NewEvent

SHORT = {"transfers": [[1, 5000]], "short": [["O16", 2000]]}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("first.r1.run-0", "round 2  pipetted deck load 1: 1 transfers, 1 short: O16"),
        ("first.r1.run-0.2", "round 2  pipetted deck load 1: 1 transfers, 1 short: O16"),
        ("a.b.r12.run-3", "round 13  pipetted deck load 4: 1 transfers, 1 short: O16"),
    ],
)
def test_what_was_begun_by_another_process_is_told_as_well(key: str, said: str) -> None:
    payload = {"key": key, "status": "done", "result": SHORT, "message": ""}
    line = Narrator().line(NewEvent("outcome", datetime(2026, 1, 5, 17, tzinfo=UTC), "first", payload))
    assert line == f"2026-01-05 17:00  {said}"
