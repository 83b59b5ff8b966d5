"""nextplate device: what there is, what answers, what moves only after a yes, and what a bug report carries."""

import json
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import bench
from controller.lab import init_lab
from controller.secrecy import blanked, secrets_of, without
from drivers.inventory import Inventory
from drivers.ports import Report, Status, StorePlate
from drivers.wire_log import Way, WireLog, read_log
from drivers.worker_memory import Memory
from nextplate.errors import Transient
from sim.wire.cytomat import CytomatEmulator
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

FOLDER = """
[[device]]
name = "{kind}"
kind = "{kind}"
driver = "folder"
options = {{ exchange = "exchange" }}
"""
TOML = """
[lab]
name = "bench"

[[device]]
name = "handler"
kind = "liquid-handler"
driver = "folder"
robot = "flex"
options = {{ exchange = "exchange" }}

[[device]]
name = "warm"
kind = "incubator"
driver = "test-cytomat"
options = {{ port = "{port}", slots = 12, reply_s = 0.3, poll_s = 0.01, patience_s = 0.1, connect_s = 1 }}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WireServer]:
    with WireServer(CytomatEmulator(EmulatedTime(400.0), false_busy=0.0), tmp_path) as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, server: WireServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    info = tmp_path / "site" / "bench-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nextplate.drivers]\ntest-cytomat = drivers.cytomat:make\nbroken = nowhere:make\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = init_lab(tmp_path / "lab").folder
    text = TOML.format(port=server.pty_path) + "".join(FOLDER.format(kind=kind) for kind in ("plate-mover", "imager"))
    (folder / "lab.toml").write_text(text)
    return folder


def test_help_has_examples(run):
    for command in ("list", "test", "doctor", "watch"):
        code, out, _ = run("device", command, "--help")
        assert code == 0
        assert "Example:" in out


def test_list_tells_devices_and_drivers_and_what_is_wrong_with_one(run, lab: Path):
    code, out, _ = run("device", "list", "--lab", lab)
    assert code == 0
    assert "warm           incubator       test-cytomat    port = " in out
    assert "bench 1.0 cannot be loaded: No module named 'nowhere'" in out
    body = json.loads(run("device", "list", "--lab", lab, "--json")[1])
    assert [device["name"] for device in body["devices"]] == ["handler", "warm", "plate-mover", "imager"]
    assert {"sim", "folder", "test-cytomat"} <= {driver["name"] for driver in body["drivers"]}


def test_a_look_moves_nothing(run, lab: Path, server: WireServer):
    code, out, err = run("device", "test", "warm", "--lab", lab)
    assert code == 0, err
    assert "device: Thermo Cytomat" in out
    assert "temperature_c = 36.9" in out
    assert server.emulator.hotel.log == []
    assert json.loads(run("device", "test", "warm", "--lab", lab, "--json")[1])["look"]["slots"] == 12
    assert "offers no look" in run("device", "test", "handler", "--lab", lab)[1]


def test_something_moves_only_after_a_yes(run, lab: Path, server: WireServer, monkeypatch: pytest.MonkeyPatch):
    hotel = server.emulator.hotel
    hotel.put_on_station("P1")
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    code, _, err = run("device", "test", "warm", "--move", "P1", "--lab", lab)
    assert code == 2
    assert "nothing was moved" in err
    assert hotel.moves() == 0
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    code, out, err = run("device", "test", "warm", "--move", "P1", "--lab", lab)
    assert code == 0, err
    assert "store P1: done, slot 1" in out
    assert "fetch P1: done" in out
    assert hotel.moves() == 2
    hotel.take_from_station()
    code, _, err = run("device", "test", "warm", "--move", "P1", "--yes", "--lab", lab)
    assert code == 1
    assert "store failed: no plate stands on the incubator's transfer station" in err
    assert run("device", "test", "handler", "--move", "P1", "--lab", lab)[0] == 2


def test_what_a_killed_test_left_behind_is_settled_first(run, lab: Path, server: WireServer):
    """kill -9 in the midst of `--move`: the next one waits until the sensors have told, and then moves."""
    hotel = server.emulator.hotel
    hotel.put_on_station("P1")
    memory = Memory(lab / "logs" / "devices" / "incubator")
    memory.prepare()
    inventory = Inventory(memory.place / "inventory.json", 12)
    inventory.prepare()
    memory.ask("device-test.1.store", StorePlate("P1"))
    inventory.doubt(1, "P1")
    memory.begin("device-test.1.store", {"slot": 1})
    code, out, err = run("device", "test", "warm", "--move", "P1", "--yes", "--lab", lab)
    assert code == 0, err
    assert "waiting: the incubator is busy with device-test.1.store, which an earlier process began" in err
    assert "fetch P1: done" in out
    assert hotel.moves() == 2


def test_a_device_that_never_settles_names_the_way_out(lab: Path, monkeypatch: pytest.MonkeyPatch):
    class Busy:
        def submit(self, command: object, key: str) -> None:
            raise Transient("the shaker is busy with k, which an earlier process began")

        def poll(self, key: str) -> Report:
            return Report(Status.NOT_FOUND)

        lookup = poll

    monkeypatch.setattr(bench, "BUSY_S", 0.05)
    told: list[str] = []
    with pytest.raises(Transient, match=r"busy with k.*see that it is on and connected"):
        bench.tried(Busy(), bench.TRIALS["shaker"], "t", "P1", lambda: time.sleep(0.01), told.append)
    assert told == ["waiting: the shaker is busy with k, which an earlier process began"]


def test_a_device_that_is_not_there_or_simulated_is_named(run, lab: Path, tmp_path: Path):
    code, _, err = run("device", "test", "hot", "--lab", lab)
    assert code == 2
    assert "lab.toml names no device 'hot'; there are: handler, warm, plate-mover, imager" in err
    simulated = init_lab(tmp_path / "simulated").folder
    code, _, err = run("device", "test", "incubator", "--lab", simulated)
    assert code == 2
    assert "is simulated" in err
    assert run("device", "doctor", "--lab", simulated)[0] == 0


def test_the_doctor_says_what_answers_and_packs_what_a_report_needs(run, lab: Path, server: WireServer, tmp_path: Path):
    bundle = tmp_path / "doctor.zip"
    code, out, _ = run("device", "doctor", "--lab", lab, "--bundle", bundle)
    assert code == 0
    assert "ok    warm (test-cytomat)" in out
    with zipfile.ZipFile(bundle) as packed:
        assert {"examination.json", "lab.json", "logs/wire/incubator.log"} <= set(packed.namelist())
        body = json.loads(packed.read("examination.json"))
    assert body["versions"]["pyserial"]
    assert body["python"] == sys.version.split()[0]
    assert run("device", "doctor", "--lab", lab, "--bundle", bundle)[0] == 2
    server.vanish(60.0)
    while server.pty_path.exists():
        pass
    code, out, _ = run("device", "doctor", "--lab", lab)
    assert code == 1
    assert "WRONG warm (test-cytomat)" in out
    assert "is it plugged in and spelled right?" in out


def test_watch_prints_the_bytes_with_their_times(run, lab: Path):
    code, _, err = run("device", "watch", "warm", "--once", "--lab", lab)
    assert code == 2
    assert "no byte of 'warm' was logged yet" in err
    run("device", "test", "warm", "--lab", lab)
    code, out, _ = run("device", "watch", "warm", "--once", "--last", 500, "--lab", lab)
    assert code == 0
    assert "Z > 63 68 3a 62 77 0d 0a | ch:bw\\r\\n" in out
    assert "| bw 00\\r\\n" in out


SECRET_TOML = """
database = "postgresql+psycopg://me:hunter2@host/db"   # the password was hunter2
[[device]]
name = "scope"
kind = "imager"
driver = "{driver}"
options = {{ url = "https://omero:hunter2@omero/x?token=hunter2&a=1", user = "u", password = "hunter2", n = 3 }}
smtp = {{ host = "h", token = "hunter2", deep = [{{ ApiKey = "hunter2" }}] }}
auth = ["hunter2", "hunter2"]
headers = {{ Authorization = "Bearer hunter2" }}
mail = "${{MAIL_PASSWORD}}"
mail_password = "${{MAIL_PASSWORD}}"
[notifications.channels]
mail = "mailtos://me:hunter2@host"
chat = "https://hooks.slack.com/hunter2"
"""


def test_no_secret_leaves_the_lab_at_any_depth():
    body = tomllib.loads(SECRET_TOML.format(driver="acme"))
    shown = json.dumps(blanked(body))
    assert "Authorization" in shown
    assert "hunter2" not in shown
    device = json.loads(shown)["device"][0]
    assert device["options"]["user"] == "u"
    assert device["options"]["url"] == "https://***@omero/x?token=***&a=1"
    assert device["options"]["n"] == 3
    assert device["smtp"]["host"] == "h"
    assert device["mail_password"] == "${MAIL_PASSWORD}"
    assert json.loads(shown)["database"].endswith("@host/db")
    assert secrets_of(body) == {"hunter2", "Bearer hunter2"}


@given(st.text(min_size=4, max_size=12, alphabet=st.characters(codec="ascii", categories=("L", "N"))))
def test_a_secret_is_blanked_in_a_log_as_text_and_as_bytes(secret: str):
    log = f"> {secret.encode().hex(' ')} | {secret}\n".encode()
    shown = without(secrets_of({"options": {"password": secret}}), log)
    assert secret.encode() not in shown
    assert secret.encode().hex(" ").encode() not in shown


def test_names_that_only_look_like_secrets_stay():
    options = {"passes": 3, "passage_no": 4, "driver": "keyence", "keyence_port": "x", "author": "me", "barcode": "P1"}
    assert blanked(options) == options


SAID = {
    "request": b"GET /x?api_key=SECRET-1&y=2 HTTP/1.1\r\nAuthorization: Bearer SECRET-2\r\nX-Api-Key: SECRET-3\r\nA: b",
    "form": b"username=me&password=SECRET-4&x=1",
    "json": b'{"password": "SECRET-5", "token":"SECRET \\"6", "key": "r1.seal"}',
    "url": b"refused http://joe:SECRET-7@h/ and by socket://h:1",
    "a messenger": b"POST https://hooks.slack.com/services/T0/SECRET-14 failed, https://h/x?sig=SECRET-15&z=3 too",
    "a login of the settings, alone": b"LOGIN joe SECRET-8",
    "a variable of the settings": b"LOGIN joe SECRET-9",
    "a file of the settings": b"LOGIN joe SECRET-\xc3\xbc",
}
"""What may stand on a wire; what has to stay stands in KEPT."""
KEPT = ("y=2", "A: b", "username=me", "x=1", '"key": "r1.seal"', "and by socket://h:1", "LOGIN joe")


def test_the_bundle_has_no_secret_in_any_file(run, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = lab / "lab.toml"
    more = """
