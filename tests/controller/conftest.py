"""Commands typed in this process; databases for the store's tests: a new SQLite file, or a new schema on a throw-away
PostgreSQL cluster."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Cluster, binaries, running

from controller.cli import main
from controller.store import open_store
from controller.store.store import Store


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Type a command in this process: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nextplate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (no initdb)")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'nextplate[postgres]'")
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nextplate.db'}"
    url: str = request.getfixturevalue("cluster").new_database()
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with open_store(database_url, create=True) as opened:
        yield opened
