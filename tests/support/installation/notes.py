"""A package with its own table of notes, in its own schema, registered by an entry point."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.spaces.registered_tables import ENTRY_POINT_GROUP, create_missing_tables
from tests.support.installation.packages import install_package

CODE = """
from uuid import UUID

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from rag_assets.tables import Embeddable, Identified, Name, SoftDeleted, Timestamped


class Base(DeclarativeBase):
    metadata = MetaData(schema="keeper")


class Note(Identified, Embeddable, Timestamped, SoftDeleted, Base):
    __tablename__ = "notes"

    title: Mapped[Name]
    author: Mapped[str | None]
    project_id: Mapped[UUID | None]
"""


def install_notes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The name differs from the package in the docs, since loaded models are cached by entry point.
    install_package(folder, monkeypatch, "lighthouse", CODE, {"notes": "lighthouse:Note"}, ENTRY_POINT_GROUP)


def create_notes(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA keeper"))
    create_missing_tables(engine)
