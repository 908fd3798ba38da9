"""Versions of the code and libraries that make the text of documents and chunks."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

# Raise it when the same bytes give another text than before: documents are read again.
READER_VERSION = 1
# Raise it when the same text is split in other places than before: documents are split again.
SPLITTER_VERSION = 1


@cache
def document_library_version() -> str:
    try:
        return version("xberg")
    except PackageNotFoundError:
        return "missing"


@cache
def splitter_version() -> str:
    libraries = ("semantic-text-splitter", "markdown-it-py")
    return "-".join([str(SPLITTER_VERSION), *(version(name) for name in libraries)])
