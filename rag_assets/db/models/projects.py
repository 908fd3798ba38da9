"""A project is one source of documents with its settings; its name is the Dagster partition key."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Identified, Json, Time, Timestamped


class Project(Identified, Timestamped, Base):
    """`declared_in` names the file or module that declares it; `removed_at` is when it ceased to be a partition."""

    __tablename__ = "projects"
    __table_args__ = (CheckConstraint(r"name ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'", name="name_is_slug"),)

    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    source_uri: Mapped[str]
    settings: Mapped[Json]
    declared_in: Mapped[str | None]
    removed_at: Mapped[Time | None]
    refreshed_at: Mapped[Time | None]


class ProjectFailure(Timestamped, Base):
    """The last run of this stage failed for this project, while it may have gone well for others."""

    __tablename__ = "project_failures"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("rag.projects.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str | None]
    error: Mapped[str]
