"""Settings of the audit: what is recorded, and for how long."""

from typing import Literal

from pydantic import Field

from rag_assets.settings.oidc import OidcSettings


class AuditSettings(OidcSettings):
    audit: Literal["off", "serve", "all"] = Field(
        "serve",
        description="Whose requests `rag.audit_entries` records: those of `rag-assets serve`, HTTP and MCP (serve), "
        "also the searches of clients in Python (all), or none (off).",
    )
    audit_queries: bool = Field(
        False, description="Record the texts of questions, too, which may tell of persons and secrets."
    )
    audit_days: int = Field(
        90, ge=1, le=36_500, description="Days for which the audit is kept; the maintenance deletes older entries."
    )
