"""nextplate replay --profiles: does an earlier imaging screen help, beside chemistry and the cell count alone?"""

import json
import re

import numpy as np
import pytest


@pytest.fixture
def screen(tmp_path):
    """What is sought can be read from the images and from nothing else."""
    rng = np.random.default_rng(3)
    smiles = [f"{'C' * (i % 24 + 1)}{'NOSP'[i // 24]}{'C' * (i // 48)}" for i in range(96)]
    values = rng.normal(size=96)
    rows = [f"X{i},{s},{v:.3f}" for i, (s, v) in enumerate(zip(smiles, values, strict=True))]
    (tmp_path / "values.csv").write_text("\n".join(["compound_id,smiles,value", *rows]) + "\n")
    seen = [f"X{i},{v + rng.normal(0, 0.2):.3f},{rng.normal():.3f}" for i, v in enumerate(values[:90])]
    (tmp_path / "profiles.csv").write_text("\n".join(["compound_id,texture,n_cells", *seen, "STRANGER,0,0"]) + "\n")
    return tmp_path


def replay(run, screen, *more):
    sizes = ("--maximize", "--initial", "24", "--batch", "12", "--rounds", "1", "--seeds", "1", "--top", "10")
    return run("replay", screen / "values.csv", *sizes, "--out", screen / "out", *more)


def test_images_stand_beside_chemistry_and_the_cell_count_in_one_table(run, screen):
    code, out, err = replay(run, screen, "--profiles", screen / "profiles.csv", "--strategy", "fusion,profiles")
    assert code == 0, err
    body = json.loads((screen / "out" / "replay.json").read_text())
    by = {entry["strategy"]: entry for entry in body["strategies"]}
    assert list(by) == ["fusion", "profiles", "lightgbm", "cell-count", "random", "similarity"]
    assert by["profiles"]["hits_mean"] > max(by[name]["hits_mean"] for name in ("lightgbm", "cell-count", "random"))
    assert "image profiles: 90 of 96 compounds in values.csv have one; 1 profiles are of compounds that are" in out


def test_without_a_cell_count_it_is_said_and_one_can_be_named(run, screen):
    path = screen / "profiles.csv"
    path.write_text(path.read_text().replace("n_cells", "glow"))
    code, out, _ = replay(run, screen, "--profiles", path, "--strategy", "profiles")
    assert code == 0
    assert "note: no cell-count baseline stands beside these results: no column of the image profiles" in out
    assert not re.search("^cell-count", out, re.MULTILINE)
    code, out, _ = replay(run, screen, "--profiles", path, "--strategy", "profiles", "--cell-count", "glow")
    assert code == 0
    assert re.search("^cell-count", out, re.MULTILINE)


BAD = [
    (("--strategy", "fusion"), "fusion learns from image profiles, and none are given; name their file: --profiles"),
    (("--id", "compound_id"), "--id and --cell-count tell of image profiles, and none are given"),
    (("--profiles", "{}/none.csv"), "there is no such file of image profiles"),
    (("--profiles", "{}/profiles.csv", "--id", "smiles"), "none of its 91 compounds is in values.csv: here 'X0', 'X1'"),
    (("--profiles", "{}/profiles.csv", "--id", "name"), "there is no column 'name' (id column)"),
    (("--profiles", "{}/profiles.csv", "--cell-count", "cells"), "no column 'cells' to be the cell count"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=[says[:25] for _, says in BAD])
def test_what_cannot_be_replayed_is_refused(run, screen, options, says):
    code, _, err = replay(run, screen, *(text.format(screen) for text in options))
    assert code == 2
    assert says in re.sub(r"\s+", " ", err)


def test_a_file_without_names_wants_the_column(run, screen):
    path = screen / "values.csv"
    path.write_text(path.read_text().replace("compound_id", "label"))
    code, _, err = replay(run, screen, "--profiles", screen / "profiles.csv")
    assert code == 2
    assert "no column is called like a compound's name" in re.sub(r"\s+", " ", err)
