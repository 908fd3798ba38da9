"""Databases in the locales of the embedded server, C.UTF-8 and libc's C: what a word is must not depend on them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.schema import migrations
from tests.conftest import SCHEMA_SOURCES
from tests.support.database.database_server import DatabaseServer, hash_files

LOCALES = {"embedded": None, "c_utf8": "C.UTF-8", "libc_c": "C"}


@pytest.fixture(scope="module")
def locale_engines(databases: DatabaseServer, template: str) -> Iterator[dict[str, Engine]]:
    """An empty database of each locale, for the module."""

    def fill(url: URL, _files: Path) -> None:
        engine = make_engine(url)
        migrations.upgrade(engine)
        engine.dispose()

    with ExitStack() as stack:
        made = {}
        for name, locale in LOCALES.items():
            source = template
            if locale:
                digest = hash_files(SCHEMA_SOURCES)
                source = stack.enter_context(databases.template(name, digest, fill, of="template0", locale=locale))
            made[name] = make_engine(stack.enter_context(databases.copy(source)))
        yield made
        for engine in made.values():
            engine.dispose()


@pytest.fixture(params=LOCALES)
def locale_engine(request: pytest.FixtureRequest, locale_engines: dict[str, Engine]) -> Iterator[Engine]:
    """A database of each locale in turn, which is emptied after the test."""
    engine = locale_engines[request.param]
    yield engine
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE rag.projects, rag.lexemes, rag.word_statistics CASCADE")
