"""Typed settings, from the environment (prefix RAG_ASSETS_) and from `.env` in the working directory."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything that can be set; each field is the environment variable RAG_ASSETS_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="RAG_ASSETS_", env_file=".env", extra="ignore", frozen=True, validate_default=True
    )

    state_dir: Path = Field(
        Path(".rag_assets"),
        description="All state of one installation: embedded server, DAGSTER_HOME, caches.",
    )
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL 15+ with pgvector 0.8.4+; unset: the embedded server."
    )
