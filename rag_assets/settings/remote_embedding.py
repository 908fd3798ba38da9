"""Settings of embedding models that are reached over HTTP."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from rag_assets.settings.connection import ConnectionSettings


def parse_prices(value: str | float | None) -> dict[str, float]:
    """Prices by model, "" for a price without one; raises ValueError for what is no price."""
    prices = {}
    for entry in filter(None, map(str.strip, ("" if value is None else str(value)).split(","))):
        model, _, number = entry.rpartition("=")
        try:
            price = float(number)
        except ValueError:
            price = -1.0
        if not 0 <= price < float("inf"):
            raise ValueError(f"{number.strip()!r} is no price of a million tokens, like 0.02 or openai:NAME=0.02")
        prices[model.strip()] = price
    return prices


class RemoteEmbeddingSettings(ConnectionSettings):
    embedding_url: SecretStr | None = Field(
        None,
        description="Base address of the embedding server, like http://localhost:8080/v1. Unset: the provider's own.",
    )
    embedding_api_key: SecretStr | None = Field(None, description="Key of the embedding server. Unset: none is sent.")
    embedding_api_key_file: Path | None = Field(
        None, description="File with the key of the embedding server, read when the first text is sent."
    )
    previous_embedding_url: SecretStr | None = Field(
        None,
        description="Address of the server of the model that was set before, for the live space until the new one is "
        "promoted, and for rollbacks. Needed only where another server answers now.",
    )
    previous_embedding_api_key: SecretStr | None = Field(None, description="Key of that server.")
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
    embedding_request_tokens: int = Field(8_192, ge=64, description="Most tokens of one request.")
    embedding_concurrency: int = Field(4, ge=1, le=64, description="Requests to the embedding server at a time.")
    embedding_timeout_s: float = Field(
        120, gt=0, description="Longest time that the embedding server may take for one request, in seconds."
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

    embedding_price: str | float | None = Field(
        None,
        description="Price of a million tokens, in any currency, of the model over HTTP; of several models "
        "`openai:text-embedding-3-small=0.02,openai:text-embedding-3-large=0.13`.",
    )
    embedding_batch: bool = Field(
        False,
        description="Send texts of documents to the server's batch interface (`/v1/batches`, models of `openai:`), "
        "which costs half as much and answers within a day. A run submits them and ends; a later run fetches the "
        "vectors.",
    )
    embedding_batch_texts: int = Field(
        50_000, ge=1, description="Most texts of one batch. 50,000 is OpenAI's limit, which also wants 200 MB or less."
    )
    embedding_batch_price: str | float | None = Field(
        None, description="Price of a million tokens in a batch, as EMBEDDING_PRICE. Unset: half of that."
    )
    budget_run: float | None = Field(
        None,
        ge=0,
        description="The most that one run may spend on embedding, in the currency of EMBEDDING_PRICE. What it does "
        "not embed stays pending. Unset: no limit.",
    )
    budget_month: float | None = Field(
        None,
        ge=0,
        description="The most that all runs of a calendar month (UTC) may spend on embedding. Unset: no limit.",
    )

    def price_of(self, model: str, *, in_batch: bool = False) -> float | None:
        """The price of a million tokens of this model, sent at once or in a batch; None if it is not set."""
        at_once, batched = (
            prices.get(model, prices.get("") if model == self._priced_model else None)
            for prices in map(parse_prices, (self.embedding_price, self.embedding_batch_price))
        )
        if not in_batch or (batched is None and at_once is None):
            return at_once
        return at_once / 2 if batched is None and at_once is not None else batched

    @property
    def _priced_model(self) -> str:
        """The model that a price without a name is for."""
        return str(getattr(self, "model", ""))

    @field_validator("embedding_price", "embedding_batch_price")
    @classmethod
    def _check_embedding_price(cls, value: str | float | None) -> str | float | None:
        parse_prices(value)
        return value

    @field_validator("embedding_url", "previous_embedding_url")
    @classmethod
    def _check_embedding_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip().lower().startswith(("http://", "https://")):
            raise ValueError("no address that begins with http:// or https://")
        return value
