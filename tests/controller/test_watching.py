"""image watch: what a person or a program is told about the plates under a folder."""

import json
import os
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from watched_lab import plate_files, set_times, write_plate

from controller.cli import watching
from nextplate.errors import DataError


def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(watching.watch)
    return made


def told(folder: Path, *options: str) -> dict[str, dict[str, object]]:
    done = CliRunner().invoke(app(), [str(folder), "--once", "--json", *options], catch_exceptions=False)
    body = json.loads(done.stdout)
    assert body["whole"] + body["others"] == len(body["plates"])
    return {Path(row["folder"]).name: row for row in body["plates"]}


def test_every_plate_is_told_with_its_reasons(tmp_path: Path):
    set_times(write_plate(tmp_path / "P1", "P1"), time.time() - 3600)
    write_plate(tmp_path / "P2", "P2")
    os.truncate(write_plate(tmp_path / "P3", "P3") / "P3.HTD", 60)
    (write_plate(tmp_path / "P4", "P4") / plate_files("P4")[0]).unlink()
    (tmp_path / "P5").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.txt").write_text("x")
    rows = told(tmp_path)
    states = {name: row["state"] for name, row in rows.items()}
    kinds = ("whole", "settling", "unreadable", "writing", "empty", "unreadable")
    assert states == dict(zip(("P1", "P2", "P3", "P4", "P5", "notes"), kinds, strict=True))
    assert rows["P4"]["reasons"] == ["1 images are not there: A01 field 1 DNA"]
    assert (rows["P1"]["plate"], rows["P1"]["reader"], rows["P1"]["images"]) == ("P1", "imagexpress", 4)
    text = CliRunner().invoke(app(), [str(tmp_path), "--once"]).stdout
    assert text.splitlines()[0] == "whole      P1 P1 (imagexpress, 4 images)"


def test_plates_lie_deeper_where_depth_says(tmp_path: Path):
    set_times(write_plate(tmp_path / "project" / "P1", "P1"), 1e9)
    assert told(tmp_path)["project"]["state"] == "unreadable"
    assert {name: row["state"] for name, row in told(tmp_path, "--depth", "2").items()} == {"P1": "whole"}


def test_changes_are_told_once_until_a_plate_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now, steps = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds
        steps.append(now[0])
        if len(steps) == 2:
            write_plate(tmp_path / "P1", "P1")
        if len(steps) == 30:
            raise KeyboardInterrupt

    write_plate(tmp_path / "P1", "P1", htd=False)
    monkeypatch.setattr(watching.time, "sleep", sleep)
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    done = CliRunner().invoke(app(), [str(tmp_path), "--json"])
    states = [json.loads(line)["state"] for line in done.stdout.splitlines()]
    assert states == ["writing", "settling", "whole"]


def test_wrong_arguments_say_what_is_allowed(tmp_path: Path):
    for options, reason in ((["--wells", "95"], "96, 384, 1536"), (["--pattern", "("], "no regular expression")):
        (tmp_path / "P1").mkdir(exist_ok=True)
        (tmp_path / "P1" / "x").write_text("x")
        with pytest.raises(DataError, match=reason):
            told(tmp_path, *options)
    with pytest.raises(DataError, match="is not a folder"):
        told(tmp_path / "nowhere")
