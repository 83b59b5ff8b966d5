"""What every shaker promises, the simulated one and each driver on its emulator's wire, held against the truth."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shaker_rig import LABS, SHAKE, WIRED, ShakerLab, WireShakerLab

from drivers.ports import Report, ShakePlate, Status
from drivers.shaker_handler import ShakerPace
from nextplate.errors import NeedsOperator, Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts")


@pytest.fixture(params=sorted(LABS))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ShakerLab]:
    lab = LABS[request.param](tmp_path)
    lab.put("P1")
    yield lab
    lab.close()


@pytest.fixture(params=sorted(name for name in LABS if name != "sim"))
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WireShakerLab]:
    lab = LABS[request.param](tmp_path)
    assert isinstance(lab, WireShakerLab)
    lab.put("P1")
    yield lab
    lab.close()


def test_a_plate_is_shaken_as_long_as_it_says_and_stands_still_again(lab: ShakerLab):
    lab.device.submit(SHAKE, "k")
    report = lab.finish("k")
    assert report.status is Status.DONE, report
    assert report.result["shaken_s"] == pytest.approx(lab.shaken_s(), abs=1.0)
    assert report.result["shaken_s"] == pytest.approx(SHAKE.duration_s, abs=1.0)
    assert lab.starts() == 1
    if isinstance(lab, WireShakerLab):
        assert not lab.is_turning()
        assert not lab.physics.is_clamped
        assert not lab.physics.violations
        assert lab.physics.take() == "P1"


def test_a_shake_that_is_over_before_it_has_sped_up_is_not_too_slow(wired: WireShakerLab):
    """As that of `nextplate device test`, at the pace that a lab has when nobody says otherwise."""
    wired.device.close()  # type: ignore[attr-defined]
    wired.pace = ShakerPace()
    wired.physics.ramp_s = 3.0
    wired.open()
    wired.device.submit(ShakePlate("P1", 400, 2), "k")
    report = wired.finish("k")
    assert report == Report(Status.DONE, {"shaken_s": 2})
    assert wired.physics.take() == "P1"


def test_a_key_acts_once_however_often_it_is_submitted(lab: ShakerLab):
    for _ in range(3):
        lab.device.submit(SHAKE, "k")
    report = lab.finish("k")
    lab.restart()
    lab.device.submit(SHAKE, "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    assert lab.starts() == 1


def test_a_busy_shaker_takes_no_other_plate_and_no_other_command(lab: ShakerLab):
    lab.device.submit(SHAKE, "k")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(SHAKE, "other")
    assert lab.device.lookup("other").status is lab.device.poll("nobody").status is Status.NOT_FOUND
    assert lab.finish("k").status is Status.DONE
    with pytest.raises(NeedsOperator, match="does not take"):
        lab.device.submit("make coffee", "coffee")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (ShakePlate("P1", 50, 12), "not at 50"), (ShakePlate("P1", 99999, 12), "not at 99999"),
        (ShakePlate("P1", 600, 0), "not for 0"), (ShakePlate("P1", 600, 10**9), "not for 1000000000"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_and_nothing_turns(lab: ShakerLab, command: ShakePlate, said: str):
    try:
        lab.device.submit(command, "k")
    except NeedsOperator as error:
        text = str(error)
    else:
        report = lab.finish("k")
        assert (report.status, report.result) == (Status.FAILED, {"shaken_s": 0})
        text = report.message
    assert said in text
    assert text.endswith("nothing moved")
    assert lab.starts() == 0


def test_no_verb_waits_for_the_device(wired: WireShakerLab):
    wired.freeze()
    for verb in (
        lambda: wired.device.submit(SHAKE, "k"),
        lambda: wired.device.poll("k"),
        lambda: wired.device.lookup("k"),
    ):
        began = time.monotonic()
        verb()
        assert time.monotonic() - began < 5.0  # the device stands still for good
    assert wired.device.poll("k").status is Status.RUNNING
    wired.freeze(False)
    assert wired.finish("k").status is Status.DONE


def test_a_look_tells_what_it_is_and_turns_nothing(wired: WireShakerLab):
    seen = wired.device.inspect(5.0)  # type: ignore[attr-defined]
    assert seen["device"]
    assert seen["rotor"]["is_turning"] is False
    assert "to" in seen["speeds_rpm"]
    assert seen["stops by itself"].startswith("yes" if wired.wired.has_timer else "no")
    assert wired.starts() == 0


def test_every_byte_is_in_the_log(wired: WireShakerLab):
    wired.device.submit(SHAKE, "k")
    wired.finish("k")
    wired.device.close()  # type: ignore[attr-defined]
    lines = (wired.folder / "wire.log").read_text().splitlines()
    sent = b"".join(bytes.fromhex(line.split(" | ")[0].split(" > ")[1]) for line in lines if " > " in line)
    assert sent == b"".join(wired.server.frames)


def test_the_frame_that_starts_it_goes_out_once(wired: WireShakerLab):
    import re

    wired.device.submit(SHAKE, "k")
    wired.finish("k")
    assert (
        sum(
            bool(re.search(wired.wired.go, frame.decode("latin-1"))) and b"Off" not in frame
            for frame in wired.server.frames
        )
        == 1
    )


def test_both_kinds_of_model_are_proven():
    assert {wired.has_timer for wired in WIRED.values()} == {True, False}
