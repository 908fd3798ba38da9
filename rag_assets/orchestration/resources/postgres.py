"""The database as a Dagster resource."""

from multiprocessing import parent_process
from typing import TYPE_CHECKING

from rag_assets.orchestration.resources.base import SettingsResource
from rag_assets.orchestration.retries import fail_without_retries

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Postgres(SettingsResource):
    """The configured PostgreSQL, or the embedded one; everything in one process shares one small pool."""

    @property
    def engine(self) -> "Engine":
        from rag_assets.db.database import writable_engine
        from rag_assets.db.session.priority import give_way

        if parent_process() is not None:
            # A process of Dagster's for one run; others may belong to an application.
            give_way(self.settings.background_nice)
        with fail_without_retries():
            return writable_engine(self.settings)
