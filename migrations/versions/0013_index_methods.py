"""Allow binary quantization (bit), IVFFlat, and vectors of up to 16,000 dimensions."""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

LOCKS = {"embedding_spaces": "has one row per space: reading it takes no time"}

_BEFORE = {"storage_known": "storage IN ('vector', 'halfvec')", "dimensions_indexable": "dimensions BETWEEN 1 AND 4000"}
_AFTER = {
    "storage_known": "storage IN ('vector', 'halfvec', 'bit')",
    "dimensions_indexable": "dimensions BETWEEN 1 AND 16000",
}


def upgrade() -> None:
    op.add_column(
        "embedding_spaces",
        sa.Column("method", sa.Text(), server_default="hnsw", nullable=False),
        schema="rag",
    )
    op.add_column(
        "embedding_spaces",
        sa.Column("oversampling", sa.Integer(), server_default=sa.text("16"), nullable=False),
        schema="rag",
    )
    _constrain(_AFTER | {"method_known": "method IN ('hnsw', 'ivfflat')"}, replaced=_BEFORE)


def downgrade() -> None:
    # For older versions: delete spaces with too many dimensions for their indexes, and give the others an index that
    # they know, which the next run builds.
    op.execute("DELETE FROM rag.embedding_spaces WHERE dimensions > 4000")
    op.execute(
        "UPDATE rag.embedding_spaces SET storage = CASE WHEN dimensions > 2000 THEN 'halfvec' ELSE 'vector' END "
        "WHERE storage = 'bit'"
    )
    _constrain(_BEFORE, replaced=[*_AFTER, "method_known"])
    op.drop_column("embedding_spaces", "oversampling", schema="rag")
    op.drop_column("embedding_spaces", "method", schema="rag")


def _constrain(wanted: dict[str, str], *, replaced: Iterable[str]) -> None:
    for name in replaced:
        op.drop_constraint(op.f(f"ck_embedding_spaces_{name}"), "embedding_spaces", schema="rag")
    for name, condition in wanted.items():
        op.create_check_constraint(op.f(f"ck_embedding_spaces_{name}"), "embedding_spaces", condition, schema="rag")
