"""Which schema versions there are, and whether a database has the one this nextplate works with."""

from collections.abc import Collection

from controller.store.address import Address, absent
from nextplate.errors import SchemaMismatch

REVISIONS: tuple[str, ...] = ("0001", "0002", "0003")
"""Every Alembic revision, oldest first; the last is the schema that controller.store.tables describes."""


def check_revisions(
    address: Address,
    tables: Collection[str],
    revisions: Collection[str],
    known: tuple[str, ...] = REVISIONS,
) -> None:
    """Refuse a database of another schema version.

    Args:
        address: where it is.
        tables: names of the tables it has.
        revisions: what its alembic_version table holds.
        known: the revisions there are.

    Raises:
        SchemaMismatch: older, newer, or not nextplate's; says which command helps.
        StoreError: nothing is in it.
    """
    found = found_revision(address, tables, revisions, known)
    if found is None:
        raise absent(address)
    if found != known[-1]:
        raise SchemaMismatch(
            f"{address.shown} was written by an older nextplate (schema {found}, this one works with {known[-1]}); "
            f"copy the file to a safe place and run `nextplate db upgrade --lab {address.lab}`"
        )


def found_revision(
    address: Address, tables: Collection[str], revisions: Collection[str], known: tuple[str, ...] = REVISIONS
) -> str | None:
    """Return the revision of a nextplate database; None when nothing is in it.

    Raises:
        SchemaMismatch: newer than this nextplate, or not nextplate's.
    """
    mine = set(tables) - {"alembic_version"}
    if not mine and not revisions:
        return None
    if "journal" not in mine or len(revisions) != 1:
        raise SchemaMismatch(
            f"{address.shown} is not a nextplate database (it holds the tables {', '.join(sorted(mine)[:5])}); "
            "name another file or an empty database"
        )
    found = next(iter(revisions))
    if found not in known:
        raise SchemaMismatch(
            f"{address.shown} was written by a newer nextplate (schema {found}, this one works with {known[-1]}); "
            "install that version: there is no way back, and `nextplate db upgrade` only goes forward"
        )
    return found
