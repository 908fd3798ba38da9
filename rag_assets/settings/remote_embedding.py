"""Settings of embedding models that are reached over HTTP."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from rag_assets.settings.connection import ConnectionSettings


class RemoteEmbeddingSettings(ConnectionSettings):
    embedding_url: SecretStr | None = Field(
        None,
        description="Base address of the embedding server, like http://localhost:8080/v1. Unset: the provider's own.",
    )
    embedding_api_key: SecretStr | None = Field(None, description="Key of the embedding server. Unset: none is sent.")
    embedding_api_key_file: Path | None = Field(
        None, description="File with the key of the embedding server, read when the first text is sent."
    )
    model_window: int | None = Field(
        None,
        ge=16,
        description="Most tokens that a model over HTTP reads at once. Unset: those of a known model, else 512.",
    )
    tokenizer: str | None = Field(
        None,
        description="Tokenizer that counts the tokens of a model over HTTP: a folder with a tokenizer.json, or a name "
        "on the hub. Unset: the model's own where it is installed, else an estimate.",
    )
    embedding_document_type: str | None = Field(
        None,
        description="`input_type` that is sent with documents. Unset: `document` for voyage, `search_document` for "
        "cohere, none for openai. `-`: none.",
    )
    embedding_query_type: str | None = Field(
        None,
        description="`input_type` that is sent with queries. Unset: `query` for voyage, `search_query` for cohere, "
        "none for openai. `-`: none.",
    )
    embedding_request_texts: int | None = Field(
        None, ge=1, description="Most texts of one request. Unset: 32 for openai, 128 for voyage, 96 for cohere."
    )
    embedding_request_tokens: int = Field(16_384, ge=64, description="Most tokens of one request.")
    embedding_concurrency: int = Field(4, ge=1, le=64, description="Requests to the embedding server at a time.")
    embedding_timeout_s: float = Field(
        60, gt=0, description="Longest time that the embedding server may take for one request, in seconds."
    )
    embedding_query_timeout_s: float = Field(
        10, gt=0, description="Longest time to embed a query, in seconds, repeated requests included."
    )
    embedding_retry_s: float = Field(
        300,
        ge=0,
        description="Seconds for which requests are repeated while the embedding server is overloaded or does not "
        "answer, counted from its last good answer. What it asks to wait (Retry-After) is obeyed.",
    )

    @field_validator("embedding_url")
    @classmethod
    def _check_embedding_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().lower().startswith(("http://", "https://")):
            raise ValueError("no address that begins with http:// or https://")
        return value
