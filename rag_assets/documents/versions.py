"""Versions of the code and libraries that make the text of documents and chunks."""

from functools import cache
from typing import Final

# By file type, 1 where it is not listed. Raise it when the same bytes give another text, metadata or report:
# documents of this type are read again.
READER_VERSIONS: Final[dict[str, int]] = {
    **dict.fromkeys(("markdown", "text", "rst", "python", "code", "unknown"), 2),
    **dict.fromkeys(("html", "json", "jsonl", "notebook"), 2),
    **dict.fromkeys(("docx", "epub"), 2),
    **dict.fromkeys(("pptx", "odt", "odp"), 3),
    "csv": 4,
    **dict.fromkeys(("xlsx", "ods", "xls"), 3),
    "rtf": 2,
    "pdf": 3,
    "email": 2,
    "msg": 2,
}
# Raise it when the same text is split in other places or gets other headers than before: documents are split again.
SPLITTER_VERSION = 3
# The same for texts of the type "text": messages and memories are split as such, and a new number embeds them again.
PLAIN_TEXT_SPLITTER_VERSION = 1


@cache
def document_library_version() -> str:
    return _installed_version("xberg") or "missing"


@cache
def pdf_library_version() -> str:
    return _installed_version("pypdfium2") or "missing"


@cache
def recognition_version() -> str | None:
    """The version of the library that recognises text in pictures; None without the extra `ocr`."""
    return _installed_version("rapidocr") if _installed_version("onnxruntime") else None


def _installed_version(package: str) -> str | None:
    # Loading it takes 0.05 s, which each parser's process would wait for.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def splitter_version(*, plain_text: bool = False) -> str:
    libraries = ("semantic-text-splitter", "markdown-it-py")
    number = PLAIN_TEXT_SPLITTER_VERSION if plain_text else SPLITTER_VERSION
    return "-".join([str(number), *(_installed_version(name) or "missing" for name in libraries)])
