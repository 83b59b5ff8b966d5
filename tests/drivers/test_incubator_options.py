"""What lab.toml may say about an incubator on a serial line, and that its entry point leads to it."""

import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from drivers import cytomat, inheco, liconic, pylabrobot
from drivers.ports import FetchPlate, Status
from nextplate.errors import SettingsError

LICONIC = {"port": "/dev/nobody-has-this", "cassettes": 10, "levels": 22, "site_height_mm": 17}
CYTOMAT = {"port": "/dev/nobody-has-this", "slots": 42}
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "make"), [
    ("liconic-stx", liconic.make), ("cytomat", cytomat.make), ("inheco", inheco.make), ("pylabrobot", pylabrobot.make),
])  # fmt: skip
def test_the_entry_point_leads_to_the_driver(name: str, make: object):
    points = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]["nextplate.drivers"]
    assert EntryPoint(name, points[name], "nextplate.drivers").load() is make


@pytest.mark.parametrize(("make", "options"), [(liconic.make, LICONIC), (cytomat.make, CYTOMAT)])
def test_to_make_it_touches_no_port(make: Callable[..., Any], options: dict[str, Any], tmp_path: Path):
    device = make("incubator", {**options, "connect_s": 0.1, "reply_s": 0.5, "log": True}, tmp_path)
    assert device.poll("k").status is Status.NOT_FOUND
    device.submit(FetchPlate("P1"), "k")
    while device.poll("k").status is Status.RUNNING:
        pass
    assert "P1 is not in the incubator" in device.poll("k").message
    device.close()
    assert (tmp_path / "logs" / "devices" / "incubator" / "ended" / "k.json").exists()


@pytest.mark.parametrize(
    ("make", "kind", "options", "said"),
    [
        (liconic.make, "imager", LICONIC, "driver 'liconic-stx' is for an incubator, not for a imager"),
        (liconic.make, "incubator", {}, "option 'port' is missing; option 'cassettes' is missing"),
        (liconic.make, "incubator", {**LICONIC, "levels": 0}, "option levels = 0 should be above 0"),
        (liconic.make, "incubator", {**LICONIC, "reply_s": float("nan")}, "option reply_s = nan should be above 0"),
        (liconic.make, "incubator", {**LICONIC, "baud": 9600}, "'baud' is no option (allowed: port (str)"),
        (cytomat.make, "incubator", {**CYTOMAT, "port": " "}, "option port is empty"),
        (cytomat.make, "incubator", {**CYTOMAT, "slots": 4.5}, "option slots = 4.5 should be int"),
    ],
)
def test_a_wrong_option_is_named(make: Callable[..., Any], kind: str, options: Any, said: str, tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        make(kind, options, tmp_path)
    assert said in str(caught.value)
