"""The database as a Dagster resource."""

from typing import TYPE_CHECKING

from rag_assets.orchestration.resources.base import BySettings
from rag_assets.orchestration.retries import no_vain_retries

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Postgres(BySettings):
    """The configured PostgreSQL, or the embedded one; all users in one process share one small pool."""

    @property
    def engine(self) -> "Engine":
        from rag_assets.db.database import shared_engine

        with no_vain_retries():
            return shared_engine(self.settings)
