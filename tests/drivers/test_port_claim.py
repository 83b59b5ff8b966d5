"""One server, one process of this machine: however it is spelled, whoever asks, wherever temporary files go."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from drivers.http_wire import HttpWire
from drivers.port_claim import claimed, names_of
from drivers.wire import Wire
from nextplate.errors import NeedsOperator


def taken(path: Path) -> NeedsOperator:
    return NeedsOperator(f"taken: {path}")


@pytest.mark.parametrize("other", ["localhost", "LOCALHOST", "127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1"])
def test_one_machine_has_one_name(other: str, tmp_path: Path):
    ours = claimed("127.0.0.1", 5000, taken, folder=tmp_path)
    with pytest.raises(NeedsOperator, match="taken"):
        claimed(other, 5000, taken, folder=tmp_path)
    claimed(other, 5001, taken, folder=tmp_path).close()
    ours.close()
    claimed(other, 5000, taken, folder=tmp_path).close()


def test_a_name_and_its_address_are_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.0.0.7", 0))])
    assert names_of("Flex.lab.") == ["10.0.0.7", "flex.lab"]
    ours = claimed("flex.lab", 31950, taken, folder=tmp_path)
    with pytest.raises(NeedsOperator):
        claimed("10.0.0.7", 31950, taken, folder=tmp_path)
    # and where the name is not known any more, the name itself is
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [])
    with pytest.raises(NeedsOperator):
        claimed("flex.lab", 31950, taken, folder=tmp_path)
    ours.close()


def test_a_refused_claim_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("99.0.0.7", 0))])
    ours = claimed("99.0.0.7", 1, taken, folder=tmp_path)
    with pytest.raises(NeedsOperator):
        claimed("a-name", 1, taken, folder=tmp_path)
    ours.close()
    claimed("a-name", 1, taken, folder=tmp_path).close()


def test_another_users_lock_file_can_be_locked(tmp_path: Path):
    """It is read-only for others, whatever the umask of who made it."""
    before = os.umask(0o077)
    try:
        ours = claimed("h", 1, taken, folder=tmp_path)
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    ours.close()
    file.chmod(0o444)
    ours = claimed("h", 1, taken, folder=tmp_path)
    with pytest.raises(NeedsOperator):
        claimed("h", 1, taken, folder=tmp_path)
    ours.close()


def test_a_lock_that_cannot_be_opened_is_told_of(tmp_path: Path):
    claimed("h", 1, taken, folder=tmp_path).close()
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.raises(NeedsOperator, match=r"nextplate-port-.*lock, which keeps other programs from h:1, cannot be"):
        claimed("h", 1, taken, folder=tmp_path)
    file.rmdir()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NeedsOperator, match="cannot be opened"):
        claimed("h", 1, taken, folder=tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_both_wires_keep_another_process_away_whatever_its_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("drivers.port_claim.FOLDER", tmp_path)
    wire = HttpWire("http://127.0.0.1:59", is_exclusive=True)
    wire.open()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    with pytest.raises(NeedsOperator, match="socket://localhost:59 is in use by another program"):
        Wire("socket://localhost:59").open()
    wire.close()


def test_a_killed_process_lets_go(tmp_path: Path):
    program = (
        "import sys, pathlib; from drivers.port_claim import claimed\n"
        "claimed('h', 1, ValueError, folder=pathlib.Path(sys.argv[1])); print('has it', flush=True); input()"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"has it\n"
        with pytest.raises(NeedsOperator):
            claimed("h", 1, taken, folder=tmp_path)
        other.kill()
        other.wait()
    claimed("h", 1, taken, folder=tmp_path).close()
