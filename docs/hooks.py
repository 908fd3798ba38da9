"""MkDocs hooks: CONTRIBUTING.md and CHANGELOG.md are pages too, and stand where people look for them."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REPOSITORY_FILES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the repository's file in place of the page, with links as they are from inside docs/pages."""
    name = REPOSITORY_FILES.get(page.file.src_uri)
    if name is None:
        return markdown
    return re.sub(r"\]\(docs/pages/", "](", (ROOT / name).read_text(encoding="utf-8"))
