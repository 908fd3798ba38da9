"""The database as a Dagster resource."""

from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.io.retrying import no_vain_retries
from rag_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Postgres(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The configured PostgreSQL, or the embedded one; all users in one process share one small pool."""

    @property
    def settings(self) -> Settings:
        return load_settings()

    @property
    def engine(self) -> "Engine":
        from rag_assets.db.engine import shared_engine

        with no_vain_retries():
            return shared_engine(self.settings)
