"""A whole example of a driver (see the guide in drivers/__init__.py), in the suites of every shaker.

`shaker_rig.WIRED` has it under ``acme``, so test_shakers, test_shaker_faults, test_shaker_killed and test_device_ports
run on it. Here is what is left: its words and its entry point.
"""

from importlib.metadata import EntryPoint

import acme_shaker
import numpy as np
import pytest
import shaker_rig

from drivers.worker import WorkerDevice
from nextplate.errors import DeviceError, SettingsError

REPLIES = [b"OK", b"NO", b"STATE still", b"STATE braking", b"RPM 600", b"SPEED 598", b"ACME Orbit 2.1"]


@pytest.mark.parametrize("word", [acme_shaker.acknowledged, acme_shaker.state, acme_shaker.rpm])
def test_ten_thousand_mutated_replies_are_believed_only_where_they_are_words(word):
    rng = np.random.default_rng(20261125)
    for _ in range(10_000):
        reply = bytearray(REPLIES[rng.integers(len(REPLIES))])
        for _ in range(rng.integers(1, 4)):
            reply[rng.integers(len(reply))] = rng.integers(256)
        text = bytes(reply[: rng.integers(len(reply) + 1)]).decode("ascii", "replace")
        try:
            value = word(text)
        except DeviceError:
            continue
        spelled = {"acknowledged": "OK", "state": f"STATE {value}", "rpm": f"RPM {value}"}[word.__name__]
        assert text == spelled or (word is acme_shaker.rpm and int(text.removeprefix("RPM ")) == value)


def test_an_entry_point_finds_its_factory_and_opens_nothing(tmp_path):
    make = EntryPoint("acme-orbit", "acme_shaker:make", "nextplate.drivers").load()
    device = make("shaker", {"port": "/dev/none"}, tmp_path)
    assert isinstance(device, WorkerDevice)
    device.close()
    with pytest.raises(SettingsError, match="for a shaker, not for a washer"):
        make("washer", {"port": "/dev/none"}, tmp_path)
    with pytest.raises(SettingsError, match="'colour' is no option"):
        make("shaker", {"port": "/dev/none", "colour": "red"}, tmp_path)


def test_it_is_in_the_suites_of_every_shaker():
    assert "acme" in shaker_rig.WIRED
    assert {"acme-pty", "acme-socket"} <= set(shaker_rig.LABS)
