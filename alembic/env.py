"""Run the migrations on the connection that controller.store hands over, or on ``alembic -x url=...``."""

from alembic import context
from sqlalchemy import Connection

from controller.store.address import parse_address
from controller.store.engine import make_engine, writing
from controller.store.tables import METADATA


def run(connection: Connection) -> None:
    """Run them in the caller's transaction: all, or none."""
    context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def run_from_command_line() -> None:
    """Open the database named by ``-x url=``; for developers who write migrations."""
    url = context.get_x_argument(as_dictionary=True).get("url")
    if url is None:
        raise SystemExit("say which database: alembic -x url=sqlite:///lab/nextplate.db ...")
    address = parse_address(url)
    with writing(make_engine(address), address) as connection:
        run(connection)


given = context.config.attributes.get("connection")
if given is None:
    run_from_command_line()
else:
    run(given)
