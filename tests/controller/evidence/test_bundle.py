"""A bundle holds what happened, no secret, nothing unsafe, and shows any change."""

import json
import tomllib
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.evidence import bundle as bundling
from controller.evidence.bundle import MANIFEST, check_bundle, make_bundle
from controller.evidence.parting import part, parting_body, parting_text, run_of
from controller.evidence.tomltext import toml_text
from controller.settings import Settings
from controller.store import GENESIS, NewEvent
from controller.store.journal import Head, seal
from nextplate.errors import DataError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRETS = '''
[lab]
database = "postgresql+psycopg://lab:hunter2@db.local/lab"   # old: "postgresql://lab:hunter3@db/lab"
[notify]
urls = ["mailto://me:hunter4@example.com", "slack://hunter5/hunter6", "https://chat.local/hooks/hunter7"]
when = "fault"
[notify.chat]
url = "https://discord.com/api/webhooks/1/hunter8"
[[device]]
name = "handler"
kind = "liquid-handler"
driver = "opentrons"
robot = "flex"
options = { url = "http://192.168.1.20:31950?api_key=hunter9", token_env = "FLEX_TOKEN", password = "hunter10" }
seen = 2026-03-01T12:00:00Z
limit = inf
# password = hunter12, token: hunter13
# once it was hunter14
[extra]
note = """
two lines, "quoted", token-free
"""
api_key = \'\'\'
hunter11\'\'\'
'''


@pytest.fixture
def lab(tmp_path: Path, run) -> Path:
    folder = tmp_path / "lab"
    assert run("init", folder)[0] == 0
    (folder / "lab.toml").write_text('[lab]\nname = "ours"\n')
    (folder / "logs" / "wire").mkdir()
    (folder / "logs" / "wire" / "incubator.log").write_bytes(b"12:00 > LON\r\n")
    (folder / "protocols" / "compile-1").mkdir()
    (folder / "protocols" / "compile-1" / "record.json").write_text("{}")
    (folder / "readouts" / "NP-0001").mkdir()
    (folder / "readouts" / "NP-0001" / "image.tif").write_bytes(b"x" * 1000)
    (folder / "logs" / "elsewhere").symlink_to("/etc/passwd")
    return folder


def test_the_command_writes_and_checks_it(lab: Path, run, tmp_path: Path):
    out = tmp_path / "night.zip"
    code, said, _ = run("journal", "bundle", out, "--lab", lab, "--json")
    assert code == 0
    assert json.loads(said)["left_out"] == ["logs/elsewhere: a link"]
    with zipfile.ZipFile(out) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read(MANIFEST))
        environment = json.loads(archive.read("environment.json"))
    assert names == {
        "journal.jsonl", "journal-check.json", "status.json", "environment.json", "lab.toml", MANIFEST,
        "logs/wire/incubator.log", "protocols/compile-1/record.json",
    }  # fmt: skip
    assert manifest["files"].keys() == names - {MANIFEST}
    assert "numpy" in environment["packages"]
    assert str(lab.parent) not in json.dumps(manifest)
    code, said, _ = run("journal", "bundle", out, "--check")
    assert code == 0
    assert "every file is as the manifest says" in said


def test_two_bundles_of_one_lab_are_the_same_bytes(lab: Path, tmp_path: Path):
    for name in ("a.zip", "b.zip"):
        make_bundle(lab, tmp_path / name, [], {"status": {}}, NOON)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_settings_leave_without_secrets_and_without_comments_and_the_rest_stays(lab: Path, tmp_path: Path):
    (lab / "lab.toml").write_text(SECRETS)
    (lab / "protocols" / "compile-1" / "record.json").write_text('{"said": "hunter10 at the door"}')
    make_bundle(lab, tmp_path / "b.zip", [], {"status": {"fault": "login hunter11 refused"}}, NOON)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert [name for name in archive.namelist() if b"hunter" in archive.read(name)] == []
        body = tomllib.loads(archive.read("lab.toml").decode())
    assert body["lab"]["database"] == "postgresql+psycopg://***@db.local/lab"
    assert body["notify"]["urls"] == ["mailto://***", "slack://***", "https://***"]
    assert body["notify"]["when"] == "fault"
    options = body["device"][0]["options"]
    assert (options["url"], options["password"]) == ("http://192.168.1.20:31950?api_key=***", "***")
    assert (body["device"][0]["seen"], body["device"][0]["limit"]) == (NOON, float("inf"))
    assert body["extra"] == {"note": 'two lines, "quoted", token-free\n', "api_key": "***"}


def test_settings_whose_secrets_nobody_can_tell_stay_here(lab: Path, tmp_path: Path):
    (lab / "lab.toml").write_text("password = hunter1\n")
    made = make_bundle(lab, tmp_path / "b.zip", [], {}, NOON)
    assert any(said.startswith("lab.toml: ") for said in made.left_out)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert [name for name in archive.namelist() if b"hunter" in archive.read(name)] == []


def test_a_secret_in_the_journal_is_told_of_as_the_journal_leaves_as_it_is(lab: Path, tmp_path: Path):
    (lab / "lab.toml").write_text('[[device]]\noptions = { password = "hunter1" }\n')
    row = seal(NewEvent("settings.changed", NOON, None, {"password": "hunter1"}), Head(0, GENESIS))
    made = make_bundle(lab, tmp_path / "b.zip", [row], {}, NOON)
    assert any("journal.jsonl: A SECRET OF lab.toml STANDS IN IT" in said for said in made.left_out)
    assert make_bundle(lab, tmp_path / "c.zip", [], {}, NOON).left_out == ("logs/elsewhere: a link",)


