"""How the database is reached, and how long it may take: the part of the settings that concerns connections."""

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
        description="PostgreSQL 15+ with pgvector 0.8.4+, as postgresql://user:password@host:5432/database; "
        "unset: the embedded server.",
    )
    direct_database_url: SecretStr | None = Field(
        None,
        description="The server's own address, where DATABASE_URL leads to a pooler: for migrations, indexes, locks.",
    )
    pooler: bool | None = Field(
        None,
        description="Whether DATABASE_URL leads to a pooler in transaction mode (pgbouncer, Neon, Supabase); "
        "unset: found out.",
    )
    application_name: str = Field("rag_assets", description="How its connections are called in pg_stat_activity.")
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="TLS to the database, as libpq's sslmode; unset: what the URL says, else prefer."
    )
    ssl_root_cert: str | None = Field(
        None, description="Certificates that the server's must be signed by: a file, or `system`."
    )
    ssl_cert: Path | None = Field(None, description="The client's certificate.")
    ssl_key: Path | None = Field(None, description="The key of the client's certificate.")
    connect_timeout_s: int = Field(10, ge=2, description="How long the database may take to accept a connection.")

    pool_min: int = Field(0, ge=0, description="Connections that a pool of readers or writers opens at once.")
    pool_size: int = Field(5, ge=1, description="Connections that each pool keeps open, once they were needed.")
    pool_overflow: int = Field(0, ge=0, description="Connections beyond these while they are needed.")
    pool_timeout_s: float = Field(30, gt=0, description="How long one waits for a free connection.")
    pool_recycle_s: float = Field(1800, ge=-1, description="Age at which a connection is replaced; -1: never.")
    pre_ping: bool = Field(True, description="Whether a writer's connection is tested before use; readers ask again.")
    statement_timeout_s: float | None = Field(
        600, gt=0, description="The longest that one statement may take, index builds and migrations aside."
    )
    lock_timeout_s: float | None = Field(
        None, gt=0, description="The longest that one statement waits for a lock; unset: the server's own."
    )
    retry_s: float = Field(
        15,
        ge=0,
        description="How long work is tried again after a connection broke, where that is safe; 0: not at all.",
    )
    log_queries: bool = Field(False, description="Log every statement, without the values of texts.")
    slow_query_ms: float | None = Field(None, ge=0, description="Log statements that take this long; unset: none.")
