"""Errors of an index build: which are transient, and what the user should do about the others."""

from psycopg import OperationalError, errors
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from rag_assets.db.index.definition import index_name
from rag_assets.db.index.state import IndexInfo
from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import ServiceError

# The backend or the server was terminated, a deadlock was resolved, or a statement cancelled: a retry can succeed.
_TRANSIENT = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.DeadlockDetected,
    errors.QueryCanceled,
)
# Sessions with a transaction older than the wait; the build waited for the oldest ones.
_OLDEST_TRANSACTIONS = text(
    "SELECT format('%s (backend %s, in a transaction since %s)', application_name, pid, "
    "date_trunc('second', xact_start)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - make_interval(secs => :s) "
    "ORDER BY xact_start LIMIT 3"
)


def is_transient(cause: BaseException | None) -> bool:
    """Whether an immediate retry can succeed; a broken connection has no SQLSTATE."""
    return isinstance(cause, _TRANSIENT) or (isinstance(cause, OperationalError) and cause.sqlstate is None)


def describe_build_error(
    engine: Engine, space: EmbeddingSpace, cause: BaseException | None, *, wait_s: float
) -> ServiceError | None:
    """An error that says what to do, or None if the cause itself is clear."""
    name = index_name(space)
    reason = " ".join(str(cause).split())
    if _is_out_of_space(cause):
        return ServiceError(
            f"the server has no space for the index {name}: {reason}; free disk or memory there, then run again."
        )
    match cause:
        case errors.LockNotAvailable():
            return ServiceError(
                f"building the index {name} waited {wait_s:g} s for {_describe_blockers(engine, wait_s)}; "
                "wait for that to end (or end it), then run again."
            )
        case errors.ProgramLimitExceeded():
            return ServiceError(
                f"the index {name} cannot be built: {reason}; raise RAG_ASSETS_INDEX_BUILD_MEMORY_MB, then run again."
            )
        case errors.QueryCanceled():
            return ServiceError(
                f"building the index {name} was cancelled repeatedly ({reason}); run again when nothing cancels it."
            )
        case errors.DeadlockDetected():
            return ServiceError(
                f"building the index {name} ended in a deadlock repeatedly: {reason}; "
                "run again when other changes to the schema are done."
            )
    if not is_transient(cause):
        return None
    return ServiceError(
        f"building the index {name} failed repeatedly: {reason}; run again when the server is available."
    )


def _is_out_of_space(cause: BaseException | None) -> bool:
    if isinstance(cause, errors.DiskFull | errors.OutOfMemory | errors.IoError):
        return True
    # PostgreSQL reports a file that may not grow as an internal error, from the source file that writes tables (md.c).
    return isinstance(cause, errors.InternalError_) and (cause.diag.source_file or "") == "md.c"


def still_building_error(found: IndexInfo, wait_s: float) -> ServiceError:
    return ServiceError(
        f"backend {found.builder} has been building the index {found.name} for more than {wait_s:g} s; "
        "wait for it to end (or end it with pg_terminate_backend), then run again."
    )


def _describe_blockers(engine: Engine, wait_s: float) -> str:
    try:
        with engine.connect() as connection:
            # A transaction that started during the wait is not the one that it waited for.
            return (
                ", ".join(connection.scalars(_OLDEST_TRANSACTIONS, {"s": wait_s}))
                or "a transaction that has just ended"
            )
    except SQLAlchemyError:
        return "another transaction"
