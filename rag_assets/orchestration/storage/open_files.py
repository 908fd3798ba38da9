"""SQLite files whose connections stay open."""

import threading
from collections import OrderedDict

from sqlalchemy import Engine, QueuePool, create_engine

# Each run has a file of its own, and a web server reads many.
MAX_OPEN = 8
# How long a statement waits for another process that writes the file; Dagster's own storage waits as long.
BUSY_TIMEOUT_S = 30


class OpenFiles:
    """One engine for each file, with one connection that stays open, for the MAX_OPEN files that were used last."""

    def __init__(self) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def engine(self, address: str) -> Engine:
        with self._lock:
            engine = self._engines.get(address)
            if engine is None:
                timeout = {"timeout": BUSY_TIMEOUT_S}
                engine = create_engine(address, poolclass=QueuePool, pool_size=1, max_overflow=-1, connect_args=timeout)
                self._engines[address] = engine
            self._engines.move_to_end(address)
            while len(self._engines) > MAX_OPEN:
                self._engines.popitem(last=False)[1].dispose()
            return engine

    def close(self) -> None:
        with self._lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