[[device]]
name = "scope"
kind = "shaker"
driver = "omero"
[device.options]
url = "http://joe:SECRET-8@h/"
password_env = "SCOPE_PW"
token_file = "pw"
headers = ["X-Token: SECRET-10"]
"""
    text = config.read_text().replace('port = "', 'password = "SECRET-11", port = "')
    config.write_text(f"# SECRET-12\n{text}{more}")
    (lab / "pw").write_text("SECRET-ü\n")
    monkeypatch.setenv("SCOPE_PW", "SECRET-9")
    log = WireLog(lab / "logs" / "wire" / "shaker.log")
    for data in SAID.values():
        log.write(Way.OUT, data)
    log.event("opened socket://joe:SECRET-13@h:1")
    note = lab / "logs" / "devices" / "shaker" / "k.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"message": "\n".join(data.decode() for data in SAID.values())}))
    bundle = tmp_path / "doctor.zip"
    code, out, err = run("device", "doctor", "--lab", lab, "--bundle", bundle)
    assert "SECRET" not in out + err
    assert code == 1
    with zipfile.ZipFile(bundle) as packed:
        assert {"examination.json", "lab.json", "logs/wire/shaker.log"} <= set(packed.namelist())
        packed.extractall(tmp_path / "out")
        for name in packed.namelist():
            assert b"SECRET" not in packed.read(name), name
            assert b"SECRET".hex(" ").encode() not in packed.read(name), name
    chunks = [*read_log(tmp_path / "out" / "logs" / "wire" / "shaker.log")]  # it can still be played back
    assert [chunk.way for chunk in chunks] == [Way.OUT] * len(SAID) + [Way.EVENT]
    shown = b" ".join(chunk.data for chunk in chunks).decode()
    assert [word for word in KEPT if word not in shown] == []
    for form in ((), ("--json",)):
        assert "SECRET" not in run("device", "list", "--lab", lab, *form)[1]


def test_list_marks_a_driver_that_is_not_installed(run, lab: Path):
    config = lab / "lab.toml"
    config.write_text(config.read_text().replace('"test-cytomat"', '"test-cytomat2"'))
    code, out, _ = run("device", "list", "--lab", lab)
    assert code == 0
    assert "WRONG: no driver 'test-cytomat2' is installed; did you mean 'test-cytomat'?" in out
    body = json.loads(run("device", "list", "--lab", lab, "--json")[1])
    assert [bool(device["problem"]) for device in body["devices"]] == [False, True, False, False]
