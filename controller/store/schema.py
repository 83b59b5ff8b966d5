"""Make, check and upgrade the schema."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, column, inspect, select, table

import controller
from controller.store.address import Address
from controller.store.engine import reading, writing
from controller.store.versions import REVISIONS, check_revisions, found_revision
from nextplate.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

_VERSION = table("alembic_version", column("version_num"))


EMPTY = "empty"
"""What upgrade_schema found where nothing was."""


def check_schema(engine: Engine, address: Address) -> None:
    """Refuse a database of another schema version; cheap, Alembic is not loaded.

    Raises:
        SchemaMismatch: older, newer, or not nextplate's.
        StoreError: nothing is in it.
    """
    with reading(engine, address) as connection:
        check_revisions(address, *_look(connection))


def create_schema(engine: Engine, address: Address) -> None:
    """Make the tables where there are none; a database that has them is only checked.

    Raises:
        SchemaMismatch: it holds something else, or another version.
    """
    with writing(engine, address) as connection:
        tables, revisions = _look(connection)
        if found_revision(address, tables, revisions) is None:
            _run_migrations(connection)
        else:
            check_revisions(address, tables, revisions)


def upgrade_schema(engine: Engine, address: Address) -> tuple[str, str]:
    """Run the migrations a database lacks, all or none; return (revision found or "empty", revision now).

    Raises:
        SchemaMismatch: newer than this nextplate, or not nextplate's.
    """
    with writing(engine, address) as connection:
        found = found_revision(address, *_look(connection))
        _run_migrations(connection)
    return found or EMPTY, REVISIONS[-1]


def migrations_folder() -> Path:
    """Return the folder of the migrations: ``controller/migrations`` in a wheel, ``alembic`` in the source tree.

    Raises:
        StoreError: neither is there.
    """
    package = Path(controller.__file__).parent
    for folder in (package / "migrations", package.parent / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise StoreError(f"the database migrations are missing beside {package}; install nextplate again")


def alembic_config() -> "Config":
    """Return Alembic's configuration, without a database."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _run_migrations(connection: Connection) -> None:
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, REVISIONS[-1])


def _look(connection: Connection) -> tuple[set[str], set[str]]:
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        return tables, set()
    return tables, set(connection.scalars(select(_VERSION.c.version_num)))
