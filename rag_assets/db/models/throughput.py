"""The measured speed of past work, from which the time of further work is estimated."""

from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Float8, Timestamped


class WorkRate(Timestamped, Base):
    """`amount` of work done in `seconds`, for example tokens embedded; recent runs weigh most."""

    __tablename__ = "work_rates"

    work: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Float8]
    seconds: Mapped[Float8]
