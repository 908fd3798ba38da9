import platform
from pydoc_data.topics import topics

import pytest

from rag_assets.documents.sources import TOPICS_URI, open_source
from rag_assets.documents.sources.base import read_bytes
from rag_assets.errors import DocumentError


def test_each_topic_of_pythons_documentation_is_one_document() -> None:
    source = open_source(TOPICS_URI)
    files = list(source.list())
    assert source.uri == TOPICS_URI
    assert len(files) == len(topics) > 70
    assert [file.path for file in files] == sorted(f"{topic}.rst" for topic in topics)
    assert all(read_bytes(source, file.path).decode() == topics[file.path[:-4]] for file in files)
    assert all(len(read_bytes(source, file.path)) == file.size_bytes for file in files)


def test_versions_depend_on_python_and_content_and_are_stable() -> None:
    first, second = (list(open_source(TOPICS_URI).list()) for _ in range(2))
    assert first == second
    assert len({file.version for file in first}) == len(set(topics.values()))
    assert all(file.version.startswith(platform.python_version() + "-") for file in first)


def test_globs_and_the_size_limit_apply_to_topics() -> None:
    source = open_source(TOPICS_URI, include=["with.rst", "while.rst"], exclude=["while*"], max_bytes=10)
    assert [file.path for file in source.list()] == ["with.rst"]
    with pytest.raises(DocumentError, match="larger than the limit of 10 bytes"):
        source.read("with.rst")
    with pytest.raises(DocumentError, match=r"'none\.rst' is not among the topics"):
        source.read("none.rst")
