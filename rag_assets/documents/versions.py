"""What the text of documents and chunks depends on beside the bytes and the settings: our code, and the libraries."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

# Raise it when the same bytes come out as another text than before, so that they are read again.
READING = 1
# Raise it with every change after which some text would be cut in other places.
CUTTING = 1


@cache
def document_library_version() -> str:
    try:
        return version("xberg")
    except PackageNotFoundError:
        return "missing"


@cache
def splitter_version() -> str:
    libraries = ("semantic-text-splitter", "markdown-it-py")
    return "-".join([str(CUTTING), *(version(name) for name in libraries)])
