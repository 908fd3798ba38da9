"""A project is one source of documents with its settings; its name is the Dagster partition key."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Identified, Json, Timestamped


class Project(Identified, Timestamped, Base):
    __tablename__ = "projects"
    __table_args__ = (CheckConstraint(r"name ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'", name="name_is_slug"),)

    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    source_uri: Mapped[str]
    settings: Mapped[Json]
