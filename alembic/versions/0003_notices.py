"""What people are told.

Summary: ``notices`` holds every message that was due: its text, its channel, and how far it got. Which messages are due
follows from the journal, so a row is never the only trace of one; it says whether it went out. ``id`` is the same for
the same matter, step and channel for ever, and is told to the receiver.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "notices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("kept_at", sa.Text(), nullable=False),
        sa.Column("told_at", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.ForeignKeyConstraint(["event_seq"], ["journal.seq"], name="fk_notices_event_seq"),
        sa.CheckConstraint(
            "state IN ('waiting', 'sending', 'sent', 'given-up')", name=op.f("ck_notices_state")
        ),
        sa.CheckConstraint("step >= 0 AND attempts >= 0", name=op.f("ck_notices_counts")),
    )
