"""Dagster's history in SQLite, with connections that stay open and one commit for events that are stored together.

For every event Dagster makes a new SQLAlchemy engine, opens a file and closes it, and SQLite writes its log back into a
file whose last connection is closed; and Dagster commits an event several times, each of which waits for the disk. That
is most of the time of a run with nothing to do. The files are the same: without the lines of dagster.yaml that name
this storage, an installation continues with Dagster's own.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import dagster as dg
from packaging.version import Version
from sqlalchemy import Connection

from rag_assets.orchestration.storage.dagster_sqlite import (
    DagsterSqliteStorage,
    ExtensibleRunStorage,
    replace_storages,
)
from rag_assets.orchestration.storage.open_files import OpenFiles

# The lowest and the highest version of Dagster with which the tests of this storage passed. 1.13.0 does not store the
# events of an asset in one transaction, which this storage builds on.
TESTED_VERSIONS = ("1.13.27", "1.13.28")

_log = logging.getLogger(__name__)


class SqliteHistory(DagsterSqliteStorage):
    """The storage that dagster.yaml names under `storage: custom:`; `base_dir` is DAGSTER_HOME.

    With a version of Dagster that was not tested it is Dagster's own.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        if is_tested(dg.__version__):
            from rag_assets.orchestration.storage.event_log import PooledEventLog

            replace_storages(self, PooledRunStorage, PooledEventLog)
        else:
            _warn_untested(dg.__version__)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "SqliteHistory":
        return cls.from_local(inst_data=inst_data, **config_value)


class PooledRunStorage(ExtensibleRunStorage):
    """Dagster's history of runs, in the same file."""

    def __init__(self, address: str) -> None:
        self._files = OpenFiles()
        super().__init__(address)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._files.engine(self.address).connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        self._files.close()
        super().dispose()


def is_tested(version: str) -> bool:
    lowest, highest = map(Version, TESTED_VERSIONS)
    return lowest <= Version(version) <= highest


@cache
def _warn_untested(version: str) -> None:
    """Log it once in a process."""
    lowest, highest = TESTED_VERSIONS
    _log.warning(
        "rag_assets was tested with Dagster %s to %s, and Dagster %s is installed: Dagster's own SQLite storage keeps "
        "the history, in the same files, and runs take longer. Upgrade rag_assets, or install a tested version.",
        lowest,
        highest,
        version,
    )
