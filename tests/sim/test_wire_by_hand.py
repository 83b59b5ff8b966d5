"""Emulated devices by hand: each says where it listens, and a driver finds it there."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mover_rig import SPOTS, taught_text

from drivers.cytomat import make
from sim.wire import by_hand
from sim.wire.by_hand import KINDS, main


def arguments(name: str, folder: Path) -> list[str]:
    (folder / "taught.toml").write_text(taught_text(SPOTS))
    return [name, "--folder", str(folder / "w"), "--plate", "P1", "--places", str(folder / "taught.toml")]


def ended() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_device_says_where_it_listens(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(arguments(name, tmp_path), wait=ended)
    first, *where = capsys.readouterr().out.splitlines()
    assert first == f"{KINDS[name].words} listens"
    assert where
    assert all(line.startswith(("pty: /", "TCP: socket://127.0.0.1:", "HTTP: http://127.0.0.1:")) for line in where)


def test_help_names_every_device(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in KINDS)


def test_what_cannot_be_served_is_told(tmp_path: Path):
    with pytest.raises(SystemExit, match="pf400 needs --places FILE"):
        main(["pf400"], wait=ended)
    with pytest.raises(SystemExit, match=r"nowhere.toml is no file of taught positions"):
        main(["pf400", "--places", "nowhere.toml"], wait=ended)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name in ("cytomat", "liconic-service", "squid"):
            with pytest.raises(SystemExit, match=f"{name} cannot listen at port {port}"):
                main([name, "--port", str(port), "--folder", str(tmp_path)], wait=ended)


@pytest.mark.parametrize("how", [["sim.wire", "cytomat"], ["sim.wire.cytomat"]])
def test_a_driver_finds_a_cytomat_that_runs_in_a_process_of_its_own(how: list[str], tmp_path: Path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    command = [sys.executable, "-m", *how, "--folder", str(tmp_path / "w"), "--plate", "P1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(3)]
        assert said[0] == "Thermo Cytomat listens"
        options: dict[str, Any] = {"port": said[2].removeprefix("TCP: "), "slots": 12, "connect_s": 20.0}
        device = make("incubator", options, tmp_path)
        assert device.inspect()["sensors"]["has_station_plate"] is True
        device.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_every_emulator_is_a_program():
    """Whoever runs the module of one is not left with silence."""
    folder = Path(by_hand.__file__).parent
    for name in set(KINDS) - {"barcode-scanner"}:
        module = {"barcode-keyence": "barcode"}.get(name, name.replace("-", "_"))
        assert f'serve("{name}")' in (folder / f"{module}.py").read_text(), name
