"""A file that asks for chance or for the time says so in a note; a seeded one, and one that only waits, does not."""

from typing import Any

import pytest

from protocols.handwritten_failure import failures
from protocols.handwritten_source import may_differ


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import random\nvolume = random.randint(1, 9)", ["line 2: it asks for chance (random.randint)"]),
        ("from random import shuffle as mixed\nmixed([1])", ["line 2: it asks for chance (random.shuffle)"]),
        ("import numpy as np\n\nnp.random.rand()", ["line 3: it asks for chance (numpy.random.rand)"]),
        ("import numpy as np\nr = np.random.default_rng()", ["chance (numpy.random.default_rng)"]),
        ("import uuid, os\nuuid.uuid4(); os.urandom(2)", ["os.urandom", "uuid.uuid4"]),
        ("import time\nt = time.time()", ["line 2: it asks for the time (time.time)"]),
        ("from datetime import datetime as d\nd.now()", ["the time (datetime.datetime.now)"]),
        ("import datetime\ndatetime.datetime.utcnow(); datetime.date.today()", ["date.today", "datetime.utcnow"]),
        ("import random\nrandom.seed(7)\nrandom.random()", []),
        ("import numpy as np\nr = np.random.default_rng(7)\nr.random()", []),
        ("import time\ntime.sleep(1)\n# random.random()\nx = 'time.time()'", []),
        ("def run(ctx:\n", []),
        ("x = 'a\0b'", []),
        ("(lambda: 1)()\nx[0]()", []),
    ],
)
def test_what_may_differ_from_analysis_to_run(text: str, words: list[str]) -> None:
    notes = may_differ(text)
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True)), notes


_LOADED = {
    "commandType": "loadLabware",
    "params": {"location": {"slotName": "B3"}, "displayName": "S1"},
    "result": {"labwareId": "s", "definition": {"parameters": {"loadName": "corning_384_wellplate_112ul_flat"}}},
}
_PLACE = {"labwareId": "s", "wellName": "A1"}


def _failed(error_type: str, detail: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The errors as opentrons 9.0.0 words them, and the commands up to the one that failed."""
    error = f"ExceptionInProtocolError 4000: ProtocolCommandFailedError [line 2]: Error 4000: {error_type}: {detail}"
    cause = {"errorType": error_type, "detail": detail}
    return [error], [_LOADED, {"commandType": "aspirate", "status": "failed", "params": _PLACE, "error": cause}]


def test_a_command_that_failed_is_told_with_its_well() -> None:
    (found,) = failures("hand.py", *_failed("TipNotAttachedError", "Pipette should have a tip."), "")
    assert found.message == (
        "hand.py, line 2: command 2 (aspirate) at A01 of S1: no tip is on the pipette; pick one up first"
    )
    assert (found.plate, found.well, found.step) == ("S1", "A01", 2)
    (found,) = failures("hand.py", *_failed("InvalidAspirateVolumeError", "only 50 is available"), "")
    assert found.message.endswith("command 2 (aspirate) at A01 of S1: only 50 is available")


def test_a_value_that_no_command_takes_is_told_with_the_call_as_written() -> None:
    error = (
        "ExceptionInProtocolError 4000: ValidationError [line 2]: 1 validation error for AspirateParams\nvolume\n  "
        "Input should be greater than or equal to 0 [type=greater_than_equal, input_value=nan, input_type=float]\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/greater_than_equal"
    )
    text = 'def run(ctx):\n    p.pick_up_tip(); p.aspirate(float("nan"), src["A1"]); p.dispense(5, dst["A1"])\n'
    picked = {"commandType": "pickUpTip", "status": "succeeded", "params": _PLACE}
    (found,) = failures("hand.py", [error], [_LOADED, picked], text)
    assert found.message == (
        "hand.py, line 2: p.aspirate(float('nan'), src['A1']): volume is nan, and should be greater than or equal to 0 "
        "(the command before, 2, was pickUpTip at A01 of S1)"
    )
    (found,) = failures("hand.py", [error], [], "def run(ctx:")
    assert found.message.startswith("hand.py, line 2: a command Aspirate: volume is nan")
    (found,) = failures("hand.py", ["OutOfTipsError"], [], text)
    assert found.message == "hand.py: OutOfTipsError"
