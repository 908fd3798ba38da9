"""Projects: a source of documents with its settings; the name is the Dagster partition key."""

from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Identified, Json, Timestamp, Timestamped

# Ids of derived rows depend on the content alone: a rebuild gives the same ids, so that citations keep working.
_ID_NAMESPACE = uuid5(NAMESPACE_URL, "https://rag-assets/ids")


class Project(Identified, Timestamped, Base):
    """`declared_in` names the file or module that declares it; `removed_at` is when it stopped being a partition."""

    __tablename__ = "projects"
    __table_args__ = (CheckConstraint(r"name ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'", name="name_is_slug"),)

    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    source_uri: Mapped[str]
    settings: Mapped[Json]
    declared_in: Mapped[str | None]
    removed_at: Mapped[Timestamp | None]
    refreshed_at: Mapped[Timestamp | None]


class ProjectFailure(Timestamped, Base):
    """The last run of this stage failed for this project; it may have succeeded for others."""

    __tablename__ = "project_failures"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("rag.projects.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str | None]
    error: Mapped[str]


def derive_project_id(name: str) -> UUID:
    return uuid5(_ID_NAMESPACE, name)
