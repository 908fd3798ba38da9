"""For tables of your own whose texts are embedded and searched: mixins for their models, and what creates them.

from rag_assets.tables import Base, Embeddable, Identified, Name, Timestamped

class Note(Identified, Embeddable, Timestamped, Base):
    __tablename__ = "notes"

    title: Mapped[Name]
"""

from collections.abc import Mapping
from typing import Any

from rag_assets.db.database import open_engine
from rag_assets.db.models.base import Base, Embeddable, Identified, Json, Name, SoftDeleted, Timestamp, Timestamped
from rag_assets.db.spaces.registered_tables import create_missing_tables
from rag_assets.settings.settings import Settings, load_settings, resolve_settings

__all__ = [
    "Base",
    "Embeddable",
    "Identified",
    "Json",
    "Name",
    "SoftDeleted",
    "Timestamp",
    "Timestamped",
    "create_tables",
]


def create_tables(settings: Settings | Mapping[str, Any] | None = None) -> list[str]:
    """Create the registered tables that do not exist, with their indexes; returns the names of those created.

    Existing tables are not changed: migrate them yourself. `settings` are those of the environment unless given.
    """
    engine = open_engine(load_settings() if settings is None else resolve_settings(settings))
    try:
        return create_missing_tables(engine)
    finally:
        engine.dispose()
