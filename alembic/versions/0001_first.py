"""The first schema.

Summary: one append-only table, ``journal``, holds every event of a lab in a hash chain. Triggers refuse to
change or delete an event and to leave a gap in the numbering; they are the first fence, the hashes are the
proof. All other tables are projected from the journal, in the transaction of the event that a row's ``seq``
names:

* ``campaigns``; ``libraries`` and their ``compounds`` (``row`` is the row of the feature arrays).
* ``stock``: source wells with the volume they came with. What is in them now is that volume plus the sum of
  ``stock_movements``, which are keyed by the device command and the transfer, so none counts twice.
* ``tip_racks`` and ``tips_used``: a tip is used once.
* ``plates``, their ``wells`` (the layout), ``runs`` of devices on them.
* ``inbox``: what operators told another process than the controller's loop; ``seq`` is empty until the loop has
  taken it into the journal.
* ``measurements`` (where each plate's numbers are on disk), ``responses`` and ``predictions``.

Revision: 0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the fences."""
    _journal()
    _fences()
    _library()
    _stock()
    _tips()
    _plates()
    _results()
    _inbox()


def _text(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _integer(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _big(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _float(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Float(), nullable=nullable)


def _flag(name: str) -> sa.Column:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _pk(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _fk(table: str, *columns: str, to: str, of: tuple[str, ...]) -> sa.ForeignKeyConstraint:
    target = [f"{to}.{name}" for name in of]
    return sa.ForeignKeyConstraint(list(columns), target, name=f"fk_{table}_{columns[0]}")


def _ck(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _seq(table: str) -> tuple[sa.Column, sa.ForeignKeyConstraint]:
    return _big("seq"), _fk(table, "seq", to="journal", of=("seq",))


def _journal() -> None:
    # INTEGER PRIMARY KEY is SQLite's own row number.
    seq = sa.Column(
        "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
    )
    op.create_table(
        "journal",
        seq, _text("time"), _text("kind"), _text("campaign", nullable=True), _text("payload"),
        _text("previous_hash"), _text("hash"),
        _pk("journal", "seq"),
        _ck("journal", "seq", "seq > 0"),
        _ck("journal", "hash", "length(hash) = 64 AND length(previous_hash) = 64"),
    )


def _fences() -> None:
    statements = _SQLITE_FENCES if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_FENCES
    for statement in statements:
        op.execute(sa.text(statement))


_SQLITE_FENCES = (
    """
    CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
    """,
    """
    CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
    """,
    """
    CREATE TRIGGER journal_no_gap BEFORE INSERT ON journal
    WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM journal)
    BEGIN SELECT RAISE(ABORT, 'the journal has no gaps'); END
    """,
)

_POSTGRESQL_FENCES = (
    """
    CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$
    """,
    """
    CREATE FUNCTION journal_has_no_gaps() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM journal) THEN
            RAISE EXCEPTION 'the journal has no gaps';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER journal_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()
    """,
    """
    CREATE TRIGGER journal_no_gap BEFORE INSERT ON journal
    FOR EACH ROW EXECUTE FUNCTION journal_has_no_gaps()
    """,
)


def _library() -> None:
    op.create_table(
        "campaigns",
        _text("campaign"), _big("seed"), _integer("rounds"), _text("library"),
        _text("started_at"), _text("settings"),
        *_seq("campaigns"),
        _pk("campaigns", "campaign"),
        _ck("campaigns", "rounds", "rounds > 0"),
    )
    op.create_table(
        "libraries",
        _text("library"), _integer("n_compounds"),
        *_seq("libraries"),
        _pk("libraries", "library"),
        _ck("libraries", "n_compounds", "n_compounds > 0"),
    )
    op.create_table(
        "compounds",
        _text("library"), _integer("row"), _text("compound_id"), _text("smiles"), _text("raw_smiles"),
        _pk("compounds", "library", "row"),
        _fk("compounds", "library", to="libraries", of=("library",)),
        sa.UniqueConstraint("library", "compound_id", name="uq_compounds_library"),
        _ck("compounds", "row", "\"row\" >= 0 AND compound_id <> ''"),
    )


def _stock() -> None:
    op.create_table(
        "stock",
        _text("source_plate"), _text("source_well"), _text("compound_id"), _big("initial_volume_nl"),
        _float("concentration_um"), _text("labware"), _text("file_digest"),
        *_seq("stock"),
        _pk("stock", "source_plate", "source_well"),
        _ck("stock", "initial_volume_nl", "initial_volume_nl > 0"),
        _ck("stock", "concentration_um", "concentration_um >= 0"),
    )
    op.create_index("ix_stock_compound_id", "stock", ["compound_id"])
    op.create_table(
        "stock_movements",
        _text("key"), _integer("transfer_id"), _text("plate"), _text("well"), _big("delta_nl"),
        *_seq("stock_movements"),
        _pk("stock_movements", "key", "transfer_id"),
        _fk("stock_movements", "plate", "well", to="stock", of=("source_plate", "source_well")),
    )
    op.create_index("ix_stock_movements_plate", "stock_movements", ["plate", "well"])


def _tips() -> None:
    op.create_table(
        "tip_racks",
        _text("barcode"), _text("labware"), _integer("position"),
        *_seq("tip_racks"),
        _pk("tip_racks", "barcode"),
        sa.UniqueConstraint("position", name="uq_tip_racks_position"),
    )
    op.create_table(
        "tips_used",
        _text("rack"), _text("well"), _text("key"),
        *_seq("tips_used"),
        _pk("tips_used", "rack", "well"),
        _fk("tips_used", "rack", to="tip_racks", of=("barcode",)),
    )


def _plates() -> None:
    op.create_table(
        "plates",
        _text("barcode"), _text("campaign"), _integer("round"), _text("labware"),
        _text("layout_digest", nullable=True),
        *_seq("plates"),
        _pk("plates", "barcode"),
        _fk("plates", "campaign", to="campaigns", of=("campaign",)),
        _ck("plates", "round", "round >= 0"),
    )
    op.create_index("ix_plates_campaign", "plates", ["campaign", "round"])
    op.create_table(
        "wells",
        _text("plate"), _text("well"), _text("role"), _text("compound_id", nullable=True),
        _integer("replicate"), _float("dose_um"), _text("reason"),
        *_seq("wells"),
        _pk("wells", "plate", "well"),
        _fk("wells", "plate", to="plates", of=("barcode",)),
        _ck("wells", "role", "role IN ('sample', 'negative', 'positive', 'empty')"),
        _ck("wells", "compound_id", "(role = 'sample') = (compound_id IS NOT NULL)"),
        _ck("wells", "dose_um", "replicate >= 0 AND dose_um >= 0"),
    )
    op.create_index("ix_wells_compound_id", "wells", ["compound_id"])
    op.create_table(
        "runs",
        _text("key"), _text("campaign"), _integer("round"), _text("plate"), _text("device"), _text("command"),
        _text("protocol_digest", nullable=True), _integer("load", nullable=True), _text("status"),
        _text("started_at"), _text("message"),
        *_seq("runs"),
        _pk("runs", "key"),
        _fk("runs", "campaign", to="campaigns", of=("campaign",)),
        _ck("runs", "status", "status IN ('done', 'failed')"),
    )
    op.create_index("ix_runs_campaign", "runs", ["campaign", "round"])


def _results() -> None:
    op.create_table(
        "measurements",
        _text("plate"), _text("digest"), _text("path"), _text("readout"), _integer("n_wells"),
        _integer("n_images"),
        *_seq("measurements"),
        _pk("measurements", "plate", "digest"),
        _fk("measurements", "plate", to="plates", of=("barcode",)),
        _ck("measurements", "counts", "n_wells >= 0 AND n_images >= 0"),
    )
    op.create_table(
        "predictions",
        _text("campaign"), _integer("round"), _text("compound_id"), _float("mean"), _float("spread"),
        _float("lower"), _float("upper"), _float("p_hit"), _flag("is_picked"),
        *_seq("predictions"),
        _pk("predictions", "campaign", "round", "compound_id"),
        _fk("predictions", "campaign", to="campaigns", of=("campaign",)),
        _ck("predictions", "spread", "spread >= 0"),
        _ck("predictions", "interval", "lower <= upper"),
        _ck("predictions", "p_hit", "p_hit >= 0 AND p_hit <= 1"),
    )
    op.create_table(
        "responses",
        _text("campaign"), _integer("round"), _text("plate"), _text("well"), _text("role"),
        _text("compound_id", nullable=True), _float("dose_um"), _float("activity", nullable=True),
        _float("viability", nullable=True), _text("flags"), _flag("is_used"), _flag("is_hit"), _flag("is_toxic"),
        *_seq("responses"),
        _pk("responses", "campaign", "round", "plate", "well"),
        _fk("responses", "campaign", to="campaigns", of=("campaign",)),
        _fk("responses", "plate", "well", to="wells", of=("plate", "well")),
        _ck("responses", "is_hit", "NOT is_hit OR (is_used AND activity IS NOT NULL)"),
    )
    op.create_index("ix_responses_compound_id", "responses", ["compound_id"])


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        _text("decision"),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        _pk("inbox", "id"),
        _fk("inbox", "seq", to="journal", of=("seq",)),
    )
