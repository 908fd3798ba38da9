"""Allow embedding spaces of tables that other packages register: the kind is any name, no longer one of three."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

LOCKS = {"embedding_spaces": "has one row per space: the CHECK takes no time"}

_KINDS = "kind IN ('chunks', 'messages', 'memories')"
_DROP_OTHER_SPACES = """
DO $$ DECLARE space integer; BEGIN
FOR space IN SELECT id FROM rag.embedding_spaces WHERE kind NOT IN ('chunks', 'messages', 'memories') LOOP
    EXECUTE format('DROP TABLE IF EXISTS rag.embeddings_%s, rag.latency_probe_%s', space, space);
    DELETE FROM rag.embedding_spaces WHERE id = space;
END LOOP; END $$
"""


def upgrade() -> None:
    op.drop_constraint(op.f("ck_embedding_spaces_kind_known"), "embedding_spaces", schema="rag")
    op.create_check_constraint(
        op.f("ck_embedding_spaces_kind_is_name"), "embedding_spaces", "kind ~ '^[a-z][a-z0-9_]{0,39}$'", schema="rag"
    )


def downgrade() -> None:
    op.execute(_DROP_OTHER_SPACES)
    op.drop_constraint(op.f("ck_embedding_spaces_kind_is_name"), "embedding_spaces", schema="rag")
    op.create_check_constraint(op.f("ck_embedding_spaces_kind_known"), "embedding_spaces", _KINDS, schema="rag")
