"""Rows of projects: find, list, save and retire them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rag_assets.db.models import Project
from rag_assets.db.models.projects import derive_project_id
from rag_assets.db.spaces.shards import SHARDS
from rag_assets.documents.shards import shard_keys
from rag_assets.documents.sources.rows.address import refuse_password
from rag_assets.documents.text import clean, is_text
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.projects.settings import dump_project_settings, parse_project_settings

_SLUG = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
# In an error that lists the known projects.
_MAX_NAMES_SHOWN = 20


def slugify(name: str) -> str:
    """A valid project name from any name: `My Docs (2024)` becomes `my-docs-2024`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "documents"


def check_project_name(name: str) -> str:
    """The name; raises UsageError where it is no valid partition key."""
    if not _SLUG.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a project's name: use 1 to 63 of a-z, 0-9, - and _, "
            f"a letter or digit first and last, for example {slugify(name)!r}."
        )
    return name


def find_project(connection: Connection, name: str) -> Project | None:
    if not is_text(name):
        # PostgreSQL does not even accept characters that no stored name has.
        return None
    with Session(bind=connection, expire_on_commit=False) as session:
        return session.scalar(select(Project).where(Project.name == name))


def get_project(connection: Connection, name: str) -> Project:
    """The project of this name; raises NotFoundError that lists the known ones, where there is none."""
    project = find_project(connection, name)
    if project is None:
        names = project_names(connection)
        more = f" and {len(names) - _MAX_NAMES_SHOWN:,} more" if len(names) > _MAX_NAMES_SHOWN else ""
        known = (", ".join(names[:_MAX_NAMES_SHOWN]) or "none yet") + more
        wanted = repr(name) if len(name) <= 100 else repr(name[:100]) + "…"
        raise NotFoundError(f"there is no project {wanted} (known: {known}); make it with: rag-assets ingest SOURCE.")
    return project


def get_projects(connection: Connection) -> Sequence[Project]:
    """All projects, ordered by name, with those that are removed but not purged."""
    with Session(bind=connection, expire_on_commit=False) as session:
        return session.scalars(select(Project).order_by(Project.name)).all()


def project_names(connection: Connection) -> Sequence[str]:
    return connection.scalars(select(Project.name).order_by(Project.name)).all()


def partition_names(connection: Connection) -> Sequence[str]:
    """The names of the projects that are not removed."""
    return connection.scalars(select(Project.name).where(Project.removed_at.is_(None)).order_by(Project.name)).all()


def partition_keys(connection: Connection) -> list[str]:
    """Dagster's partition keys: of each project that is not removed its name, or the keys of its shards."""
    found = select(Project.name, SHARDS).where(Project.removed_at.is_(None)).order_by(Project.name)
    return [key for name, shards in connection.execute(found) for key in shard_keys(name, shards)]


def save_project(
    connection: Connection,
    name: str,
    source_uri: str,
    settings: Mapping[str, Any],
    *,
    description: str | None = None,
    declared_in: str | None = None,
) -> Project:
    """Create the project, or change its source and settings; a removed project is restored.

    `description` and `declared_in` stay unchanged where they are None. Raises UsageError for an invalid name or
    setting.
    """
    refuse_password(source_uri)
    checked = dump_project_settings(parse_project_settings(check_project_name(name), settings))
    # Text from a form, a file or a command line may contain characters that the database cannot store.
    given = {"description": description and clean(description), "declared_in": declared_in}
    # A renamed project keeps the id that belongs to its first name.
    id_ = derive_project_id(name)
    if connection.scalar(select(Project.name).where(Project.id == id_)) not in (None, name):
        id_ = uuid4()
    statement = insert(Project).values(
        id=id_, name=name, source_uri=source_uri, settings=checked, removed_at=None, **given
    )
    kept = {column: value for column, value in given.items() if value is not None}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"source_uri": source_uri, "settings": checked, "removed_at": None, "updated_at": func.now()} | kept,
        )
    )
    return get_project(connection, name)


def retire_project(connection: Connection, name: str) -> Project:
    """Mark the project as removed: it is not refreshed any more, but stays searchable until it is purged."""
    get_project(connection, name)
    connection.execute(update(Project).where(Project.name == name).values(removed_at=func.now(), declared_in=None))
    return get_project(connection, name)
