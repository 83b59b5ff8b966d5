"""A file that asks for chance or for the time says so in a note; a seeded one, and one that only waits, does not."""

import pytest

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
