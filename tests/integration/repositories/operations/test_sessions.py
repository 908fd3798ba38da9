"""Sessions: a token that is returned once, and errors that say why it is refused."""

import hmac
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.models import User
from rag_assets.errors import SessionError, UsageError
from rag_assets.repositories import SyncSessions
from tests.support.pipeline.runs import rows


@pytest.fixture
def sessions(engine: Engine) -> SyncSessions:
    return SyncSessions(engine)


def shift(engine: Engine, column: str, interval: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE rag.sessions SET {column} = now() + interval '{interval}'"))


def test_the_token_is_returned_once_and_never_stored(engine: Engine, sessions: SyncSessions, ada: User) -> None:
    made = sessions.create(ada.id, user_agent="Browser/1.0\x00")
    assert len(made.token) >= 43
    assert made.token not in repr(made)
    [(stored, everything)] = rows(engine, "SELECT token_hash, CAST(s AS text) FROM rag.sessions s")
    assert stored == sha256(made.token.encode()).digest()
    assert made.token not in everything
    assert made.session.user_agent == "Browser/1.0"
    assert made.session.expires_at > made.session.created_at
    assert sessions.create(ada.id).token != made.token


def test_a_token_authenticates_its_own_session(sessions: SyncSessions, ada: User) -> None:
    first, second = sessions.create(ada.id), sessions.create(ada.id)
    assert sessions.authenticate(first.token).id == first.session.id
    assert sessions.authenticate(second.token).id == second.session.id


def test_known_and_unknown_tokens_are_compared_in_constant_time(
    sessions: SyncSessions, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr("hmac.compare_digest", compare)
    sessions.authenticate(sessions.create(ada.id).token)
    for unknown in ("", "x", "ä\ud800\x00", "t" * 10_000):
        with pytest.raises(SessionError, match="the session is unknown; sign in again"):
            sessions.authenticate(unknown)
    assert len(compared) == 5
    assert all(len(stored) == len(given) == 32 for stored, given in compared)


def test_an_ended_session_says_why_it_ended(engine: Engine, sessions: SyncSessions, ada: User) -> None:
    made = sessions.create(ada.id)
    shift(engine, "expires_at", "-1 second")
    with pytest.raises(SessionError, match=r"the session expired at 20\d\d-.* UTC; sign in again"):
        sessions.authenticate(made.token)
    with pytest.raises(SessionError, match="unknown, revoked or expired"):
        sessions.touch(made.session.id)
    shift(engine, "expires_at", "1 hour")
    sessions.revoke(made.session.id)
    with pytest.raises(SessionError, match=r"the session was revoked at 20\d\d-"):
        sessions.authenticate(made.token)
    with pytest.raises(SessionError, match="unknown, revoked or expired"):
        sessions.touch(made.session.id)


def test_revoking_twice_keeps_the_first_time(engine: Engine, sessions: SyncSessions, ada: User) -> None:
    made = sessions.create(ada.id)
    sessions.revoke(made.session.id)
    [(first,)] = rows(engine, "SELECT revoked_at FROM rag.sessions")
    sessions.revoke(made.session.id)
    assert rows(engine, "SELECT revoked_at FROM rag.sessions") == [(first,)]
    with pytest.raises(SessionError, match="there is nothing to revoke"):
        sessions.revoke(uuid4())


def test_all_sessions_of_one_user_end_at_once(engine: Engine, sessions: SyncSessions, users: Any, ada: User) -> None:
    mine = [sessions.create(ada.id) for _ in range(3)]
    other = sessions.create(users.create("bob@example.org").id)
    sessions.revoke(mine[0].session.id)
    assert sessions.revoke_all(ada.id) == 2
    assert sessions.revoke_all(ada.id) == 0
    assert sessions.authenticate(other.token).id == other.session.id
    for made in mine:
        with pytest.raises(SessionError, match="revoked"):
            sessions.authenticate(made.token)


def test_touch_records_the_use_and_never_shortens_the_lifetime(
    engine: Engine, sessions: SyncSessions, ada: User
) -> None:
    made = sessions.create(ada.id, lifetime_s=3600).session
    shift(engine, "last_seen_at", "-1 day")
    seen = sessions.touch(made.id)
    assert seen.last_seen_at > made.created_at
    assert seen.expires_at == made.expires_at
    assert sessions.touch(made.id, lifetime_s=60).expires_at == made.expires_at
    assert sessions.touch(made.id, lifetime_s=7200).expires_at > made.expires_at


def test_sessions_that_ended_long_ago_are_deleted(engine: Engine, sessions: SyncSessions, ada: User) -> None:
    revoked, expired, recent, current = [sessions.create(ada.id) for _ in range(4)]
    for made, column, interval in (
        (revoked, "revoked_at", "-40 days"),
        (expired, "expires_at", "-40 days"),
        (recent, "expires_at", "-1 day"),
    ):
        with engine.begin() as connection:
            connection.execute(
                text(f"UPDATE rag.sessions SET {column} = now() + interval '{interval}' WHERE id = :id"),
                {"id": made.session.id},
            )
    assert sessions.delete_expired() == 2
    with pytest.raises(SessionError, match="expired"):
        sessions.authenticate(recent.token)
    assert sessions.delete_expired(kept_after_s=0) == 1
    assert sessions.authenticate(current.token).id == current.session.id
    with pytest.raises(UsageError, match="kept_after_s is -1"):
        sessions.delete_expired(kept_after_s=-1)


@pytest.mark.parametrize("lifetime_s", [0, -1, float("nan"), float("inf")])
def test_an_invalid_lifetime_is_refused(sessions: SyncSessions, ada: User, lifetime_s: float) -> None:
    with pytest.raises(UsageError, match=f"lifetime_s is {lifetime_s:g}"):
        sessions.create(ada.id, lifetime_s=lifetime_s)


def test_a_session_needs_an_existing_user(sessions: SyncSessions) -> None:
    with pytest.raises(UsageError, match="users has no row with the id"):
        sessions.create(uuid4())


def test_a_long_user_agent_is_truncated(sessions: SyncSessions, ada: User) -> None:
    assert sessions.create(ada.id, user_agent="a" * 900).session.user_agent == "a" * 500
    assert sessions.create(ada.id, user_agent=" ").session.user_agent is None
