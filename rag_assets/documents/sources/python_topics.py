"""Python's own documentation topics: a corpus that every CPython carries."""

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass

from rag_assets.documents.sources.base import SourceFile, check_size
from rag_assets.documents.sources.globs import Selection
from rag_assets.errors import DocumentError, SourceError

TOPICS_URI = "python-docs:topics"
TOPICS_NAME = "python-topics"


@dataclass(frozen=True, slots=True)
class TopicsSource:
    """One document `<topic>.rst` for each topic of `pydoc_data.topics`."""

    selection: Selection
    max_bytes: int | None = None

    @property
    def uri(self) -> str:
        return TOPICS_URI

    def list(self) -> Iterator[SourceFile]:
        for topic, text in sorted(_topics().items(), key=lambda item: item[0] + ".rst"):
            path = topic + ".rst"
            if self.selection.includes_path(path):
                data = text.encode()
                digest = hashlib.sha256(data).hexdigest()[:16]
                yield SourceFile(path, f"{platform.python_version()}-{digest}", len(data))

    def read(self, path: str) -> bytes:
        text = _topics().get(path.removesuffix(".rst"))
        if text is None:
            raise DocumentError(f"{path!r} is not among the topics of Python {platform.python_version()}")
        data = text.encode()
        check_size(path, len(data), self.max_bytes)
        return data

    def close(self) -> None:
        """Nothing is held open."""


def _topics() -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise SourceError(
            "this Python carries no documentation topics (pydoc_data.topics); install its full standard "
            "library, or name a folder of documents"
        ) from None
    return topics
