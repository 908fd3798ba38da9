"""How an engine connects, pools and logs, as the settings say; the same for sync and async engines."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import URL

from rag_assets.db.connections.urls import direct_url
from rag_assets.db.session.pinned_settings import REPORTED_SETTINGS
from rag_assets.settings.settings import Settings

# Readers and writers have pools of their own, so that searches never wait for writes; `direct` bypasses a pooler.
Role = Literal["read", "write", "direct"]

# A server that vanished without closing its connections is noticed after 30 + 3 x 10 s, or 30 s after a send.
_TCP = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`pooler` says whether the URL leads to a pooler; None detects it."""

    application_name: str = "rag_assets"
    pool_min: int = 0
    pool_size: int = 5
    pool_overflow: int = 0
    pool_timeout_s: float = 30
    pool_recycle_s: float = 1800
    pre_ping: bool = True
    connect_timeout_s: int = 10
    statement_timeout_s: float | None = None
    lock_timeout_s: float | None = None
    tls: tuple[tuple[str, str], ...] = ()
    pooler: bool | None = None
    direct_url: URL | None = None
    # For reads alone: it saves the round trips that begin and end a transaction.
    autocommit: bool = False
    # For work that takes its time: the limits of the role and the database do not apply.
    unlimited: bool = False
    log_queries: bool = False
    slow_query_ms: float | None = None
    retry_s: float = 15

    @classmethod
    def from_settings(cls, settings: Settings, role: Role = "write") -> "EngineOptions":
        tls = {
            "sslmode": settings.ssl_mode,
            "sslrootcert": settings.ssl_root_cert,
            "sslcert": settings.ssl_cert,
            "sslkey": settings.ssl_key,
        }
        options = cls(
            application_name=settings.application_name if role == "write" else f"{settings.application_name} {role}",
            pool_min=settings.pool_min,
            pool_size=settings.pool_size,
            pool_overflow=settings.pool_overflow,
            pool_timeout_s=settings.pool_timeout_s,
            pool_recycle_s=settings.pool_recycle_s,
            # It costs each search a round trip, and a read is repeated on another connection (retry.py).
            pre_ping=settings.pre_ping and role != "read",
            autocommit=role == "read",
            connect_timeout_s=settings.connect_timeout_s,
            statement_timeout_s=settings.statement_timeout_s,
            lock_timeout_s=settings.lock_timeout_s,
            tls=tuple((name, str(value)) for name, value in tls.items() if value is not None),
            pooler=settings.pooler,
            direct_url=direct_url(settings),
            log_queries=settings.log_queries,
            slow_query_ms=settings.slow_query_ms,
            retry_s=settings.retry_s,
        )
        return options.for_direct_engine() if role == "direct" else options

    def for_direct_engine(self) -> "EngineOptions":
        """The options for migrations, index builds and locks, which take their time: without timeouts."""
        return replace(
            self,
            application_name=f"{self.application_name.split()[0]} direct",
            pool_min=0,
            autocommit=False,
            statement_timeout_s=None,
            lock_timeout_s=None,
            unlimited=True,
            pooler=False if self.pooler is False else None,
        )

    def engine_arguments(self) -> dict[str, Any]:
        """Arguments for `create_engine` and `create_async_engine`."""
        # Without a transaction there is nothing to roll back when a connection is returned.
        autocommit = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None} if self.autocommit else {}
        return {
            **autocommit,
            "pool_size": self.pool_size,
            "max_overflow": self.pool_overflow,
            "pool_timeout": self.pool_timeout_s,
            "pool_recycle": self.pool_recycle_s,
            "pool_pre_ping": self.pre_ping,
            # Errors are shown and logged; the values may be private.
            "hide_parameters": True,
            "connect_args": {
                "application_name": self.application_name,
                "client_encoding": REPORTED_SETTINGS["client_encoding"],
                "connect_timeout": self.connect_timeout_s,
                **_TCP,
                **dict(self.tls),
            },
        }

    def startup_settings(self) -> dict[str, object]:
        """The server settings of a session that this engine opens; the last ones win over PGOPTIONS."""
        settings: dict[str, object] = dict(self.timeouts_ms())
        # A session that holds a lock is idle while a model runs, and one in a pool between two searches.
        settings |= {"idle_session_timeout": 0, "idle_in_transaction_session_timeout": 0}
        if self.autocommit:
            # JIT compilation of a statement takes longer than a search.
            settings["jit"] = "off"
        if self.unlimited:
            settings |= {"statement_timeout": 0, "lock_timeout": 0}
        return settings

    def timeouts_ms(self) -> dict[str, int]:
        """The server settings that limit a statement."""
        wanted = {"statement_timeout": self.statement_timeout_s, "lock_timeout": self.lock_timeout_s}
        # 0 would turn the timeout off.
        return {name: max(1, int(value * 1000)) for name, value in wanted.items() if value is not None}