def test_logs_leave_without_secrets(lab: Path, tmp_path: Path):
    (lab / "lab.toml").write_text('[lab]\nname = "ours"\n[[device]]\noptions = { url = "http://me:hunter1@h/" }\n')
    (lab / "logs" / "said.log").write_text("LOGIN me hunter1\nAuthorization: Bearer hunter2\npassword=hunter3&x=1\n")
    make_bundle(lab, tmp_path / "b.zip", [], {}, NOON)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert archive.read("logs/said.log") == b"LOGIN me ***\nAuthorization: ***\npassword=***&x=1\n"


def test_long_logs_are_cut_and_long_records_left_out(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bundling, "LARGEST_FILE", 100)
    (lab / "logs" / "long.log").write_bytes(b"a" * 500 + b"z" * 100)
    (lab / "protocols" / "compile-1" / "protocol.json").write_bytes(b"{" * 101)
    made = make_bundle(lab, tmp_path / "b.zip", [], {}, NOON)
    assert "protocols/compile-1/protocol.json: 101 bytes" in made.left_out
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert archive.read("logs/long.log") == b"z" * 100
        assert json.loads(archive.read(MANIFEST))["files"]["logs/long.log"]["note"] == "the last 100 of 600 bytes"


def rewritten(source: Path, target: Path, change) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        files = {name: old.read(name) for name in old.namelist()}
        change(files)
        for name, content in files.items():
            new.writestr(name, content)


@pytest.mark.parametrize(("change", "said"), [
    (lambda f: f.update({"journal.jsonl": f["journal.jsonl"] + b" "}), "journal.jsonl was changed"),
    (lambda f: f.update({"lab.toml": f["lab.toml"].swapcase()}), "lab.toml was changed"),
    (lambda f: f.pop("lab.toml"), "lab.toml is in the manifest and not in the bundle"),
    (lambda f: f.update({"more.txt": b""}), "more.txt is in the bundle and not in the manifest"),
    (lambda f: f.update({"../../evil": b""}), "not safe to unpack"),
    (lambda f: f.update({"/etc/evil": b""}), "not safe to unpack"),
    (lambda f: f.pop(MANIFEST), "not a bundle"),
    (lambda f: f.update({MANIFEST: b"{}"}), "not a bundle"),
])  # fmt: skip
def test_a_bundle_that_was_changed_is_found_out(lab: Path, tmp_path: Path, change, said: str):
    make_bundle(lab, tmp_path / "b.zip", [], {}, NOON)
    rewritten(tmp_path / "b.zip", tmp_path / "c.zip", change)
    with pytest.raises(DataError, match=said):
        check_bundle(tmp_path / "c.zip")


def test_what_is_no_zip_is_refused(tmp_path: Path, run):
    (tmp_path / "x.zip").write_bytes(b"PK nonsense")
    code, _, err = run("journal", "bundle", tmp_path / "x.zip", "--check")
    assert code == 2
    assert "not a bundle of nextplate" in err


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
PLAIN = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
TABLES = st.dictionaries(TEXTS, VALUES, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(TEXTS, TABLES | st.lists(TABLES, max_size=2), max_size=4))
def test_toml_is_read_back_as_it_was_written(body):
    assert tomllib.loads(toml_text(body)) == body


def test_settings_are_read_back_as_they_were_written():
    lab = Settings()
    body = tomllib.loads(toml_text(lab.model_dump(mode="json", exclude_none=True)))
    assert Settings.model_validate(body) == lab


# Where two nights part


def night(*tasks: tuple[str, str, float, dict[str, object]], status: str = "done") -> list[NewEvent]:
    events, now = [], NOON
    for key, verb, seconds, result in tasks:
        action = {"step": verb} if verb == "fit" else {"device": "arm", "command": {"verb": verb}}
        events.append(NewEvent("intent", now, "first", {"key": key, "action": action}))
        now += timedelta(seconds=seconds)
        body = {"key": key, "status": status, "result": result, "message": ""}
        events.append(NewEvent("outcome", now, "first", body))
    return events


REAL = (("k1", "move", 50.0, {"moved": ["P"]}), ("k2", "fit", 9.0, {}), ("k3", "move", 70.0, {"moved": ["P"]}))


def test_a_night_and_itself_do_not_part():
    parting = part(run_of(night(*REAL)), run_of(night(*REAL)))
    assert parting.is_same
    assert "3 tasks, in the same order" in parting_text(parting)
    assert parting_body(parting)["first_divergence"] is None
    (moves,) = parting.durations
    assert (moves.n, moves.median_s) == ((2, 2), (60.0, 60.0))


@pytest.mark.parametrize(("simulated", "n_same", "first"), [
    ((REAL[0], REAL[2], REAL[1]), 1, ("k2", "k3")),
    (REAL[:2], 2, ("k3", None)),
    (REAL[:0], 0, ("k1", None)),
    ((*REAL, ("k4", "move", 1.0, {})), 3, (None, None)),  # reality was stopped there
])  # fmt: skip
def test_the_first_task_out_of_order_is_named(simulated, n_same, first):
    parting = part(run_of(night(*REAL)), run_of(night(*simulated)))
    assert (parting.n_same_order, (parting.first_real, parting.first_simulated)) == (n_same, first)


def test_outcomes_that_differ_are_told_side_by_side():
    other = (REAL[0], REAL[1], ("k3", "move", 30.0, {"moved": []}))
    parting = part(run_of(night(*REAL)), run_of(night(*other)))
    (difference,) = parting.differences
    assert (difference.key, difference.what) == ("k3", ("result.moved",))
    text = parting_text(parting)
    assert "k3: result.moved differ\n  real:      ['P']\n  simulated: []" in text
    assert parting.durations[0].median_s == (60.0, 40.0)
    failed = part(run_of(night(*REAL)), run_of(night(*REAL, status="failed")))
    assert [d.what for d in failed.differences] == [("status",)] * 3
