"""Login sessions: create them, authenticate by their token in constant time, revoke and delete them."""

import hmac
import secrets
import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, or_, select, update

from rag_assets.db.models import User, UserSession
from rag_assets.documents.text import clean
from rag_assets.errors import SessionError, UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.values import parse_id, validate_row

LIFETIME_S = 30 * 24 * 60 * 60
RETENTION_S = 30 * 24 * 60 * 60
_MAX_USER_AGENT_CHARS = 500


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session with its token, which is not stored and cannot be read again."""

    session: UserSession
    token: str = field(repr=False)


def create(
    connection: Connection, user_id: UUID, *, lifetime_s: float = LIFETIME_S, user_agent: str | None = None
) -> NewSession:
    """Open a session of this user; `user_agent` is truncated to 500 characters.

    Raises UsageError where the user does not exist or is deleted.
    """
    entities.get_row(connection, User, user_id)
    token = secrets.token_urlsafe(32)
    values = {
        "user_id": user_id,
        "token_hash": _hash(token),
        "user_agent": clean(user_agent)[:_MAX_USER_AGENT_CHARS].strip() or None if user_agent else None,
    }
    row = validate_row(UserSession, values) | {"expires_at": func.now() + _check_lifetime(lifetime_s)}
    return NewSession(entities.insert_row(connection, UserSession, row), token)


def authenticate(connection: Connection, token: str) -> UserSession:
    """The session of this token.

    Raises SessionError where it is unknown, revoked or expired, or its user is deleted.
    """
    token_hash = _hash(token)
    # The lookup is by hash, which a client cannot choose, and the comparison takes constant time: response times
    # reveal nothing about the tokens that exist.
    statement = (
        select(UserSession.id, UserSession.token_hash, UserSession.revoked_at, UserSession.expires_at)
        .add_columns((UserSession.expires_at <= func.now()).label("expired"), User.deleted_at)
        .join(User, User.id == UserSession.user_id)
        .where(UserSession.token_hash == token_hash)
    )
    row = connection.execute(statement).one_or_none()
    if not hmac.compare_digest(row.token_hash if row else bytes(32), token_hash) or row is None:
        raise SessionError("the session is unknown; sign in again.")
    if row.deleted_at is not None:
        raise SessionError("the user of this session is deleted; sign in as another user.")
    if row.revoked_at is not None:
        raise SessionError(f"the session was revoked at {row.revoked_at:%Y-%m-%d %H:%M %Z}; sign in again.")
    if row.expired:
        raise SessionError(f"the session expired at {row.expires_at:%Y-%m-%d %H:%M %Z}; sign in again.")
    return entities.get_row(connection, UserSession, row.id)


def touch(connection: Connection, session_id: UUID, *, lifetime_s: float | None = None) -> UserSession:
    """Set `last_seen_at`, and return the session; with `lifetime_s` it lasts at least that long from now.

    Raises SessionError where it is unknown, revoked or expired.
    """
    values: dict[str, Any] = {"last_seen_at": func.now()}
    if lifetime_s is not None:
        values["expires_at"] = func.greatest(UserSession.expires_at, func.now() + _check_lifetime(lifetime_s))
    statement = (
        update(UserSession)
        .where(UserSession.id == parse_id("sessions.id", session_id))
        .where(UserSession.revoked_at.is_(None), UserSession.expires_at > func.now())
        .values(values)
        .returning(UserSession)
    )
    rows = entities.fetch_all(connection, statement)
    if not rows:
        raise SessionError(f"the session {session_id} is unknown, revoked or expired; sign in again.")
    session: UserSession = rows[0]
    return session


def revoke(connection: Connection, session_id: UUID) -> None:
    """End the session now; does nothing where it was revoked before. Raises SessionError where it is unknown."""
    id_ = parse_id("sessions.id", session_id)
    revoked = func.coalesce(UserSession.revoked_at, func.now())
    result = connection.execute(update(UserSession).where(UserSession.id == id_).values(revoked_at=revoked))
    if not result.rowcount:
        raise SessionError(f"the session {session_id} is unknown; there is nothing to revoke.")


def revoke_all(connection: Connection, user_id: UUID) -> int:
    """End all sessions of a user, for example after a change of password; returns how many were open."""
    return connection.execute(
        update(UserSession)
        .where(UserSession.user_id == parse_id("users.id", user_id))
        .where(UserSession.revoked_at.is_(None), UserSession.expires_at > func.now())
        .values(revoked_at=func.now())
    ).rowcount


def delete_expired(connection: Connection, *, kept_after_s: float = RETENTION_S) -> int:
    """Delete the sessions that ended more than `kept_after_s` seconds ago; returns the number.

    Until then `authenticate` can tell why a session ended.
    """
    if kept_after_s < 0:
        raise UsageError(f"kept_after_s is {kept_after_s:g}; give 0 or more.")
    before = func.now() - timedelta(seconds=kept_after_s)
    ended = or_(UserSession.expires_at <= before, UserSession.revoked_at <= before)
    return connection.execute(delete(UserSession).where(ended)).rowcount


def expire(connection: Connection, *, kept_after_s: float = RETENTION_S) -> int:
    """Deprecated name of `delete_expired`."""
    warnings.warn("Sessions.expire is now Sessions.delete_expired.", DeprecationWarning, stacklevel=2)
    return delete_expired(connection, kept_after_s=kept_after_s)


def _hash(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()


def _check_lifetime(seconds: float) -> timedelta:
    if not 0 < seconds <= 10 * 365 * 24 * 60 * 60:
        raise UsageError(f"lifetime_s is {seconds:g}; give more than 0 and at most ten years.")
    return timedelta(seconds=seconds)
