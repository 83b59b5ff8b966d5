"""A database has exactly this version's schema, or it is refused with the command that helps."""

import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect

from controller.store import NewEvent, RowWrite, open_store, read_journal, schema, upgrade, versions
from controller.store.address import parse_address
from controller.store.schema import alembic_config, migrations_folder
from controller.store.store import Store
from controller.store.tables import METADATA
from nextplate.errors import SchemaMismatch, StoreAway, StoreError

ROOT = Path(__file__).parents[3]


def test_alembic_folder_is_no_package():
    assert not (ROOT / "alembic" / "__init__.py").exists(), "it would shadow the library of that name"


def test_the_code_knows_every_revision():
    script = ScriptDirectory.from_config(alembic_config())
    assert tuple(r.revision for r in reversed(list(script.walk_revisions()))) == versions.REVISIONS


def test_migrations_never_import_the_live_tables():
    for path in (migrations_folder() / "versions").glob("*.py"):
        text = path.read_text()
        assert text.startswith('"""'), f"{path.name} begins with a prose summary"
        assert "controller" not in text.replace(text.split('"""')[1], ""), path.name


def test_migrations_make_what_the_tables_say(store: Store):
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def _facts(engine: Engine) -> dict[str, object]:
    look = inspect(engine)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)],
            look.get_pk_constraint(name),
            sorted(look.get_foreign_keys(name), key=str),
            sorted(look.get_unique_constraints(name), key=str),
            sorted(look.get_check_constraints(name), key=str),
            sorted(look.get_indexes(name), key=str),
        )
        for name in sorted(set(look.get_table_names()) - {"alembic_version"})
    }


def test_migrations_make_the_same_constraints_as_create_all(store: Store, request, tmp_path: Path):
    other = f"sqlite:///{tmp_path / 'other.db'}"
    if not store.address.is_file:
        other = request.getfixturevalue("cluster").new_database()
    engine = create_engine(other)
    METADATA.create_all(engine)
    try:
        assert _facts(store._engine) == _facts(engine)
    finally:
        engine.dispose()


def test_an_absent_database_is_not_made_by_accident(tmp_path: Path):
    path = tmp_path / "lab" / "nextplate.db"
    for action in (open_store, upgrade, read_journal):
        with pytest.raises(StoreError, match=r"no lab database at .*nextplate\.db; `nextplate init .*lab` makes one"):
            action(path)
    assert not path.exists()


def test_creating_twice_changes_nothing(database_url: str):
    for _ in range(2):
        with open_store(database_url, create=True) as store:
            assert store.head().seq == 0
    with open_store(database_url) as store:
        assert store.verify().seq == 0
    assert upgrade(database_url) == (versions.REVISIONS[-1], versions.REVISIONS[-1])


def test_an_empty_database_is_not_a_lab(database_url: str, tmp_path: Path):
    (tmp_path / "nextplate.db").touch()
    for action in (open_store, read_journal):
        with pytest.raises(StoreError, match="no lab database"):
            action(database_url)
    assert upgrade(database_url) == ("empty", versions.REVISIONS[-1])
    with open_store(database_url) as store:
        assert store.head().seq == 0


def _stamp(store: Store, revision: str) -> None:
    with store._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")


def test_a_newer_database_is_refused(store: Store, database_url: str):
    _stamp(store, "0999")
    for action in (open_store, upgrade, read_journal, lambda url: open_store(url, create=True)):
        with pytest.raises(SchemaMismatch, match=r"newer nextplate \(schema 0999, this one works with 0003\)"):
            action(database_url)


def test_somebody_elses_database_is_refused(database_url: str):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    engine.dispose()
    for action in (open_store, upgrade, read_journal, lambda url: open_store(url, create=True)):
        with pytest.raises(SchemaMismatch, match=r"not a nextplate database .*customers"):
            action(database_url)


