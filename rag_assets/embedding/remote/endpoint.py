"""Where an embedding server is, and the key for it."""

from dataclasses import dataclass, field
from functools import cache
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from rag_assets.embedding.remote.dialects import DIALECTS, OpenAIDialect
from rag_assets.errors import UsageError
from rag_assets.settings.remote_embedding import RemoteEmbeddingSettings

REQUEST_PATHS = ("/embeddings", "/embed")


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """`timeout_s` of one request, `query_timeout_s` of a query in all, `retry_s` without a good answer."""

    request_texts: int
    request_tokens: int
    concurrency: int
    timeout_s: float
    query_timeout_s: float
    retry_s: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is the full address of requests, without credentials; `shown` is what messages may say of it."""

    dialect: str
    url: str
    shown: str
    limits: EndpointLimits
    key: SecretStr | None = None
    user: SecretStr | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def headers(self) -> dict[str, str]:
        """Raises UsageError for a key that no header can carry."""
        if self.key is not None:
            value = f"Bearer {self.key.get_secret_value()}"
        elif self.user is not None:
            value = _basic(self.user.get_secret_value())
        else:
            return {}
        if not value.isascii() or not value.isprintable():
            raise UsageError(
                "the key of the embedding server has characters that a key cannot have; "
                "correct RAG_ASSETS_EMBEDDING_API_KEY, or the file of RAG_ASSETS_EMBEDDING_API_KEY_FILE."
            )
        return {"Authorization": value}

    def redact(self, text: str) -> str:
        """The text without the key, which some servers repeat in their messages."""
        for secret in (self.key, self.user):
            if secret is not None and secret.get_secret_value():
                text = text.replace(secret.get_secret_value(), "…")
        return text


def resolve_endpoint(dialect_name: str, settings: RemoteEmbeddingSettings) -> Endpoint:
    """Raises UsageError for a wrong address, and for a provider's own address without a key."""
    dialect = DIALECTS[dialect_name]
    key = _key(settings)
    url, user = find_address(dialect, settings)
    if settings.embedding_url is None and key is None:
        raise UsageError(
            f"{urlsplit(dialect.url).netloc} needs a key; set RAG_ASSETS_EMBEDDING_API_KEY, or "
            "RAG_ASSETS_EMBEDDING_URL to the address of another server."
        )
    return Endpoint(
        dialect=dialect_name,
        url=url.geturl(),
        shown=url._replace(query="").geturl(),
        limits=EndpointLimits(
            request_texts=settings.embedding_request_texts or dialect.request_texts,
            request_tokens=settings.embedding_request_tokens,
            concurrency=settings.embedding_concurrency,
            timeout_s=settings.embedding_timeout_s,
            query_timeout_s=settings.embedding_query_timeout_s,
            retry_s=settings.embedding_retry_s,
        ),
        key=key,
        user=SecretStr(user) if user else None,
    )


def find_address(dialect: OpenAIDialect, settings: RemoteEmbeddingSettings) -> tuple[SplitResult, str]:
    """The address of requests, and the credentials that the settings' address had. Raises UsageError for none."""
    given = settings.embedding_url.get_secret_value() if settings.embedding_url is not None else dialect.url
    try:
        parts = urlsplit(given.strip())
        host = parts.hostname
        _ = parts.port  # Raises for one that is no number.
    except ValueError:
        host, parts = None, SplitResult("", "", "", "", "")
    if not host:
        raise UsageError("RAG_ASSETS_EMBEDDING_URL is no address; make it one like http://localhost:8080/v1.")
    user, _, netloc = parts.netloc.rpartition("@")
    return parts._replace(netloc=netloc, path=_request_path(parts.path, dialect), fragment=""), user


def _request_path(path: str, dialect: OpenAIDialect) -> str:
    path = path.rstrip("/")
    if path.endswith(REQUEST_PATHS):
        return path
    return f"{path or dialect.version}{dialect.path}"


def _key(settings: RemoteEmbeddingSettings) -> SecretStr | None:
    key, file = settings.embedding_api_key, settings.embedding_api_key_file
    if key is not None:
        return SecretStr(key.get_secret_value().strip())
    if file is None:
        return None
    try:
        text = file.expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(
            f"RAG_ASSETS_EMBEDDING_API_KEY_FILE: {file} cannot be read ({reason}); correct the path or its permissions."
        ) from None
    if not text:
        raise UsageError(f"RAG_ASSETS_EMBEDDING_API_KEY_FILE: {file} is empty; write the key into it.")
    return SecretStr(text)


@cache
def _basic(user: str) -> str:
    import base64

    return "Basic " + base64.b64encode(unquote(user).encode()).decode()
