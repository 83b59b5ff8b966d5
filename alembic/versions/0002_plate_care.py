"""What plates may suffer.

Summary: ``plate_care`` holds what people say of a plate: how often it has been thawed, how often it may be, until
when it keeps, what a well of it loses to the air. ``plate_moves`` holds every move of a plate that an arm confirmed,
keyed by the command and its number there, so that none counts twice; thaws and time in the open follow from it. Moves of
before this revision are in the journal and not in the table: they are not counted.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "plate_care",
        sa.Column("plate", sa.Text(), nullable=False),
        sa.Column("n_thaws", sa.Integer(), nullable=False),
        sa.Column("max_thaws", sa.Integer(), nullable=True),
        sa.Column("expires", sa.Text(), nullable=True),
        sa.Column("evaporation_nl_per_h", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("plate", name="pk_plate_care"),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name="fk_plate_care_seq"),
        sa.CheckConstraint("n_thaws >= 0 AND evaporation_nl_per_h >= 0", name=op.f("ck_plate_care_counts")),
    )
    op.create_table(
        "plate_moves",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "number", name="pk_plate_moves"),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name="fk_plate_moves_seq"),
    )