def test_an_older_database_is_refused_until_upgraded(store, database_url, tmp_path, monkeypatch):
    folder = tmp_path / "migrations"
    shutil.copytree(migrations_folder(), folder)
    (folder / "versions" / "0004_more.py").write_text(
        '"""Summary: one table more."""\nimport sqlalchemy as sa\nfrom alembic import op\n'
        'revision, down_revision, branch_labels, depends_on = "0004", "0003", None, None\n'
        'def upgrade():\n    op.create_table("more", sa.Column("n", sa.Integer()))\n'
    )
    known = (*versions.REVISIONS, "0004")
    address = parse_address(database_url)
    with pytest.raises(SchemaMismatch, match=r"older nextplate \(schema 0003, .* 0004\).*`nextplate db upgrade "):
        versions.check_revisions(address, {"journal", "alembic_version"}, {"0003"}, known)
    monkeypatch.setattr(schema, "migrations_folder", lambda: folder)
    monkeypatch.setattr(schema, "REVISIONS", known)
    assert schema.upgrade_schema(store._engine, address)[1] == "0004"
    assert "more" in inspect(store._engine).get_table_names()
    versions.check_revisions(address, {"journal"}, {"0004"}, known)


def test_a_lab_of_the_first_schema_keeps_its_journal_and_stock_through_the_upgrade(database_url, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(schema, "REVISIONS", ("0001",))
        before.setattr(versions, "REVISIONS", ("0001",))
        old = open_store(database_url, create=True)
        row = {"source_plate": "S", "source_well": "A01", "compound_id": "C", "initial_volume_nl": 9, "labware": "x"}
        stock = [{**row, "concentration_um": 1.0, "file_digest": "d"}]
        old.append([NewEvent("stock.added", datetime(2026, 1, 1, tzinfo=UTC), None, {})], [RowWrite("stock", stock)])
        head = old.head()
        old.close()
    with pytest.raises(SchemaMismatch, match="nextplate db upgrade"):
        open_store(database_url)
    assert upgrade(database_url) == ("0001", versions.REVISIONS[-1])
    with open_store(database_url) as store:
        assert store.verify() == head
        assert [well.volume_nl for well in store.stock_now()] == [9]
        assert store.plate_care() == {}


def test_a_failing_migration_leaves_nothing(database_url, tmp_path, monkeypatch):
    folder = tmp_path / "migrations"
    shutil.copytree(migrations_folder(), folder)
    path = folder / "versions" / "0001_first.py"
    path.write_text(path.read_text().replace("    _inbox()\n", "    raise RuntimeError('the power went')\n", 1))
    monkeypatch.setattr(schema, "migrations_folder", lambda: folder)
    with pytest.raises(RuntimeError):
        open_store(database_url, create=True)
    engine = create_engine(database_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    monkeypatch.undo()
    open_store(database_url, create=True).close()


def test_a_file_that_is_no_database(tmp_path: Path):
    path = tmp_path / "nextplate.db"
    path.write_text("SMILES,ID\n" * 1000)
    for action in (open_store, read_journal):
        with pytest.raises(StoreError, match=r"nextplate\.db is damaged or not a database"):
            action(path)


def test_a_cut_database(tmp_path: Path):
    path = tmp_path / "nextplate.db"
    open_store(path, create=True).close()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match="damaged"):
        open_store(path)


def test_an_unwritable_place(tmp_path: Path):
    with pytest.raises(StoreError, match="check that the folder exists"):
        open_store(tmp_path / "absent" / "nextplate.db", create=True)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://host/lab", "nextplate.db", "", "sqlite:///"]
)
def test_other_addresses_are_refused(url: str):
    with pytest.raises(StoreError, match="not a database nextplate can use"):
        open_store(url)


def test_an_unreachable_server_is_named_without_its_password():
    pytest.importorskip("psycopg")
    with pytest.raises(StoreAway, match="cannot reach postgresql") as caught:
        open_store("postgresql://lab:secret@127.0.0.1:1/lab")
    assert "secret" not in str(caught.value)


def test_importing_and_opening_load_no_alembic(tmp_path: Path):
    path = tmp_path / "nextplate.db"
    open_store(path, create=True).close()
    code = (
        "import sys; import controller.store as s; assert 'sqlalchemy' not in sys.modules;"
        f"s.read_journal('sqlite:///{path}');"
        "assert 'sqlalchemy' not in sys.modules;"
        f"s.open_store('sqlite:///{path}').close(); assert 'sqlalchemy' in sys.modules;"
        "assert not {'alembic', 'polars', 'numpy'} & set(sys.modules)"
    )
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)


def test_the_file_keeps_the_promises_of_its_settings(tmp_path: Path):
    with open_store(tmp_path / "nextplate.db", create=True) as store, store._engine.connect() as connection:
        asked = {p: connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")}
        assert asked == {"journal_mode": "wal", "synchronous": 2}
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert sqlite3.threadsafety >= 1
