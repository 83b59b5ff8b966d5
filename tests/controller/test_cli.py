"""The command line: one clear message, the right exit code, nothing half-done."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from controller.lab import init_lab
from controller.lock import lab_lock

LIBRARY = "id,smiles\nC1,CCO\nC2,c1ccccc1O\nC3,CC(=O)Nc1ccccc1\n"
STOCK = "source_plate,source_well,compound_id,volume_ul,concentration_um\nS1,A01,C1,60,100\nS1,A02,C2,60,100\n"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return init_lab(tmp_path / "lab").folder


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_help_tells_every_command_with_an_example(run):
    code, out, _ = run("--help")
    assert code == 0
    for command in ("demo", "init", "run", "approve", "reject", "pause", "resume", "abort", "report", "replay"):
        assert command in out
        assert "Example:" in run(command, "--help")[1]


@pytest.mark.parametrize("arguments", [["nothing"], ["approve"], ["approve", "x"], ["run", "--nothing"], ["replay"]])
def test_wrong_usage_is_exit_code_2(run, arguments):
    assert run(*arguments)[0] == 2


NUMBERS = [
    ("measure", "--nucleus-um"), ("measure", "--pixel-um"), ("moa", "--pixel-um"), ("profiles", "--shrinkage"),
    ("network train", "--held-out"), ("network train", "--learning-rate"),
    ("network train", "--label-smoothing"), ("network train", "--max-gib"),
    ("image watch", "--settle-s"), ("replay", "--threshold"),
]  # fmt: skip


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("command", "option"), NUMBERS)
def test_an_option_that_is_no_finite_number_is_refused_by_name(run, tmp_path: Path, command: str, option: str, number):
    code, _, err = run(*command.split(), tmp_path, option, number)
    assert code == 2
    assert f"'{option}'" in err


def test_init_refuses_a_lab_and_a_folder_with_other_things(run, tmp_path: Path):
    assert run("init", tmp_path / "new")[0] == 0
    assert run("init", tmp_path / "new")[0] == 2
    (tmp_path / "full").mkdir()
    written(tmp_path / "full" / "thesis.txt", "x")
    code, _, err = run("init", tmp_path / "full")
    assert code == 2
    assert "is not empty" in err
    assert sorted(p.name for p in (tmp_path / "full").iterdir()) == ["thesis.txt"]


def test_status_of_a_new_lab_says_what_to_do(run, lab: Path):
    code, out, _ = run("status", "--lab", lab)
    assert code == 0
    assert "nextplate library add FILE" in out
    assert json.loads(run("status", "--lab", lab, "--json")[1])["campaign"] is None


def test_run_without_a_library_or_stock_says_what_is_missing(run, lab: Path, tmp_path: Path):
    code, _, err = run("run", "--lab", lab)
    assert code == 2
    assert "nextplate library add FILE" in err
    assert run("library", "add", written(tmp_path / "l.csv", LIBRARY), "--lab", lab)[0] == 0
    assert "nextplate stock add FILE" in run("run", "--lab", lab)[2]


LIBRARIES = [
    ("unparsable", "id,smiles\nC1,CCO\nC2,C1CC\n", 2, "line 3"),
    ("same id twice", "id,smiles\nC1,CCO\nC1,CCC\n", 2, "lines 2, 3"),
    ("no structures", "id,colour\nC1,red\n", 2, "smiles"),
    ("no rows", "id,smiles\n", 2, "l.csv"),
    ("empty", "", 2, "l.csv"),
    ("byte-order mark", b"\xef\xbb\xbf" + LIBRARY.encode(), 0, ""),
    ("windows line ends", LIBRARY.replace("\n", "\r\n"), 0, ""),
    ("semicolons", LIBRARY.replace(",", ";"), 0, ""),
]


@pytest.mark.parametrize(("text", "code", "told"), [c[1:] for c in LIBRARIES], ids=[c[0] for c in LIBRARIES])
def test_a_library_is_taken_whole_or_not_at_all(run, lab: Path, tmp_path: Path, text, code, told):
    got, _, err = run("library", "add", written(tmp_path / "l.csv", text), "--lab", lab)
    assert got == code
    assert told in err
    shown = json.loads(run("library", "show", "--lab", lab, "--json")[1])
    assert len(shown["libraries"]) == (code == 0)
    if code:
        assert list((lab / "library").iterdir()) == []


def test_unusable_rows_can_be_left_out_and_are_listed(run, lab: Path, tmp_path: Path):
    path = written(tmp_path / "l.csv", "id,smiles\nC1,CCO\nC2,C1CC\n")
    code, out, _ = run("library", "add", path, "--lab", lab, "--skip-bad", "--json")
    assert code == 0
    body = json.loads(out)
    assert (body["compounds"], body["skipped"]) == (1, 1)
    assert [n["line"] for n in body["notes"]] == [3]


STOCKS = [
    ("unknown compound", STOCK + "S1,A03,C99,60,100\n", "s.csv:4"),
    ("negative volume", STOCK + "S1,A03,C3,-1,100\n", "s.csv:4"),
    ("no such well", STOCK + "S1,Z99,C3,60,100\n", "s.csv:4"),
    ("well twice", STOCK + "S1,A01,C3,60,100\n", "s.csv:4"),
    ("missing column", "source_plate,source_well,compound_id\nS1,A01,C1\n", "volume"),
    ("no rows", STOCK.splitlines()[0] + "\n", "s.csv"),
]


@pytest.mark.parametrize(("text", "told"), [c[1:] for c in STOCKS], ids=[c[0] for c in STOCKS])
def test_stock_is_taken_whole_or_not_at_all(run, lab: Path, tmp_path: Path, text, told):
    run("library", "add", written(tmp_path / "l.csv", LIBRARY), "--lab", lab)
    code, _, err = run("stock", "add", written(tmp_path / "s.csv", text), "--lab", lab)
    assert code == 2
    assert told in err
    assert json.loads(run("stock", "show", "--lab", lab, "--json")[1])["plates"] == {}


def test_stock_and_library_added_again_change_nothing(run, lab: Path, tmp_path: Path):
    library, stock = written(tmp_path / "l.csv", LIBRARY), written(tmp_path / "s.csv", STOCK)
    for is_first in (True, False):
        assert run("library", "add", library, "--lab", lab)[0] == 0
        body = json.loads(run("stock", "add", stock, "--lab", lab, "--json")[1])
        assert body["added"] == (2 if is_first else 0)


def test_a_second_process_on_one_lab_is_refused_politely(run, lab: Path):
    code = "import sys,time; from pathlib import Path; from controller.lock import lab_lock\n"
    code += "with lab_lock(Path(sys.argv[1]), 'nextplate run'): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(lab)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        got, _, err = run("run", "--lab", lab)
        holder.kill()
    assert got == 1
    assert f"process {holder.pid} (nextplate run" in err
    with lab_lock(lab, "test"):
        pass  # a killed holder holds nothing


def test_decisions_without_a_campaign_are_refused(run, lab: Path):
    for command in (["approve", "1"], ["pause"], ["abort"], ["answer", "x", "retry"]):
        code, _, err = run(*command, "--lab", lab)
        assert code == 2
        assert "no campaign has been started" in err


def test_a_plate_nobody_has_is_named(run, lab: Path):
    code, _, err = run("plate", "show", "NP-0009", "--lab", lab)
    assert code == 2
    assert "no plate 'NP-0009'" in err


def test_an_error_is_json_where_a_program_asked_for_json(run, lab: Path):
    code, out, err = run("plate", "show", "NP-0009", "--lab", lab, "--json")
    assert code == 2
    assert json.loads(out) == {"error": err.removeprefix("nextplate: ").strip(), "exit_code": 2}


def test_what_a_killed_init_left_behind_is_no_obstacle(run, tmp_path: Path):
    (tmp_path / "new" / "logs").mkdir(parents=True)
    written(tmp_path / "new" / ".lab.toml.123.tmp", "half")
    assert run("init", tmp_path / "new")[0] == 0


def test_a_mistake_in_lab_toml_is_exit_code_2(run, lab: Path):
    written(lab / "lab.toml", "[plate]\nwells = 385\n")
    code, _, err = run("run", "--lab", lab)
    assert code == 2
    assert "lab.toml:2: plate.wells = 385" in err


def test_journal_verify_names_the_head(run, lab: Path, tmp_path: Path):
    run("library", "add", written(tmp_path / "l.csv", LIBRARY), "--lab", lab)
    body = json.loads(run("journal", "verify", "--lab", lab, "--json")[1])
    assert body["intact"]
    assert body["events"] == 1


@pytest.mark.parametrize(
    "arguments", [["status", "--lab"], ["run", "--lab"], ["init"], ["demo"], ["report", "--lab"]], ids=lambda a: a[0]
)
def test_a_file_where_a_folder_is_needed_is_named(run, tmp_path: Path, arguments):
    afile = written(tmp_path / "afile", "x")
    code, _, err = run(*arguments, afile if arguments[0] != "init" else afile / "lab")
    assert code == 2
    assert "afile" in err
    assert "Traceback" not in err


def test_a_journal_that_was_changed_is_noticed_by_run_and_status(run, lab: Path, tmp_path: Path):
    run("library", "add", written(tmp_path / "l.csv", LIBRARY), "--lab", lab)
    run("stock", "add", written(tmp_path / "s.csv", STOCK), "--lab", lab)
    with sqlite3.connect(lab / "nextplate.db") as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("DELETE FROM journal WHERE seq = 1")
    db.close()
    for command in ("run", "status"):
        code, _, err = run(command, "--lab", lab)
        assert code == 1
        assert "journal event 1 is missing" in err
