"""Names of models over HTTP: the dialect of their server, a colon, and the server's own name of the model."""

from rag_assets.embedding.remote.dialects import DIALECTS
from rag_assets.errors import UsageError

# The names under which a space's prompts keep the `input_type` of documents and of queries.
DOCUMENT_TYPE, QUERY_TYPE = "document_type", "query_type"
# The names under which a space's chunking settings keep where its tokenizer is, and the mark of its server's address.
# They are not part of its fingerprint: both can move.
TOKENIZER_SOURCE, SERVER = "tokenizer_source", "server"


def is_remote(name: str) -> bool:
    return name.partition(":")[0] in DIALECTS and ":" in name


def split_name(name: str) -> tuple[str, str]:
    """(dialect, the server's own name); raises UsageError for a name without a model."""
    dialect, _, own = name.partition(":")
    if not own.strip():
        raise UsageError(f"RAG_ASSETS_MODEL is {name!r}, which names no model; make it {dialect}:NAME.")
    return dialect, own.strip()
