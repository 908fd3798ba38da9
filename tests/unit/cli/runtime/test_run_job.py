"""Errors of a run, as Dagster records them, become errors of this package again."""

import sys

import psycopg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info
from sqlalchemy.exc import DBAPIError

from rag_assets.cli.runtime.run_job import _to_package_error
from rag_assets.errors import RagAssetsError, RefusedError, ServiceError


def recorded(error: Exception) -> RagAssetsError:
    try:
        raise error
    except Exception:
        return _to_package_error(serializable_error_info_from_exc_info(sys.exc_info()))


def raised_from(cause: Exception) -> Exception:
    error = DBAPIError.instance("SELECT secret", {}, cause, psycopg.Error)
    assert isinstance(error, Exception)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        (psycopg.errors.DiskFull("could not extend file"), ServiceError, "the disk of the database is full: could not"),
        (psycopg.errors.InsufficientPrivilege("no"), RefusedError, "the role lacks a privilege: no"),
        (psycopg.errors.AdminShutdown("terminating connection"), ServiceError, "the database does not answer"),
        (psycopg.OperationalError("the connection is closed"), ServiceError, "the database does not answer"),
        (RefusedError("role x may not y."), RefusedError, "role x may not y."),
    ],
)
def test_what_the_database_answered_is_one_sentence(cause: Exception, kind: type[Exception], said: str) -> None:
    found = recorded(raised_from(cause) if isinstance(cause, psycopg.Error) else cause)
    assert type(found) is kind
    assert str(found).startswith(said)
    assert "\n" not in str(found)
    assert "secret" not in str(found)
