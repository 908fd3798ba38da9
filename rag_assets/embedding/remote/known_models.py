"""What is known of models over HTTP without asking their server."""

from dataclasses import dataclass

DEFAULT_WINDOW = 512


@dataclass(frozen=True, slots=True)
class KnownModel:
    """`shortens`: the provider returns fewer dimensions when asked to, the leading ones (Matryoshka)."""

    dimensions: int
    window: int
    shortens: bool = False


# From the documentation of the providers.
KNOWN_MODELS = {
    "openai:text-embedding-3-small": KnownModel(1536, 8192, shortens=True),
    "openai:text-embedding-3-large": KnownModel(3072, 8192, shortens=True),
    "openai:text-embedding-ada-002": KnownModel(1536, 8192),
    "voyage:voyage-3-large": KnownModel(1024, 32_000, shortens=True),
    "voyage:voyage-3.5": KnownModel(1024, 32_000, shortens=True),
    "voyage:voyage-3.5-lite": KnownModel(1024, 32_000, shortens=True),
    "voyage:voyage-code-3": KnownModel(1024, 32_000, shortens=True),
    "voyage:voyage-finance-2": KnownModel(1024, 32_000),
    "voyage:voyage-law-2": KnownModel(1024, 16_000),
    "cohere:embed-v4.0": KnownModel(1536, 128_000, shortens=True),
    "cohere:embed-english-v3.0": KnownModel(1024, 512),
    "cohere:embed-english-light-v3.0": KnownModel(384, 512),
    "cohere:embed-multilingual-v3.0": KnownModel(1024, 512),
    "cohere:embed-multilingual-light-v3.0": KnownModel(384, 512),
}
