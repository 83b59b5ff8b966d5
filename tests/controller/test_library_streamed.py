"""A library of any length enters a lab by the one command, and a kill in the middle costs a few thousand rows."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller import registration
from controller.lab import init_lab, open_lab
from controller.store import open_store, projections
from controller.store.journal import NewEvent, RowWrite
from controller.store.store import Store
from nextplate.errors import StoreError

N = 900
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMAND = """
from nextplate.chem import stream, writer
stream._CHUNK, writer._PART_ROWS = 50, 100
from controller import registration
registration.LARGE_BYTES = 1000
from controller.cli import main
main()
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return init_lab(tmp_path / "lab").folder


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return written(tmp_path / "library.csv", N)


def written(path: Path, n: int) -> Path:
    """Write n compounds, a salt and a repeated structure among them."""
    lines = [f"C{i},{'C' * (1 + i % 37)}c1ccc(N{'C' * (i // 37)})cc1\n" for i in range(n - 2)]
    path.write_text("id,smiles\n" + "".join(lines) + "SALT,CC(=O)[O-].[Na+]\nAGAIN,Cc1ccc(N)cc1\n")
    return path


def adding(library: Path, lab: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COMMAND, "library", "add", str(library), "--lab", str(lab)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def checkpoint(lab: Path) -> int:
    """Rows that are safe by now."""
    try:
        (path,) = (lab / "library").glob(".*.part/progress.json")
        return int(json.loads(path.read_text())["n_read"])
    except (ValueError, OSError):
        return 0


def test_killed_and_run_again_it_goes_on_and_ends_the_same(run, lab: Path, library: Path, tmp_path: Path):
    process = adding(library, lab)
    deadline = time.monotonic() + 60
    while checkpoint(lab) < N // 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    safe = checkpoint(lab)
    assert N // 4 <= safe < N
    assert not [p for p in (lab / "library").iterdir() if not p.name.startswith(".")]
    with open_store(open_lab(lab).database) as store:
        assert store.select("libraries") == []

    out, err = adding(library, lab).communicate(timeout=120)
    first = int(err.split("compounds: ")[1].split(" of ")[0])
    assert safe < first <= safe + N // 10 + 50  # by the first tenth told, not from the start
    assert f"{N} compounds, library" in out
    assert "1 compounds have the structure of an earlier one; the first: AGAIN has that of C0" in out
    assert "removed [Na+]: 1 (SALT)" in out

    other = init_lab(tmp_path / "careful").folder
    code, careful, _ = run("library", "add", library, "--lab", other, "--json")
    assert code == 0
    digest = json.loads(careful)["library"]
    assert [p.name for p in (lab / "library").iterdir()] == [digest[:16]]
    for name in ("compounds.parquet", "counts.npy", "pairs.npy", "card.json"):
        assert (lab / "library" / digest[:16] / name).read_bytes() == (
            other / "library" / digest[:16] / name
        ).read_bytes()
    assert json.loads(run("library", "add", library, "--lab", lab, "--json")[1])["new"] is False


def test_without_alerts_the_report_says_so(run, lab: Path, tmp_path: Path):
    library = written(tmp_path / "few.csv", 20)
    code, out, _ = run("library", "add", library, "--lab", lab, "--no-alerts", "--json")
    assert code == 0
    report = json.loads(out)["report"]
    assert (report["n"], report["alerts"], report["n_scaffolds"]) == (20, None, None)
    assert {change["name"] for change in report["changes"]} == {"removed [Na+]", "neutralised"}
    shown = run("library", "show", "--lab", lab)[1]
    assert "scaffolds and alerts: not computed" in shown
    body = json.loads(run("library", "show", "--lab", lab, "--json")[1])
    assert body["libraries"][0]["report"] == report


def test_bad_rows_of_a_large_file_are_refused_or_counted(run, lab: Path, tmp_path: Path, monkeypatch):
    library = written(tmp_path / "few.csv", 20)
    monkeypatch.setattr(registration, "LARGE_BYTES", 100)
    library.write_text(library.read_text() + "BAD,not a structure\n,CCO\n")
    code, _, err = run("library", "add", library, "--lab", lab)
    assert code == 2
    assert "2 rows cannot be used" in err
    assert "--skip-bad" in err
    assert list((lab / "library").iterdir()) == []
    code, out, _ = run("library", "add", library, "--lab", lab, "--skip-bad", "--json")
    assert code == 0
    assert (json.loads(out)["skipped"], json.loads(out)["compounds"]) == (2, 20)


def test_rows_of_one_event_are_written_in_chunks_and_all_or_none(store: Store, monkeypatch):
    monkeypatch.setattr(projections, "_CHUNK", 10)
    event = NewEvent("library.added", NOON, None, {"library": "d" * 64, "n_compounds": 25, "name": "l.csv"})
    rows = [
        {"library": "d" * 64, "row": i, "compound_id": f"C{i}", "smiles": "C", "raw_smiles": "C"} for i in range(25)
    ]
    libraries = RowWrite("libraries", [{"library": "d" * 64, "n_compounds": 25}])
    with pytest.raises(StoreError):
        store.append([event], [libraries, RowWrite("compounds", [*rows[:-1], rows[0]])])
    assert store.select("compounds") == []
    store.append([event], [libraries, RowWrite("compounds", rows)])
    assert len(store.select("compounds")) == 25
