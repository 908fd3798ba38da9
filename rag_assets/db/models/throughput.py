"""What work has taken so far, by which is said what other work will take."""

from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Number, Timestamped


class WorkRate(Timestamped, Base):
    """`amount` in `seconds`: tokens through a model, vectors into an index; the last runs count most."""

    __tablename__ = "work_rates"

    work: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Number]
    seconds: Mapped[Number]
