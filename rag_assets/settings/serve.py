"""Settings of `rag-assets serve`: who may come in without a key, and limits."""

from pydantic import Field

from rag_assets.settings.embedding import EmbeddingSettings


class ServeSettings(EmbeddingSettings):
    serve_anonymous: bool = Field(
        False, description="Let callers without a key read everything. Meant for a server that only you can reach."
    )
    serve_max_k: int = Field(1_000, ge=1, le=1_000, description="Most hits that a caller may ask for.")
    serve_max_queries: int = Field(1_000, ge=1, description="Most queries of one request to /v1/search/batch.")
    serve_body_kb: int = Field(1_024, ge=1, description="Largest body of a request, in KB.")
    serve_timeout_s: float = Field(
        30, gt=0, description="Longest time for a request, in seconds, with its wait in the queue."
    )
    serve_running: int = Field(64, ge=1, description="Requests that are worked on at a time.")
    serve_queue: int = Field(
        256, ge=0, description="Requests that may wait for their turn. Further ones are answered 503 with Retry-After."
    )
    serve_per_caller: int = Field(
        64, ge=1, description="Requests of one caller at a time, with those that wait. Further ones are answered 429."
    )
    serve_project_tools: bool = Field(
        False, description="Give agents a tool `search_PROJECT` for each project, beside `search`."
    )
    serve_ui_url: str | None = Field(
        None,
        description="Address of the Dagster UI that the search page links to, like http://127.0.0.1:3000. "
        "Unset: no link.",
    )
