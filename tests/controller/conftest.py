"""Commands typed in this process; databases for the store's tests: a new SQLite file, or a new schema on a throw-away
PostgreSQL cluster."""

import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli import main
from controller.store import open_store
from controller.store.store import Store

_DEBIAN = "/usr/lib/postgresql/15/bin"
_names = itertools.count()


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


class Cluster:
    """A PostgreSQL server of our own; reached by a socket in its folder only."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder = binaries, folder
        self.data = folder / "data"
        self.user = _unprivileged(folder)
        self._run("initdb", "-D", str(self.data), "-U", "lab", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=40"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def new_database(self) -> str:
        """Return the address of an empty schema: to a store the same as a database, and 20 times as fast."""
        import psycopg

        name = f"lab_{next(_names)}"
        with psycopg.connect(f"host={self.folder} user=lab dbname=postgres", autocommit=True) as session:
            session.execute(f"CREATE SCHEMA {name}")
        return f"postgresql+psycopg://lab@/postgres?host={self.folder}&options=-csearch_path%3D{name}"

    def _run(self, program: str, *arguments: str) -> None:
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        command = [str(self.binaries / program), *arguments]
        # To a file: the server keeps pg_ctl's output open, so reading a pipe to its end would never end.
        with (self.folder / "out").open("ab") as out:
            done = subprocess.run(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/", env=environment, **who
            )
        assert done.returncode == 0, (self.folder / "out").read_text()


def _unprivileged(folder: Path) -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: give the folder to somebody else."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return user


def _binaries() -> Path | None:
    found = shutil.which("initdb", path=os.pathsep.join([_DEBIAN, os.environ["PATH"]]))
    return Path(found).parent if found else None


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (no initdb)")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'nextplate[postgres]'")
    # Not tmp_path: the server's user may not enter it, and its name is too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="np-pg-", dir="/tmp"))
    try:
        server = Cluster(binaries, folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
