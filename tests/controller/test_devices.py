"""The door for drivers: entry points, and options that the driver checks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.app import connect
from controller.devices import make_device
from controller.lab import Lab
from controller.settings import DeviceSection, Settings
from drivers.folder import FolderDevice
from nextplate.errors import SettingsError

ARM = """
class Arm:
    def close(self):
        open("closed", "w").close()

def make(kind, options, lab):
    return Arm()
"""
KINDS = ("liquid-handler", "plate-mover", "incubator", "imager")


def section(kind: str, driver: str, options: Mapping[str, Any]) -> DeviceSection:
    robot = {"robot": "flex"} if kind == "liquid-handler" else {}
    return DeviceSection.model_validate({"name": kind, "kind": kind, "driver": driver, "options": options, **robot})


def install(site: Path, distribution: str, name: str, value: str) -> None:
    """Put a package's metadata where importlib finds it, as pip does."""
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nextplate.drivers]\n{name} = {value}\n")


def test_four_folder_devices_make_a_real_lab(tmp_path: Path):
    devices = tuple(section(kind, "folder", {"exchange": "exchange"}) for kind in KINDS)
    hardware = connect(Lab(tmp_path, Settings(device=devices)))
    assert hardware.simulated is None
    assert not hardware.clock.is_virtual
    assert set(hardware.devices) == set(KINDS)
    assert all(isinstance(device, FolderDevice) for device in hardware.devices.values())
    hardware.close()


@pytest.mark.parametrize(
    ("driver", "options", "expected"),
    [
        ("foldr", {}, "lab.toml: device 'imager', driver 'foldr': no such driver is installed (there are: "),
        ("folder", {}, "lab.toml: device 'imager', driver 'folder': option 'exchange' is missing (allowed: exchange"),
        ("folder", {"exchange": "x", "port": 1}, "'port' is no option (allowed: exchange (str))"),
    ],
)
def test_a_wrong_driver_or_option_names_file_and_device(tmp_path: Path, driver: str, options: Any, expected: str):
    with pytest.raises(SettingsError) as caught:
        make_device(section("imager", driver, options), tmp_path)
    assert expected in str(caught.value)


def test_a_driver_of_another_package_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, "acme", "acme-arm", "acme_arm:make")
    (tmp_path / "acme_arm.py").write_text(ARM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    devices = tuple(section(kind, "acme-arm" if kind == "plate-mover" else "folder",
                            {} if kind == "plate-mover" else {"exchange": "exchange"}) for kind in KINDS)  # fmt: skip
    hardware = connect(Lab(tmp_path, Settings(device=devices)))
    assert type(hardware.devices["plate-mover"]).__name__ == "Arm"
    hardware.close()
    assert (tmp_path / "closed").exists(), "a driver that can be closed is closed"


def test_a_driver_that_is_installed_twice_or_broken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path / "a", "acme", "arm", "acme:make")
    monkeypatch.syspath_prepend(tmp_path / "a")
    with pytest.raises(SettingsError, match="acme:make cannot be loaded: No module named 'acme'"):
        make_device(section("plate-mover", "arm", {}), tmp_path)
    install(tmp_path / "b", "other", "arm", "other:make")
    monkeypatch.syspath_prepend(tmp_path / "b")
    with pytest.raises(SettingsError, match="installed twice, as acme:make and other:make"):
        make_device(section("plate-mover", "arm", {}), tmp_path)
