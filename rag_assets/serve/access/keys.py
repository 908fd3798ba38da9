"""API keys: add, list, revoke and find them. A token is stored as its hash, and cannot be read again."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, array_agg

from rag_assets.db.access.viewer import Viewer
from rag_assets.db.models import ApiKey, ApiKeyProject, Project
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.projects.store import get_project
from rag_assets.repositories.base import Repository, async_method
from rag_assets.repositories.core.values import validate_row
from rag_assets.serve.access.principal import Principal

TOKEN_PREFIX = "rag_"  # noqa: S105 - not a token
_MAX_LIFETIME = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key with its token, which is not stored and cannot be read again."""

    id: UUID
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of a key, and when the key expires."""

    principal: Principal
    expires_at: datetime | None


def add_key(
    connection: Connection,
    name: str,
    *,
    projects: Sequence[str] = (),
    groups: Sequence[str] = (),
    user: str | None = None,
    tenant: str | None = None,
    may_write: bool = False,
    lifetime: timedelta | None = None,
) -> NewKey:
    """Make a key that may read these projects, or all where none is named, as this user, groups and tenant.

    Raises UsageError for a name that a valid key has, an unknown project, and a user, group or tenant that cannot be.
    """
    if lifetime is not None and not timedelta() < lifetime <= _MAX_LIFETIME:
        raise UsageError(f"the lifetime is {lifetime}; give more than nothing, and 100 years at most.")
    if any(not group.strip() for group in groups):
        raise UsageError("a group is empty; give it a name.")
    # Refuses names that no document can declare.
    Viewer(user, groups, tenant)
    if connection.scalar(select(ApiKey.id).where(ApiKey.name == name, ApiKey.revoked_at.is_(None))):
        raise UsageError(f"there is a key {name!r} already; choose another name, or revoke it first.")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row: dict[str, Any] = validate_row(
        ApiKey, {"name": name, "groups": sorted(set(groups)), "user_name": user, "tenant": tenant}
    )
    row |= {"token_hash": hash_token(token.encode()), "all_projects": not projects, "may_write": may_write}
    if lifetime is not None:
        row["expires_at"] = func.now() + lifetime
    id_ = connection.scalar(insert(ApiKey).values(row).returning(ApiKey.id))
    assert id_ is not None
    for project in dict.fromkeys(projects):
        grant = {"api_key_id": id_, "project_id": get_project(connection, project).id}
        connection.execute(insert(ApiKeyProject).values(grant))
    return NewKey(id_, token)


def list_keys(connection: Connection) -> list[dict[str, Any]]:
    """All keys, also revoked and expired ones, the newest first; `projects` is None for all."""
    projects = _project_names(Project.name)
    rows = connection.execute(
        select(
            ApiKey.id,
            ApiKey.name,
            projects.label("projects"),
            ApiKey.all_projects,
            ApiKey.groups,
            ApiKey.user_name.label("user"),
            ApiKey.tenant,
            ApiKey.may_write,
            ApiKey.created_at,
            ApiKey.expires_at,
            ApiKey.revoked_at,
            (ApiKey.revoked_at.is_(None) & _not_expired()).label("valid"),
        ).order_by(ApiKey.created_at.desc(), ApiKey.id)
    )
    return [_key_facts(row) for row in rows]


def revoke_key(connection: Connection, name: str) -> None:
    """Raises NotFoundError where no valid or expired key has this name."""
    revoked = update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None)).values(revoked_at=func.now())
    if not connection.execute(revoked).rowcount:
        raise NotFoundError(f"there is no key {name!r}; see rag-assets keys list.")


def find_caller(connection: Connection, token_hash: bytes) -> Caller | None:
    """Whose token has this hash; None where it is unknown, revoked or expired."""
    key = connection.execute(
        select(
            ApiKey.id,
            ApiKey.name,
            ApiKey.groups,
            ApiKey.user_name,
            ApiKey.tenant,
            ApiKey.may_write,
            ApiKey.all_projects,
            ApiKey.expires_at,
            _project_names(Project.name).label("names"),
            _project_names(Project.id).label("ids"),
        ).where(ApiKey.token_hash == token_hash, ApiKey.revoked_at.is_(None), _not_expired())
    ).one_or_none()
    if key is None:
        return None
    projects = None if key.all_projects else dict(zip(key.names or (), key.ids or (), strict=True))
    principal = Principal(
        str(key.id),
        key.name,
        tuple(key.groups),
        projects,
        key.may_write,
        user=key.user_name,
        tenant=key.tenant,
    )
    return Caller(principal, key.expires_at)


def has_keys(connection: Connection) -> bool:
    return bool(connection.scalar(select(select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).exists())))


def hash_token(token: bytes) -> bytes:
    # Without salt: the token is random, so that no list of likely ones can be tried.
    return sha256(token).digest()


class ApiKeys(Repository):
    """The keys of callers."""

    find_caller = async_method(find_caller, "read")
    has_keys = async_method(has_keys, "read")


def _project_names(column: Any) -> Any:
    return (
        select(array_agg(aggregate_order_by(column, Project.name)))  # type: ignore[no-untyped-call]
        .join(ApiKeyProject, ApiKeyProject.project_id == Project.id)
        .where(ApiKeyProject.api_key_id == ApiKey.id)
        .scalar_subquery()
    )


def _not_expired() -> Any:
    return or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())


def _key_facts(row: Row[Any]) -> dict[str, Any]:
    facts = row._asdict()
    facts["projects"] = None if facts.pop("all_projects") else list(facts["projects"] or ())
    return facts
