"""Add embedding spaces and their vectors."""

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embedding_spaces",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("chunking", sa.Text(), nullable=False),
        sa.Column(
            "chunking_settings",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("max_tokens", sa.Integer(), nullable=False),
        sa.Column(
            "prompts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("normalize", sa.Boolean(), nullable=False),
        sa.Column("distance", sa.Text(), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("m", sa.Integer(), nullable=False),
        sa.Column("ef_construction", sa.Integer(), nullable=False),
        sa.Column("ef_search", sa.Integer(), server_default=sa.text("80"), nullable=False),
        sa.Column("status", sa.Text(), server_default="building", nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("distance IN ('cosine', 'l2', 'ip')", name=op.f("ck_embedding_spaces_distance_known")),
        sa.CheckConstraint("kind IN ('chunks', 'messages', 'memories')", name=op.f("ck_embedding_spaces_kind_known")),
        sa.CheckConstraint("status IN ('building', 'live', 'retired')", name=op.f("ck_embedding_spaces_status_known")),
        sa.CheckConstraint("storage IN ('vector', 'halfvec')", name=op.f("ck_embedding_spaces_storage_known")),
        sa.CheckConstraint("dimensions BETWEEN 1 AND 4000", name=op.f("ck_embedding_spaces_dimensions_indexable")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedding_spaces")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_embedding_spaces_fingerprint")),
        schema="rag",
    )
    op.create_index(
        "uq_embedding_spaces_live",
        "embedding_spaces",
        ["kind"],
        unique=True,
        schema="rag",
        postgresql_where=sa.text("status = 'live'"),
    )
    op.create_table(
        "embeddings",
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("embedding", pgvector.sqlalchemy.VECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            ["rag.embedding_spaces.id"],
            name=op.f("fk_embeddings_space_id_embedding_spaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("space_id", "content_hash", name=op.f("pk_embeddings")),
        schema="rag",
        postgresql_partition_by="LIST (space_id)",
    )
    op.create_table(
        "embedding_failures",
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            ["rag.embedding_spaces.id"],
            name=op.f("fk_embedding_failures_space_id_embedding_spaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("space_id", "content_hash", name=op.f("pk_embedding_failures")),
        schema="rag",
    )
    op.create_table(
        "query_vectors",
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("query_hash", sa.LargeBinary(), nullable=False),
        sa.Column("embedding", pgvector.sqlalchemy.VECTOR(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            ["rag.embedding_spaces.id"],
            name=op.f("fk_query_vectors_space_id_embedding_spaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("space_id", "query_hash", name=op.f("pk_query_vectors")),
        schema="rag",
    )


def downgrade() -> None:
    # The view, the partitions and the latency probes are created at run time; the next run creates them again.
    op.execute("DROP VIEW IF EXISTS rag.live_chunks")
    op.execute(
        "DO $$ DECLARE probe regclass; BEGIN "
        "FOR probe IN SELECT oid FROM pg_class WHERE relnamespace = 'rag'::regnamespace "
        "AND relkind = 'r' AND relname ~ '^latency_probe_[0-9]+$' "
        "LOOP EXECUTE 'DROP TABLE ' || probe; END LOOP; END $$"
    )
    op.drop_table("query_vectors", schema="rag")
    op.drop_table("embedding_failures", schema="rag")
    op.drop_table("embeddings", schema="rag")
    op.drop_table("embedding_spaces", schema="rag")
