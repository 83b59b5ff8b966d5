"""The README's examples work as they stand there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from controller.settings import DeviceSection

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Fenced blocks of a language, without the indentation of a list they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, flags=re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in text.split("\n")) for indent, text in found]


@pytest.fixture
def examples(tmp_path: Path) -> list[str]:
    """The python examples as modules in a folder, by the names that their first lines give; returned in order."""
    names = []
    for number, text in enumerate(blocks("python")):
        first = re.match(r"# (\w+)\.py\n", text)
        names.append(first[1] if first else f"example_{number}")
        (tmp_path / f"{names[-1]}.py").write_text(text)
    assert names
    return names


def run(folder: Path, *arguments: str, **more: str) -> str:
    paths = [folder, ROOT, ROOT / "src", ROOT / "tests" / "support"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))} | more
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_every_python_example_runs(examples: list[str], tmp_path: Path):
    run(tmp_path, "-W", "error", "-c", "".join(f"import {name}\n" for name in examples))


@pytest.mark.parametrize(("rigs", "fewest"), [("tool_mover_rig", 10), ("acme_rig", 20)])
def test_the_example_drivers_keep_the_contract_of_every_driver(
    examples: list[str], tmp_path: Path, rigs: str, fewest: int
):
    # The suite of every port; those of single kinds of device do not take a rig from outside.
    suite = [str(ROOT / "tests" / "contract" / "test_device_ports.py"), "-q", "-p", "no:cacheprovider"]
    suite += ["-c", str(ROOT / "pyproject.toml")]
    done = run(tmp_path, "-m", "pytest", *suite, "--rootdir", str(ROOT), NEXTPLATE_RIGS=rigs)
    passed = re.search(r"(\d+) passed", done)
    assert passed
    assert int(passed[1]) >= fewest


def test_the_examples_of_lab_toml_are_valid():
    for text in blocks("toml"):
        for device in tomllib.loads(text).get("device", ()):
            DeviceSection.model_validate(device)


def test_the_example_belief_and_the_example_rule_do_their_work(examples: list[str], tmp_path: Path):
    code = """
import numpy as np, ridge, hopeful
from pathlib import Path
from nextplate.compound import Features
from nextplate.models import cross_predict
from nextplate.acquisition import Knobs
from nextplate.prediction import Prediction

rng = np.random.default_rng(1)
bits = rng.random((200, 2048)) < 0.05
bits[:, :5] = rng.random((200, 5)) < 0.5
y = bits[:, :5].sum(axis=1) * 0.3
ids, rows = tuple(map(str, range(200))), np.arange(200)
packed = np.packbits(bits, axis=1)
features = Features(Path(), "digest", ids, ids, packed, np.zeros((200, 1), np.float32), ("a",), packed, packed)
mean, spread = cross_predict(ridge, features, rows, y, seed=3)
assert np.corrcoef(mean, y)[0, 1] > 0.3 and (spread > 0).all()
belief = ridge.fit(features, rows, y)
ridge.save(belief, Path("belief"))
assert np.array_equal(ridge.predict(ridge.load(Path("belief")), features), ridge.predict(belief, features))
prediction = Prediction(("a", "b"), np.zeros(2), np.ones(2), -np.ones(2), np.array([2.0, np.inf]), 0.9, np.zeros(2))
assert hopeful.hopeful(prediction, Knobs(best=1.0), rng).tolist() == [2.0, 0.0]
"""
    run(tmp_path, "-W", "error", "-c", code)
