"""What is installed from a wheel works outside the checkout: migrations, templates, console script."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {"nextplate", "protocols", "drivers", "sim", "controller"}

OPEN_A_STORE = """
import sys
from datetime import UTC, datetime
import controller, nextplate
from controller.store import NewEvent, open_store
for module in (controller, nextplate):
    assert "site-packages" in module.__file__, module.__file__
with open_store(sys.argv[1], create=True) as store:
    store.append([NewEvent("x", datetime(2026, 1, 1, tzinfo=UTC), None, {})])
    print(store.verify().hash)
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of the tracked and new files, and a wheel built from that sdist."""
    pytest.importorskip("build", reason="the package build is not installed: pip install build")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so nothing says which files belong to it")
    for name in listed.stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel in it, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


def test_wheel_holds_the_five_packages_and_no_alembic(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == ROOMS
    assert not [n for n in names if "__pycache__" in n or n.startswith("tests")]


def test_wheel_ships_every_migration_and_template(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    migrations = {f"controller/migrations/{p.relative_to(ROOT / 'alembic')}" for p in _files(ROOT / "alembic")}
    assert migrations <= names
    for room in ("controller", "protocols"):
        templates = {str(p.relative_to(ROOT)) for p in _files(ROOT / room / "templates")}
        assert templates <= names


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]


def test_wheel_ships_every_module_of_the_tree(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ROOMS:
        base = ROOT / "src" if room == "nextplate" else ROOT
        assert {str(p.relative_to(base)) for p in (base / room).rglob("*.py")} <= names, room


def test_sdist_has_what_a_packager_needs(dist: Path):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"alembic/env.py", "alembic/versions/0001_first.py", "alembic.ini", "setup.py", "pyproject.toml"} <= names
    assert "tests/controller/test_packaging.py" in names


def test_installed_wheel_opens_a_fresh_store_outside_the_checkout(python: Path, tmp_path: Path):
    command = [str(python), "-I", "-c", OPEN_A_STORE, f"sqlite:///{tmp_path / 'nextplate.db'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 64


def test_installed_console_script_answers_outside_the_checkout(python: Path, tmp_path: Path):
    script = "import sys; sys.argv = ['nextplate', '--help']; from controller.cli import main; main()"
    done = subprocess.run([str(python), "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nextplate" in done.stdout
