"""The database as a Dagster resource."""

from typing import TYPE_CHECKING

from rag_assets.io.retrying import no_vain_retries
from rag_assets.resources.by_settings import BySettings

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Postgres(BySettings):
    """The configured PostgreSQL, or the embedded one; all users in one process share one small pool."""

    @property
    def engine(self) -> "Engine":
        from rag_assets.db.engine import shared_engine

        with no_vain_retries():
            return shared_engine(self.settings)
