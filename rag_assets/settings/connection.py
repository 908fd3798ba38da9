"""Settings of the connection to the database: address, TLS, pools, timeouts and retries."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ConnectionSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="RAG_ASSETS_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    database_url: SecretStr | None = Field(
        None,
        description="Address of the database, postgresql://user:password@host:5432/database: PostgreSQL 15 or later "
        "with pgvector 0.8.4 or later. Unset: the embedded server.",
    )
    direct_database_url: SecretStr | None = Field(
        None,
        description="The server's own address, when DATABASE_URL is that of a pooler. Migrations, index builds and "
        "locks need it.",
    )
    replica_url: SecretStr | None = Field(
        None,
        description="Address of a read replica, a streaming standby of the database, which answers the searches of "
        "clients and of `rag-assets serve`. Unset: the database answers.",
    )
    replica_staleness_s: float = Field(
        10,
        gt=0,
        description="How many seconds the replica may be behind. While it may be more, the database answers.",
    )
    pooler: bool | None = Field(
        None,
        description="Whether DATABASE_URL is the address of a pooler in transaction mode (pgbouncer, Neon, Supabase). "
        "Unset: detected from the address or the first connection.",
    )
    application_name: str = Field("rag_assets", description="Name of the connections in pg_stat_activity.")
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="TLS to the database, as libpq's sslmode. Unset: what DATABASE_URL says, else prefer."
    )
    ssl_root_cert: str | None = Field(
        None,
        description="File with the certificate authorities that may sign the server's certificate, or `system` for "
        "those of the operating system.",
    )
    ssl_cert: Path | None = Field(None, description="File with the client's certificate.")
    ssl_key: Path | None = Field(None, description="File with the key of the client's certificate.")
    connect_timeout_s: int = Field(10, ge=2, description="Longest time to open a connection, in seconds.")

    pool_min: int = Field(
        0, ge=0, description="Connections that a pool opens when it is created. Readers and writers have a pool each."
    )
    pool_size: int = Field(
        5,
        ge=1,
        description="Connections that a pool keeps open. Pools times connections, over all processes, must stay below "
        "the server's max_connections.",
    )
    pool_overflow: int = Field(0, ge=0, description="Connections that a pool opens beyond POOL_SIZE under load.")
    pool_timeout_s: float = Field(30, gt=0, description="Longest wait for a free connection of a pool, in seconds.")
    pool_recycle_s: float = Field(
        1800, ge=-1, description="Age in seconds at which a connection is replaced. -1: never."
    )
    pre_ping: bool = Field(
        True,
        description="Test a writer's connection before use. Readers need no test: a read on a broken connection is "
        "repeated.",
    )
    statement_timeout_s: float | None = Field(
        600,
        gt=0,
        description="Longest run time of a statement, in seconds. It does not apply to index builds and migrations.",
    )
    lock_timeout_s: float | None = Field(
        None, gt=0, description="Longest wait of a statement for a lock, in seconds. Unset: the server's own limit."
    )
    retry_s: float = Field(
        15,
        ge=0,
        description="Seconds for which work is retried after its connection broke, where that is safe. 0: no retry.",
    )
    log_queries: bool = Field(False, description="Log every statement, without the values of texts.")
    slow_query_ms: float | None = Field(
        None, ge=0, description="Log statements that take at least so many milliseconds. Unset: none."
    )
