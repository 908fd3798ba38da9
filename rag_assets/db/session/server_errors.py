"""The errors of SQLAlchemy and psycopg as errors of this package: one sentence that says what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.exc import SQLAlchemyError, StatementError

from rag_assets.errors import RagAssetsError, RefusedError, ServiceError, UsageError, escape_line

_LATER = "run again when it is back"
_NOT_OPENED = ("connection failed", "connection is bad", "connection timeout")
_LOG = "look at the server's log"
_SCHEMA = "run rag-assets status --health, which compares the tables with this version"
# By SQLSTATE or its class, the longest match first: the class of the error, what it is about, what to do.
_ANSWERS: dict[str, tuple[type[RagAssetsError], str, str]] = {
    "": (RefusedError, "the database refuses a statement", _LOG),
    "08001": (
        ServiceError,
        "the database cannot be found",
        "correct the host in RAG_ASSETS_DATABASE_URL, or the network",
    ),
    "08": (ServiceError, "the database does not answer", _LATER),
    "0A": (RefusedError, "the database lacks a feature", "use PostgreSQL 15 or newer with pgvector 0.8.4 or newer"),
    "22021": (
        RefusedError,
        "a text does not fit the encoding of the database",
        "use a database with the encoding UTF8",
    ),
    "22P05": (
        RefusedError,
        "a text does not fit the encoding of the database",
        "use a database with the encoding UTF8",
    ),
    "22": (RefusedError, "the database refuses a value", "correct it"),
    "23": (RefusedError, "the database refuses a row", "correct it, or run again if another run wrote it meanwhile"),
    "25006": (RefusedError, "the database only reads here", "see rag-assets status --health"),
    "25P03": (
        ServiceError,
        "a session was ended",
        "raise idle_in_transaction_session_timeout of the role or the database, then run again",
    ),
    "25P04": (
        ServiceError,
        "a transaction took longer than the database allows",
        "raise transaction_timeout of the role or the database, then run again",
    ),
    "25": (ServiceError, "a transaction was in the wrong state", "run again"),
    "28": (
        RefusedError,
        "the database refuses the connection",
        "correct the address, the user or the password in RAG_ASSETS_DATABASE_URL",
    ),
    "3D": (RefusedError, "the database is not there", "correct its name in RAG_ASSETS_DATABASE_URL"),
    "3F": (RefusedError, "a schema is missing", _SCHEMA),
    "40": (ServiceError, "another transaction was in the way", "run again"),
    "42501": (RefusedError, "the role lacks a privilege", "use the role that owns schema rag, or grant the privilege"),
    "42": (RefusedError, "something that a statement names is missing or differs", _SCHEMA),
    "53100": (ServiceError, "the disk of the database is full", "make room on it, then run again"),
    "53200": (ServiceError, "the database is out of memory", "lower work_mem or maintenance_work_mem, then run again"),
    "53300": (ServiceError, "the database has no connection left", "raise max_connections, or run less at a time"),
    "53": (ServiceError, "the database has no room left", "make room, then run again"),
    "54": (RefusedError, "this is too much for the database", "ask for less at one time"),
    "55P03": (ServiceError, "a table is locked", "run again, or raise RAG_ASSETS_LOCK_TIMEOUT_S"),
    "55": (ServiceError, "the database is busy with what this needs", "run again"),
    "57P05": (
        ServiceError,
        "a session was ended",
        "raise idle_session_timeout of the role or the database, then run again",
    ),
    "57014": (ServiceError, "a statement was cancelled", "run again, or raise RAG_ASSETS_STATEMENT_TIMEOUT_S"),
    "57": (ServiceError, "the database does not answer", _LATER),
    "58": (ServiceError, "the database cannot use a file", _LOG),
    "F0": (RefusedError, "the configuration of the database is wrong", _LOG),
    "XX001": (
        RefusedError,
        "the database found damaged data",
        "look at the server's log and the disk, restore a backup",
    ),
    "XX002": (RefusedError, "the database found a damaged index", "run rag-assets repair, or REINDEX"),
    "XX": (RefusedError, "the database failed inside", _LOG),
}
# libpq has no SQLSTATE where a connection cannot be opened. The first words that are in the message decide.
_CONNECTING = {
    "too many": "53300",
    "connection slots": "53300",
    "starting up": "57P03",
    "shutting down": "57P03",
    "recovery": "57P03",
    "FATAL": "28000",
    "invalid ": "28000",
    "resolve host": "08001",
    "translate host": "08001",
    "connect": "08000",
    "server": "08000",
}
# Classes of errors whose details are values: "Failing row contains (…)", "Key (…)=(…) already exists".
_ABOUT_VALUES = ("22", "23")
# A limit of their own, which max_connections does not change.
_LIMITED = re.compile(r"too many connections for (?P<what>role|database) (?P<name>\".*\")")
# What PostgreSQL prints below an error: its place in the statement, and what it was doing.
_PLACE = re.compile(r"\n(LINE \d+|HINT|CONTEXT): .*", re.DOTALL)
_PRIVILEGE = re.compile(r"permission denied to create temporary tables in database \"(?P<database>.*)\"")


def explain_error(error: BaseException) -> RagAssetsError | None:
    """The error of the database as one of this package; None for an error of something else."""
    if isinstance(error, RagAssetsError):
        return error
    if isinstance(error, StatementError) and error.orig is not None:
        cause: BaseException = error.orig
    else:
        cause = error
    if isinstance(cause, psycopg.DataError) and cause.sqlstate is None:
        # The driver refuses the value itself, like a text with a NUL.
        return UsageError(f"the database refuses a value: {_one_line(str(cause))}; correct it.")
    if isinstance(cause, psycopg.Error):
        return explain_answer(cause.sqlstate, cause.diag.message_primary or str(cause))
    if type(cause).__module__.partition(".")[0] == "sqlite3":
        return ServiceError(
            f"the history in DAGSTER_HOME cannot be used: {_one_line(str(cause))}; "
            "make room or allow writing there, then run again."
        )
    if isinstance(error, SQLAlchemyError):
        return RefusedError(f"a statement cannot be sent to the database: {_one_line(str(cause))}; {_LOG}.")
    return None


def describe_error(error: BaseException) -> str:
    """One line that says what went wrong, for logs and records of errors of any kind."""
    explained = explain_error(error)
    return escape_line(f"{type(error).__name__}: {error}") if explained is None else str(explained)


def explain_answer(sqlstate: str | None, reason: str) -> RagAssetsError:
    """The error for what the server answered; without a SQLSTATE, it did not answer or refused the connection."""
    reason = _one_line(reason)
    if reason.startswith("invalid connection option"):
        return RefusedError(f"{reason} in the address of the database; correct RAG_ASSETS_DATABASE_URL.")
    limited = _LIMITED.search(reason)
    if limited is not None:
        return ServiceError(
            f"the database has no connection left: {reason}; run less at a time, or raise the limit: "
            f"ALTER {limited['what'].upper()} {limited['name']} CONNECTION LIMIT …;"
        )
    if sqlstate == "25006" and reason.endswith("during recovery"):
        return RefusedError(
            f"the database is a standby, which can only be searched: {reason}; "
            "set RAG_ASSETS_DATABASE_URL to the address of the primary."
        )
    sqlstate = sqlstate or next((state for words, state in _CONNECTING.items() if words in reason), "")
    missing = _PRIVILEGE.fullmatch(reason)
    if missing is not None:
        return RefusedError(
            f"{reason}; let an administrator run: GRANT TEMPORARY ON DATABASE {missing['database']} TO …;"
        )
    key = next(sqlstate[:length] for length in (5, 2, 0) if sqlstate[:length] in _ANSWERS)
    kind, what, advice = _ANSWERS[key]
    if advice is _LATER and reason.startswith(_NOT_OPENED):
        advice = f"{_LATER}, or correct its address in RAG_ASSETS_DATABASE_URL"
    return kind(f"{what}: {reason}; {advice}.")


def leave_out_values(error: psycopg.Error) -> None:
    """Reduce the message of an error about a value or a row to its first line: the rest quotes the row."""
    first = error.diag.message_primary
    if first and (error.sqlstate or "")[:2] in _ABOUT_VALUES:
        error.args = (first,)


def leave_out_values_of(engine: Engine) -> None:
    """Do so for every error of this engine's connections, also in the message that SQLAlchemy makes of it."""

    def handle(context: ExceptionContext) -> None:
        error, wrapped = context.original_exception, context.sqlalchemy_exception
        if isinstance(error, psycopg.Error):
            before = str(error)
            leave_out_values(error)
            if wrapped is not None:
                wrapped.args = tuple(str(one).replace(before, str(error)) for one in wrapped.args)

    event.listen(engine, "handle_error", handle)


@contextmanager
def explained_errors() -> Iterator[None]:
    """Raise errors of the database as `explain_error` returns them."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error) as error:
        raise explain_error(error) or error from error


def _one_line(text: str) -> str:
    # SQLAlchemy appends the statement and a link.
    lines = [line.strip() for line in _PLACE.sub("", text.partition("\n[SQL:")[0]).splitlines()]
    return " ".join(filter(None, lines)).removesuffix(".")
