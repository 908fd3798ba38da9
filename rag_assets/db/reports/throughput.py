"""The throughput of earlier runs, and estimates of time from it."""

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import EmbeddingSpace, WorkRate


def embedding_work(model: str, revision: str) -> str:
    """The name of embedding work, measured in tokens; the same for all spaces of a model."""
    return f"embed {model}@{revision}"


def index_work(space: EmbeddingSpace) -> str:
    """The name of index builds, measured in `index_amount`."""
    return f"{space.method} {space.storage}"


def index_amount(space: EmbeddingSpace, vectors: int) -> float:
    """The amount of work of an index build: its time is proportional to the numbers that it compares."""
    return float(vectors) * space.dimensions * space.ef_construction


def record_throughput(connection: Connection, work: str, amount: float, seconds: float) -> None:
    """Add a run to the measured throughput; earlier runs count half as much each time, since machines change."""
    statement = insert(WorkRate).values(work=work, amount=amount, seconds=seconds)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[WorkRate.work],
            set_={
                "amount": WorkRate.amount / 2 + statement.excluded.amount,
                "seconds": WorkRate.seconds / 2 + statement.excluded.seconds,
                "updated_at": func.now(),
            },
        )
    )


def estimate_seconds(connection: Connection, work: str, amount: float) -> float | None:
    """The estimated time of this work, or None if no run has done such work yet."""
    if not amount:
        return 0.0
    rate = connection.scalar(
        select(WorkRate.amount / WorkRate.seconds).where(WorkRate.work == work, WorkRate.seconds > 0)
    )
    return amount / rate if rate else None
