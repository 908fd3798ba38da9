"""Every error of psycopg and SQLAlchemy becomes one sentence."""

import sqlite3
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import exc

from rag_assets.db.session.server_errors import explain_answer, explain_error
from rag_assets.errors import RagAssetsError, RefusedError, ServiceError, UsageError

ANSWERS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, psycopg.Error)]


def wrapped(error: Exception, kind: Any = exc.DBAPIError) -> Exception:
    found = kind.instance("SELECT secret", {"a": "private"}, error, psycopg.Error)
    assert isinstance(found, Exception)
    return found


def test_every_answer_of_the_server_is_one_sentence() -> None:
    assert len(ANSWERS) > 200
    for kind in ANSWERS:
        for error in (kind("no such\nluck"), wrapped(kind("no such\nluck"))):
            found = explain_error(error)
            # Without a SQLSTATE, a DataError is a value that the driver refuses.
            assert isinstance(found, UsageError if kind is psycopg.DataError else ServiceError)
            assert "no such luck; " in str(found)
            assert str(found).endswith(".")
            assert not any(word in str(found) for word in ("\n", "secret", "private", "sqlalche.me"))


@pytest.mark.parametrize(
    ("sqlstate", "kind", "said"),
    [
        ("25006", RefusedError, "the database only reads here"),
        ("25P03", ServiceError, "raise idle_in_transaction_session_timeout"),
        ("25P04", ServiceError, "raise transaction_timeout"),
        ("57P05", ServiceError, "raise idle_session_timeout"),
        ("40P01", ServiceError, "another transaction was in the way"),
        ("42501", RefusedError, "the role lacks a privilege"),
        ("42P01", RefusedError, "something that a statement names is missing"),
        ("53100", ServiceError, "the disk of the database is full"),
        ("57014", ServiceError, "RAG_ASSETS_STATEMENT_TIMEOUT_S"),
        ("57P01", ServiceError, "the database does not answer"),
        ("XX001", RefusedError, "found damaged data"),
        ("ZZ999", RefusedError, "the database refuses a statement"),
    ],
)
def test_what_can_pass_is_told_from_what_stays(sqlstate: str, kind: type[RagAssetsError], said: str) -> None:
    found = explain_answer(sqlstate, "reason")
    assert type(found) is kind
    assert said in str(found)
    assert found.exit_code == 3


def test_a_standby_is_named_where_a_statement_finds_it() -> None:
    found = explain_answer("25006", "cannot execute INSERT during recovery")
    assert type(found) is RefusedError
    assert "is a standby, which can only be searched: cannot execute INSERT" in str(found)
    assert "RAG_ASSETS_DATABASE_URL" in str(found)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.OperationalError("connection failed: FATAL: password authentication failed"), "correct the address"),
        (psycopg.OperationalError("failed to resolve host 'x': [Errno -2]"), "host in RAG_ASSETS_DATABASE_URL"),
        (
            psycopg.OperationalError("connection failed: Connection refused"),
            "correct its address in RAG_ASSETS_DATABASE",
        ),
        (psycopg.OperationalError("the connection is lost"), "; run again when it is back."),
        (
            psycopg.OperationalError('connection failed: FATAL: too many connections for role "Ann Lee"'),
            'ALTER ROLE "Ann Lee" CONNECTION LIMIT',
        ),
        (
            psycopg.OperationalError('connection failed: FATAL: too many connections for database "x"'),
            'ALTER DATABASE "x" CONNECTION LIMIT',
        ),
        (
            errors.UndefinedTable('relation "x" does not exist\nLINE 2: FROM x\n   ^'),
            'relation "x" does not exist; run',
        ),
        (psycopg.OperationalError("connection failed: FATAL: sorry, too many clients already"), "max_connections"),
        (psycopg.OperationalError('connection failed: invalid sslmode value: "no"'), "correct the address"),
        (psycopg.ProgrammingError('invalid connection option "foo"'), "in the address of the database; correct RAG"),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), "the database refuses"),
        (psycopg.NotSupportedError("x"), "the database refuses"),
        (exc.InvalidRequestError("x"), "cannot be sent"),
        (exc.StatementError("x", "SELECT 1", {}, UnicodeEncodeError("latin-1", "€", 0, 1, "y")), "cannot be sent"),
        (exc.TimeoutError("QueuePool limit"), "cannot be sent"),
        (wrapped(sqlite3.OperationalError("disk is full")), "DAGSTER_HOME cannot be used: disk is full"),
    ],
)
def test_errors_without_an_answer(error: Exception, said: str) -> None:
    assert said in str(explain_error(error))


def test_an_error_of_something_else_is_not_explained() -> None:
    assert explain_error(ValueError("x")) is None
    mine = RefusedError("x")
    assert explain_error(mine) is mine
