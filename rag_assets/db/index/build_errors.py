"""What can happen to a build, and what is said of it: what passes by itself, and what somebody must see to."""

from psycopg import OperationalError, errors
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from rag_assets.db.index.definition import index_name
from rag_assets.db.index.state import Examined
from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import ServiceError

# The backend or the server was ended, a deadlock was broken up, a statement was cancelled: done again, it succeeds.
_PASSING = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.DeadlockDetected,
    errors.QueryCanceled,
)
# Whoever has a lock on the table or a transaction open since before; the oldest ones are those that are waited for.
_OTHERS = text(
    "SELECT format('%s (backend %s, in a transaction since %s)', application_name, pid, "
    "date_trunc('second', xact_start)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - make_interval(secs => :s) "
    "ORDER BY xact_start LIMIT 3"
)


def is_passing(cause: BaseException | None) -> bool:
    """Whether the same may be tried again at once; a connection that broke has no code of an error."""
    return isinstance(cause, _PASSING) or (isinstance(cause, OperationalError) and cause.sqlstate is None)


def explained(
    engine: Engine, space: EmbeddingSpace, cause: BaseException | None, *, wait_s: float
) -> ServiceError | None:
    """What to do about it, in a sentence; None where the error itself says what is wrong."""
    name = index_name(space)
    reason = " ".join(str(cause).split())
    if _is_out_of_room(cause):
        return ServiceError(
            f"the server has no room for the index {name}: {reason}; free some disk or memory there, then run again."
        )
    match cause:
        case errors.LockNotAvailable():
            return ServiceError(
                f"the index {name} waited {wait_s:g} s for {_others(engine, wait_s)}; "
                "wait for that to end (or end it), then run again."
            )
        case errors.ProgramLimitExceeded():
            return ServiceError(
                f"the index {name} cannot be built: {reason}; raise RAG_ASSETS_INDEX_BUILD_MEMORY_MB, then run again."
            )
        case errors.QueryCanceled():
            return ServiceError(
                f"building the index {name} was cancelled again and again ({reason}); run again when it may be built."
            )
        case errors.DeadlockDetected():
            return ServiceError(
                f"building the index {name} got into a deadlock again and again: {reason}; "
                "run again when other changes of the schema are done."
            )
    if not is_passing(cause):
        return None
    return ServiceError(
        f"building the index {name} broke again and again: {reason}; run again when the server is well."
    )


def _is_out_of_room(cause: BaseException | None) -> bool:
    if isinstance(cause, errors.DiskFull | errors.OutOfMemory | errors.IoError):
        return True
    # A file that may not get larger is an internal error to PostgreSQL, raised where it writes files of tables.
    return isinstance(cause, errors.InternalError_) and (cause.diag.source_file or "") == "md.c"


def builder_goes_on(found: Examined, wait_s: float) -> ServiceError:
    return ServiceError(
        f"the index {found.name} has been in the hands of backend {found.builder} for more than {wait_s:g} s; "
        "wait for it to end (or end it with pg_terminate_backend), then run again."
    )


def _others(engine: Engine, wait_s: float) -> str:
    try:
        with engine.connect() as connection:
            # What came while it was waiting is not what it waited for.
            return ", ".join(connection.scalars(_OTHERS, {"s": wait_s})) or "a transaction that has just ended"
    except SQLAlchemyError:
        return "another transaction"
