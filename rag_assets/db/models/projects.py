"""Projects: a source of documents with its settings; the name is the Dagster partition key."""

from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, BigInt, Identified, Json, Timestamp, Timestamped

# Ids of derived rows depend on the content alone: a rebuild gives the same ids, so that citations keep working.
_ID_NAMESPACE = uuid5(NAMESPACE_URL, "https://rag-assets/ids")


class Project(Identified, Timestamped, Base):
    """`declared_in` names the file or module that declares it; `removed_at` is when it stopped being a partition."""

    __tablename__ = "projects"
    __table_args__ = (
        CheckConstraint(r"name ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'", name="name_is_slug"),
        Index("ix_projects_restricted", "id", postgresql_where=text("settings ? 'readers'")),
    )

    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    source_uri: Mapped[str]
    settings: Mapped[Json]
    declared_in: Mapped[str | None]
    removed_at: Mapped[Timestamp | None]
    refreshed_at: Mapped[Timestamp | None]


class ProjectFailure(Timestamped, Base):
    """The last run of this stage failed for this project, or this shard of it; it may have succeeded for others."""

    __tablename__ = "project_failures"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("rag.projects.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[str] = mapped_column(
        primary_key=True, server_default="", doc="The shard, like 02of16; empty for the first or only one."
    )
    run_id: Mapped[str | None]
    error: Mapped[str]


class ShardRefresh(Base):
    """When the source of a shard was last read; the oldest of all shards is that of their project."""

    __tablename__ = "shard_refreshes"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("rag.projects.id", ondelete="CASCADE"), primary_key=True)
    shard: Mapped[str] = mapped_column(primary_key=True, doc="The shard, like 01of16.")
    refreshed_at: Mapped[Timestamp] = mapped_column(server_default=func.now())


_UNLOGGED = {"prefixes": ["UNLOGGED"]}


class SourceListing(Base):
    """What the source of a project with shards lists, for all shards that one backfill or run refreshes.

    Not logged, as its parts and files: after a crash of the server they are gone together, and the source is listed
    again.
    """

    __tablename__ = "source_listings"
    __table_args__ = (UniqueConstraint("project_id", "selection", "wanted_by"), _UNLOGGED)

    # Random: a number would come again after a crash.
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("rag.projects.id", ondelete="CASCADE"))
    selection: Mapped[str] = mapped_column(doc="A hash of the source and its globs: others list something else.")
    wanted_by: Mapped[str] = mapped_column(doc="The backfill or run; its shards share the listing.")
    read_by: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=text("'{}'"), doc="The shards that are done with it."
    )
    created_at: Mapped[Timestamp] = mapped_column(server_default=func.now())


class ListingPart(Base):
    """One part of a listing, by a prefix of the source; a part that is listed is not listed again."""

    __tablename__ = "listing_parts"
    __table_args__ = (_UNLOGGED,)

    listing_id: Mapped[UUID] = mapped_column(ForeignKey("rag.source_listings.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    prefix: Mapped[str]
    started: Mapped[bool] = mapped_column(server_default=text("false"))
    files: Mapped[BigInt | None] = mapped_column(doc="The number of its files; NULL until it is listed.")


class ListedFile(Base):
    """A file of a listing; `part` is the part that has it."""

    __tablename__ = "listed_files"
    __table_args__ = (Index("ix_listed_files_listing_id_position", "listing_id", "position"), _UNLOGGED)

    listing_id: Mapped[UUID] = mapped_column(Uuid)
    position: Mapped[BigInt] = mapped_column(doc="By the hash of the path: each shard is a range of positions.")
    part: Mapped[int]
    size_bytes: Mapped[BigInt | None]
    file_path: Mapped[str] = mapped_column(Text)
    version: Mapped[str]
    readers: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    readers_error: Mapped[str | None]

    # The table has no key; the mapper wants one.
    __mapper_args__ = {"primary_key": [listing_id, file_path]}  # noqa: RUF012


def derive_project_id(name: str) -> UUID:
    return uuid5(_ID_NAMESPACE, name)
