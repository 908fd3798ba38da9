"""Add the user and the tenant of a key."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("user_name", sa.Text(), nullable=True), schema="rag")
    op.add_column("api_keys", sa.Column("tenant", sa.Text(), nullable=True), schema="rag")


def downgrade() -> None:
    op.drop_column("api_keys", "tenant", schema="rag")
    op.drop_column("api_keys", "user_name", schema="rag")
