"""Specializations: the named roles of an assistant."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from rag_assets.db.models import Specialization
from rag_assets.repositories.core import entities


def create(
    connection: Connection,
    name: str,
    *,
    description: str | None = None,
    system_prompt: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Specialization:
    """Create a specialization; raises UsageError where the name is taken."""
    values = {"name": name, "description": description, "system_prompt": system_prompt, "settings": settings or {}}
    return entities.create_row(connection, Specialization, values)


def get(connection: Connection, specialization_id: UUID) -> Specialization:
    """The specialization; raises UsageError where it does not exist."""
    return entities.get_row(connection, Specialization, specialization_id)


def find_by_name(connection: Connection, name: str) -> Specialization | None:
    """The specialization of this name; None where there is none."""
    found = entities.fetch_all(connection, select(Specialization).where(Specialization.name == name))
    return found[0] if found else None


def list_all(connection: Connection) -> Sequence[Specialization]:
    """All specializations, ordered by name."""
    return entities.fetch_all(connection, select(Specialization).order_by(Specialization.name))


def update(connection: Connection, specialization_id: UUID, changes: Mapping[str, Any]) -> Specialization:
    """Change `name`, `description`, `system_prompt` or `settings`, and return the specialization.

    Raises UsageError for another column, and where the specialization does not exist.
    """
    values = entities.check_changes(Specialization, changes, "name", "description", "system_prompt", "settings")
    return entities.update_row(connection, Specialization, specialization_id, values)


def delete(connection: Connection, specialization_id: UUID) -> None:
    """Delete it permanently, with its adapters and memories; raises UsageError where it does not exist."""
    entities.delete_row(connection, Specialization, specialization_id)
