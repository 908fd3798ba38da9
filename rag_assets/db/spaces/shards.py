"""Shards in the statements of the database."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, cast, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import BIT

from rag_assets.db.models import Document, Project
from rag_assets.documents.parsing.parse_report import ATTACHMENT_SEPARATOR
from rag_assets.documents.shards import POSITIONS, WHOLE, Shard, split_key

# The number of shards of a project.
SHARDS = func.coalesce(cast(Project.settings["shards"].astext, Integer), 1)


def explicit_keys(connection: Connection, keys: Sequence[str]) -> list[str]:
    """The keys with `name:01of16` for the first shard: a name alone is a whole project in the database's statements."""
    names = [key for key in keys if split_key(key)[1] is None]
    split = select(Project.name, SHARDS).where(Project.name.in_(names), SHARDS > 1)
    numbers = dict(iter(connection.execute(split))) if names else {}
    return [f"{key}:{Shard(1, numbers[key]).suffix}" if key in numbers else key for key in keys]


class ProjectShard(NamedTuple):
    project_id: UUID
    shard: Shard = WHOLE


def slices_of_keys(connection: Connection, keys: Sequence[str]) -> dict[str, ProjectShard]:
    """The project and shard of each explicit key whose project exists."""
    split = {key: split_key(key) for key in keys}
    names = {name for name, _ in split.values()}
    ids = dict(iter(connection.execute(select(Project.name, Project.id).where(Project.name.in_(names)))))
    return {key: ProjectShard(ids[name], shard or WHOLE) for key, (name, shard) in split.items() if name in ids}


def of_explicit_keys(keys: Sequence[str] | None) -> ColumnElement[bool]:
    """Whether a document belongs to one of these projects and shards; with None, always true."""
    if keys is None:
        return true()
    split = [split_key(key) for key in keys]
    whole = [name for name, shard in split if shard is None]
    of_whole = Document.project_id.in_(select(Project.id).where(Project.name.in_(whole)))
    parts = [
        (Document.project_id == select(Project.id).where(Project.name == name).scalar_subquery()) & in_shard(shard)
        for name, shard in split
        if shard is not None
    ]
    return or_(of_whole, *parts) if parts else of_whole


def in_shard(shard: Shard, path: Any = Document.file_path) -> ColumnElement[bool]:
    """Whether the document of this path is in the shard, whatever its project."""
    return true() if shard.of == 1 else shard_number(path, shard.of) == shard.number


def shard_number(path: Any, shards: Any) -> ColumnElement[int]:
    number: ColumnElement[int] = (path_position(path) * shards).op("/")(literal(POSITIONS, BigInteger)) + 1
    return number


def path_position(path: Any) -> ColumnElement[int]:
    """Same as `position_of`, in the database."""
    digest = func.encode(func.sha256(func.convert_to(holding_file(path), "UTF8")), "hex")
    return cast(cast(func.concat("x", func.left(digest, 8)), BIT(32)), BigInteger)


def holding_file(path: Any) -> ColumnElement[str]:
    """The path of the file that holds a document, which for most is their own."""
    # A path that begins with the separator names no file before it.
    file: ColumnElement[str] = func.coalesce(func.nullif(func.split_part(path, ATTACHMENT_SEPARATOR, 1), ""), path)
    return file
