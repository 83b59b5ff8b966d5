"""What every imager promises: the sim, ImageXpress on its wire and OMERO; ImageXpress with faults and killed, too."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imager_rig import BRISK, LABS, ImagerLab, WireImagerLab
from killing import Fuse, FusedLine, Killed, burning

from drivers import imagexpress, imagexpress_words, key_files, worker_memory
from drivers.ports import AcquirePlate, Report, Status
from drivers.wire import Garbled, Line, LineSettings, line_at
from nextplate.errors import NeedsOperator, SettingsError, Transient
from nextplate.imaging.watch import inspect_plate
from sim.wire.faults import Fault, WireFault

pytestmark = pytest.mark.usefixtures("no_power_cuts")
SHOOT = AcquirePlate("P1")
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 40) if n != 9]


@pytest.fixture(params=sorted(LABS))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImagerLab]:
    lab = LABS[request.param](tmp_path)
    lab.put("P1")
    yield lab
    lab.close()


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[WireImagerLab]:
    lab = WireImagerLab(tmp_path)
    lab.put("P1")
    yield lab
    lab.close()


@pytest.fixture
def brisk(tmp_path: Path) -> Iterator[WireImagerLab]:
    lab = WireImagerLab(tmp_path, pace=BRISK)
    lab.put("P1")
    yield lab
    lab.close()


def run(lab: ImagerLab, key: str = "k", command: Any = SHOOT) -> Report:
    lab.device.submit(command, key)
    return lab.finish(key)


def believe(lab: ImagerLab, report: Report) -> None:
    """Hold a report against the truth."""
    assert lab.runs() <= 1
    if isinstance(lab, WireImagerLab):
        assert not lab.scope.violations
    if report.status is Status.DONE:
        folder = lab.lab / report.result["folder"]
        stand = inspect_plate(folder, lab.due)
        assert stand.state == "whole"
        assert stand.plate == "P1"
        assert stand.n_images == report.result["images"]
        assert lab.runs() == 1
    elif "nothing moved" in report.message or "nothing was imaged" in report.message:
        assert lab.runs() == 0


def test_a_plate_is_imaged_once_and_its_readout_is_handed_over(lab: ImagerLab):
    for _ in range(3):
        lab.device.submit(SHOOT, "k")
    report = lab.finish("k")
    assert report.status is Status.DONE, report
    believe(lab, report)
    lab.restart()
    lab.device.submit(SHOOT, "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    assert lab.runs() == 1
    if isinstance(lab, WireImagerLab):
        assert lab.scope.place == "LOAD", "the plate is where a mover takes it"


def test_a_busy_imager_takes_no_other_plate_and_no_other_command(lab: ImagerLab):
    lab.device.submit(SHOOT, "k")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(AcquirePlate("P2"), "other")
    assert lab.device.lookup("other").status is lab.device.poll("nobody").status is Status.NOT_FOUND
    assert lab.finish("k").status is Status.DONE
    with pytest.raises(NeedsOperator, match="does not take"):
        lab.device.submit("make coffee", "coffee")


def test_an_older_readout_and_another_plates_are_not_taken(brisk: WireImagerLab):
    brisk.scope._write("P1")
    brisk.put("P10")
    report = run(brisk)
    assert report.status is Status.FAILED
    assert "no whole readout of P1" in report.message
    assert report.result == {"folder": "readouts/P1", "images": 0}


@pytest.mark.parametrize("kind", list(WireFault))
@pytest.mark.parametrize("match", ["^1,RUN", "^1,GOTO,SAMPLE", "^1,STATUS"])
def test_a_fault_on_a_frame(wired: WireImagerLab, kind: WireFault, match: str):
    wired.server.faults.add(Fault(kind, 1, match=match, data=b"1,DONE,\r\n" if kind is WireFault.UNSOLICITED else b""))
    report = run(wired)
    believe(wired, report)
    if match == "^1,RUN" and kind in (WireFault.LOST_REQUEST, WireFault.REFUSED):
        assert report.status is Status.FAILED
        assert "nothing was imaged" in report.message
    elif kind is not WireFault.GARBLED_REQUEST:
        assert report.status is Status.DONE, report


@pytest.mark.parametrize("nth", [9, *LATER])
@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_any_frame(wired: WireImagerLab, kind: WireFault, nth: int):
    wired.server.faults.add(Fault(kind, nth, data=b"1,DONE,\r\n" if kind is WireFault.UNSOLICITED else b""))
    believe(wired, run(wired))


@pytest.mark.parametrize(
    ("arrange", "status", "said"),
    [
        (lambda s: setattr(s, "next_error", 21), Status.FAILED, "error 21 (the camera failed)"),
        (lambda s: setattr(s, "plate", None), Status.FAILED, "error 14 (no sample was found"),
        (lambda s: setattr(s, "writes_files", False), Status.FAILED, "no whole readout of P1"),
        (lambda s: setattr(s, "phase", "RUNNING"), Status.FAILED, "somebody else's acquisition"),
        (lambda s: setattr(s, "run_s", 1e6), Status.UNKNOWN, "did not end within"),
    ],
)
def test_a_microscope_that_fails(brisk: WireImagerLab, arrange: Callable[[Any], None], status: Status, said: str):
    arrange(brisk.scope)
    report = run(brisk)
    believe(brisk, report)
    assert report.status is status, report
    assert said in report.message


def test_one_that_is_offline_is_put_online_and_power_lost_in_a_run_is_told(wired: WireImagerLab):
    wired.emulator.power_cycle()
    assert run(wired).status is Status.DONE
    wired.time.run_at(0.0)
    wired.device.submit(SHOOT, "again")
    while wired.runs() < 2:
        wired.time.skip(1.0)
    wired.emulator.power_cycle()
    wired.time.run_at(1000.0)
    report = wired.finish("again")
    assert report.status is Status.FAILED
    assert "the imager stopped: error 1 (offline)" in report.message


def test_a_port_that_is_not_there_and_one_of_another_device(brisk: WireImagerLab):
    brisk.server.faults.add(Fault(WireFault.GARBLED_REPLY, times=10_000, data=b"ok 82\r\n"))
    report = run(brisk)
    assert report.status is Status.FAILED
    assert "answers 'ok 82' to '1,STATUS'; an ImageXpress answers" in report.message
    assert report.message.endswith("nothing moved")


def test_two_controllers_on_one_port(wired: WireImagerLab):
    from drivers.imagexpress import SETTINGS
    from drivers.wire import Wire

    other = Wire(wired.port, SETTINGS)
    other.open()
    report = run(wired)
    assert report.status is Status.FAILED
    assert "in use by another program" in report.message
    other.close()


def killed_at(moment: int, fuse: Fuse, folder: Path) -> WireImagerLab:
    def open_line(port: str, settings: LineSettings) -> Line:
        return FusedLine(line_at(port, settings), fuse)  # type: ignore[return-value]

    lab = WireImagerLab(folder)
    lab.put("P1")
    lab.device.close()  # type: ignore[attr-defined]
    lab.open(open_line)
    fuse.n_moments, fuse.at = 0, moment
    with suppress(Killed):
        run(lab)
    return lab


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 12))])
def test_killed_at_any_moment_a_plate_is_imaged_once(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fuse = Fuse()
    for module in (worker_memory, imagexpress):
        monkeypatch.setattr(module, "write_whole", burning(fuse, key_files.write_whole))
    killed_at(0, fuse, tmp_path / "whole").close()
    n_all = fuse.n_moments
    for moment in range(1 + part, n_all + 2, 12):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}")
        lab.wire.close()
        fuse.at = -1
        lab.open()
        if lab.device.lookup("k").status is Status.NOT_FOUND:
            lab.device.submit(SHOOT, "k")
        report = lab.finish("k")
        believe(lab, report)
        assert report.status is Status.DONE or (report.status is Status.UNKNOWN and lab.runs() == 0), (moment, report)
        lab.close()


GOOD = ("1,READY,LOAD", "1,READY,SAMPLE", "1,RUNNING,,", "1,DONE,x", "1,ERROR,21", "1,OK", "1,ERROR", "1,DONE")


def replies(seed: int) -> Sequence[str]:
    """Half random, half good ones with a byte changed, lost, doubled, or cut."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(10_000):
        if rng.random() < 0.3:
            out.append(bytes(rng.integers(0, 256, rng.integers(0, 14), dtype=np.uint8)).decode("latin-1"))
            continue
        text = GOOD[rng.integers(len(GOOD))]
        at, char, how = int(rng.integers(len(text))), chr(rng.integers(0, 256)), rng.integers(6)
        out.append((text[:at] + char + text[at + 1:], text[:at] + text[at + 1:], text[:at] + char + text[at:],
                    text[:at], text + text, text)[how])  # fmt: skip
    return out


def test_parsers_believe_only_what_is_of_the_protocol():
    n_good = 0
    for reply in replies(1):
        for parse in (imagexpress_words.state, imagexpress_words.fields):
            try:
                said: Any = parse(reply, "q")
            except (Garbled, NeedsOperator):
                continue
            n_good += 1
            words = reply.split(",")
            assert words[0].isdigit()
            if isinstance(said, imagexpress_words.State):
                assert words[1].strip() == said.phase
            else:
                assert "ERROR" not in said[0] or said[0] != "ERROR"
    assert n_good > 100


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("shaker", {}, "driver 'imagexpress' is for an imager"),
        ("imager", {"port": "/dev/x"}, "option 'hts' is missing; option 'watch' is missing"),
        ("imager", {"port": "/dev/x", "hts": "a,b.hts", "watch": "."}, "without commas"),
        ("imager", {"port": "/dev/x", "hts": "a.hts", "watch": "nowhere"}, "to watch"),
    ],
)
def test_a_wrong_option_is_named(kind: str, options: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        imagexpress.make(kind, options, tmp_path)
    assert said in str(caught.value)
