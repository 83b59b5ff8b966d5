"""${message}

Summary of changes: SAY HERE IN PROSE what changes and what happens to the rows there are.

Revision: ${up_revision}, after ${down_revision}, written ${create_date}.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    ${upgrades if upgrades else "pass"}
