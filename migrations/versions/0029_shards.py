"""Add shards, with listings that they share, and claims of texts that are being embedded."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

LOCKS = {"project_failures": "another primary key over the few rows of failed projects"}


def upgrade() -> None:
    op.add_column("project_failures", sa.Column("shard", sa.Text(), server_default="", nullable=False), schema="rag")
    op.drop_constraint(op.f("pk_project_failures"), "project_failures", schema="rag")
    op.create_primary_key(
        op.f("pk_project_failures"), "project_failures", ["project_id", "stage", "shard"], schema="rag"
    )
    op.create_table(
        "shard_refreshes",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["rag.projects.id"],
            name=op.f("fk_shard_refreshes_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "shard", name=op.f("pk_shard_refreshes")),
        schema="rag",
    )
    op.create_table(
        "source_listings",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("selection", sa.Text(), nullable=False),
        sa.Column("wanted_by", sa.Text(), nullable=False),
        sa.Column("read_by", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["rag.projects.id"],
            name=op.f("fk_source_listings_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_listings")),
        sa.UniqueConstraint(
            "project_id", "selection", "wanted_by", name=op.f("uq_source_listings_project_id_selection_wanted_by")
        ),
        schema="rag",
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "listing_parts",
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("started", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["listing_id"],
            ["rag.source_listings.id"],
            name=op.f("fk_listing_parts_listing_id_source_listings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("listing_id", "number", name=op.f("pk_listing_parts")),
        schema="rag",
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "listed_files",
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("file_path", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("readers", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("readers_error", sa.Text(), nullable=True),
        schema="rag",
        prefixes=["UNLOGGED"],
    )
    op.create_index("ix_listed_files_listing_id_position", "listed_files", ["listing_id", "position"], schema="rag")

    op.create_table(
        "embedding_claims",
        sa.Column("space_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("space_id", "content_hash", name=op.f("pk_embedding_claims")),
        schema="rag",
        prefixes=["UNLOGGED"],
    )


def downgrade() -> None:
    op.drop_table("embedding_claims", schema="rag")
    op.drop_table("listed_files", schema="rag")
    op.drop_table("listing_parts", schema="rag")
    op.drop_table("source_listings", schema="rag")
    op.drop_table("shard_refreshes", schema="rag")
    # The older version knows one failure of a project in a stage.
    op.execute("DELETE FROM rag.project_failures WHERE shard <> ''")
    op.drop_constraint(op.f("pk_project_failures"), "project_failures", schema="rag")
    op.create_primary_key(op.f("pk_project_failures"), "project_failures", ["project_id", "stage"], schema="rag")
    op.drop_column("project_failures", "shard", schema="rag")
