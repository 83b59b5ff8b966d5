"""A throw-away PostgreSQL server."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEBIAN = "/usr/lib/postgresql/15/bin"
_names = itertools.count()


class Cluster:
    """A PostgreSQL server of our own; reached by a socket in its folder only."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.data = folder / "data"
        self.user = _unprivileged(folder)
        self._run("initdb", "-D", str(self.data), "-U", "lab", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=40"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop the server at once, as a kill would."""
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
        command = [str(self.programs / program), *arguments]
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


def binaries() -> Path | None:
    found = shutil.which("initdb", path=os.pathsep.join([_DEBIAN, os.environ["PATH"]]))
    return Path(found).parent if found else None


@contextmanager
def running() -> Iterator[Cluster]:
    """Run a server while the block does.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed (no initdb)")
    # Not a test's own folder: the server's user may not enter it, and its name is too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="np-pg-", dir="/tmp"))
    try:
        server = Cluster(programs, folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
