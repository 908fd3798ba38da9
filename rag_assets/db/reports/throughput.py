"""How fast work went in former runs, so that it can be said how long more of it will take."""

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import EmbeddingSpace, WorkRate


def embedding_work(model: str, revision: str) -> str:
    """Measured in tokens; the same for all spaces of a model, whatever is done with its vectors."""
    return f"embed {model}@{revision}"


def index_work(space: EmbeddingSpace) -> str:
    """Measured in `index_amount`."""
    return f"{space.method} {space.storage}"


def index_amount(space: EmbeddingSpace, vectors: int) -> float:
    """What the time of a build goes with: numbers compared with each other."""
    return float(vectors) * space.dimensions * space.ef_construction


def note_rate(connection: Connection, work: str, amount: float, seconds: float) -> None:
    """Add a run to what is known; all runs before it count half, since machines change."""
    noted = insert(WorkRate).values(work=work, amount=amount, seconds=seconds)
    connection.execute(
        noted.on_conflict_do_update(
            index_elements=[WorkRate.work],
            set_={
                "amount": WorkRate.amount / 2 + noted.excluded.amount,
                "seconds": WorkRate.seconds / 2 + noted.excluded.seconds,
                "updated_at": func.now(),
            },
        )
    )


def seconds_for(connection: Connection, work: str, amount: float) -> float | None:
    """How long so much will take; None where no run has done the like yet."""
    if not amount:
        return 0.0
    rate = connection.scalar(
        select(WorkRate.amount / WorkRate.seconds).where(WorkRate.work == work, WorkRate.seconds > 0)
    )
    return amount / rate if rate else None
