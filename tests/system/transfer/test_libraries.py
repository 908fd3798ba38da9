"""rag-assets import: tables of langchain-postgres, LlamaIndex, pgai (by its documented schema), and others."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

import rag_assets.embedding.encoder
from rag_assets.settings.settings import Settings
from rag_assets.testing import HashEncoder
from tests.support.fakes import ENCODERS
from tests.support.installation.command_line import Cli
from tests.support.pipeline.runs import rows

PYTHON = os.environ.get("OUTSIDE_CLIENTS_PYTHON")
LAMP, CHAIR = "A lamp for the desk, of brass.", "# Chairs\n\nA chair of oak.\n\n# Stools\n\nA stool of pine.\n"
EMBEDDED = [f"price: 40\ntitle: Lamp\nnew: True\n\n{LAMP}", f"new: True\n\n{CHAIR}".strip()]
CHUNKS = (
    "SELECT d.file_path, c.chunk_text, d.title, d.metadata FROM rag.documents d "
    "JOIN rag.document_chunks c ON c.document_id = d.id JOIN rag.projects p ON p.id = d.project_id "
    "WHERE p.name = :project ORDER BY 1"
)


@pytest.fixture
def import_(
    cli: Cli, engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Run the command with a HashEncoder as the model; returns what --json prints."""
    monkeypatch.setattr(
        rag_assets.embedding.encoder, "get_space_encoder", lambda space, *_: HashEncoder(space.dimensions)
    )
    address = engine.url.render_as_string(hide_password=False)

    def run(library: str, *options: str) -> dict[str, Any]:
        result = cli("import", library, address, *options, "--json")
        assert result.code == 0, result.err
        report: dict[str, Any] = result.json
        assert (report["embedded"], report["sample"]["least_cosine"] >= report["sample"]["threshold"]) == (0, True)
        assert [text for encoder in ENCODERS.values() for text in encoder.embedded] == []
        return report

    return run


def vectors_of(*texts: str) -> dict[str, list[float]]:
    return dict(zip(texts, HashEncoder().encode(texts).tolist(), strict=True))


@pytest.mark.skipif(PYTHON is None, reason="OUTSIDE_CLIENTS_PYTHON names no Python with both libraries installed")
def test_tables_of_the_real_libraries(
    import_: Callable[..., dict[str, Any]], cli: Cli, engine: Engine, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET search_path TO public"))
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps(vectors_of(LAMP, CHAIR, *EMBEDDED)))
    address = engine.url.render_as_string(hide_password=False)
    assert PYTHON is not None
    script = Path(__file__).with_name("write_tables.py")
    done = subprocess.run([PYTHON, script, address, file], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr

    assert "name one with --collection (there are other, shop)" in cli("import", "langchain", address).error(2)
    report = import_("langchain", "--collection", "shop")
    assert (report["project"], report["rows"], report["adopted"], report["refused"]) == ("shop", 2, 2, {})
    assert report["sample"] == {"texts": 2, "least_cosine": 1.0, "threshold": 0.999}
    found = rows(engine, CHUNKS, project="shop")
    assert found == [
        ("shop-chair", CHAIR.strip(), None, {}),
        ("shop-lamp", LAMP, "Lamp", {"price": 40, "title": "Lamp"}),
    ]

    report = import_("langchain", "--table", "lc_items")
    assert (report["project"], report["rows"]) == ("lc-items", 2)
    assert rows(engine, CHUNKS, project="lc-items")[0][1:] == (LAMP, "Lamp", {"price": 40, "title": "Lamp"})

    assert "several tables of llama-index (data_notes, data_plain)" in cli("import", "llama-index", address).error(2)
    report = import_("llama-index", "--table", "plain")
    assert (report["project"], report["sample"]["threshold"]) == ("plain", 0.998)
    assert [chunk for _, chunk, *_ in rows(engine, CHUNKS, project="plain")] == [LAMP, CHAIR.strip()]
    # LlamaIndex embeds a node with its metadata: the vectors are those of these texts.
    report = import_("llama-index", "--table", "data_notes", "--project", "knowledge")
    assert (report["adopted"], report["sample"]["least_cosine"]) == (2, 1.0)
    [(path, chunk, title, metadata), (_, other, *_)] = rows(engine, CHUNKS, project="knowledge")
    assert (path, title, [chunk, other]) == ("1", "Lamp", EMBEDDED)
    assert metadata.items() >= {"node_id": "node-0", "price": 40, "new": True, "file_size": 7}.items()
    assert not [name for name in metadata if name.startswith("_")]


def test_pgai_by_its_documented_schema(import_: Callable[..., dict[str, Any]], engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE public.blog (id bigint PRIMARY KEY, title text, contents text);"
                "CREATE TABLE public.blog_embedding_store (id bigint NOT NULL REFERENCES public.blog, "
                "embedding_uuid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(), chunk_seq int NOT NULL, "
                "chunk text NOT NULL, embedding vector(384) NOT NULL, UNIQUE (id, chunk_seq));"
                "CREATE VIEW public.blog_embedding AS SELECT t.*, s.embedding_uuid, s.chunk_seq, s.chunk, s.embedding "
                "FROM public.blog_embedding_store s LEFT JOIN public.blog t ON t.id = s.id;"
                "INSERT INTO public.blog VALUES (7, 'Furniture', 'both')"
            )
        )
        for at, (chunk, vector) in enumerate(vectors_of(LAMP, CHAIR).items()):
            connection.execute(
                text(
                    "INSERT INTO public.blog_embedding_store (id, chunk_seq, chunk, embedding) VALUES (7, :at, :c, :v)"
                ),
                {"at": at, "c": chunk, "v": str(vector)},
            )
    report = import_("pgai")
    assert (report["project"], report["rows"], report["adopted"]) == ("blog", 2, 2)
    assert rows(engine, CHUNKS, project="blog")[0] == ("7/0", LAMP, None, {"id": 7, "chunk_seq": 0})


@pytest.fixture
def items(engine: Engine) -> Engine:
    """A table of somebody's: two rows to take, and four that cannot be taken."""
    long = " ".join(f"word{n}" for n in range(400))
    vectors = vectors_of(LAMP, CHAIR, long)
    given: list[tuple[str | None, Any]] = [
        *((LAMP, vectors[LAMP]), (CHAIR, vectors[CHAIR]), (" \n", vectors[LAMP]), ("no vector", None)),
        *(("zero", [0.0] * 384), (long, vectors[long])),
    ]
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE public.items (no int PRIMARY KEY, body text, extra jsonb, v real[])"))
        for no, (body, vector) in enumerate(given):
            connection.execute(
                text('INSERT INTO public.items VALUES (:no, :body, \'{"lang": "en"}\', :v)'),
                {"no": no, "body": body, "v": vector},
            )
    return engine


COLUMNS = ("--table", "items", "--id", "no", "--text", "body", "--vector", "v", "--metadata", "extra.*")


def test_any_table_without_the_rows_that_cannot_be_taken(
    import_: Callable[..., dict[str, Any]], items: Engine, cli: Cli
) -> None:
    report = import_("table", *COLUMNS)
    assert (report["project"], report["rows"], report["adopted"]) == ("items", 6, 2)
    assert report["refused"] == {
        "without_text": 1,
        "without_vector": 1,
        "unusable_vector": 1,
        "longer_than_window": 1,
    }
    assert rows(items, CHUNKS, project="items")[0] == ("0", LAMP, None, {"lang": "en"})
    password = items.url.password
    assert password
    assert not rows(items, "SELECT 1 FROM rag.projects WHERE source_uri LIKE '%' || :p || '%'", p=password)
    address = items.url.render_as_string(hide_password=False)
    shown = cli("import", "table", address, *COLUMNS, "--sample", "1").out
    assert "project items: 6 rows, 0 vectors adopted, 0 texts embedded" in shown
    assert "refused: 1 row with a text that is longer than the model's window" in shown


def test_nothing_is_adopted_that_is_not_proved(
    import_: Callable[..., dict[str, Any]], items: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = items.url.render_as_string(hide_password=False)
    with items.begin() as connection:
        connection.execute(text("UPDATE public.items SET v = (SELECT v FROM public.items WHERE no = 0) WHERE no = 1"))
    error = cli("import", "table", address, *COLUMNS, "--json").error(1)
    assert "of 2 texts that were embedded again, 1 have a cosine below 0.999 (row '1': " in error
    assert rows(items, "SELECT (SELECT count(*) FROM rag.projects), (SELECT count(*) FROM rag.embeddings)") == [(0, 0)]
    with items.begin() as connection:
        connection.execute(text("UPDATE public.items SET v = v[1:3]"))
    error = cli("import", "table", address, *COLUMNS, "--json").error(2)
    assert "the vectors in column v have 3 dimensions, and those of" in error
    with items.begin() as connection:
        connection.execute(text("DELETE FROM public.items WHERE v IS NOT NULL"))
    error = cli("import", "table", address, *COLUMNS, "--json").error(2)
    assert "no row can be taken (1 without vector)" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("langchain",), "name the database of the table: rag-assets import langchain postgresql://"),
        (("chroma", "URL"), "there is no library 'chroma'; did you mean 'langchain'?"),
        (("langchain", "URL"), "this database has no table that langchain wrote; name it with --table."),
        (("langchain", "URL", "--collection", "x"), "has no table langchain_pg_embedding"),
        (("pgai", "URL", "--collection", "x"), "--collection is for langchain"),
        (("pgai", "URL", "--table", "items"), "is not one of pgai: it has no column 'chunk'"),
        (("pgai", "URL", "--table", "x"), "there is no table 'x'; tables of pgai here: none."),
        (("table", "URL", "--table", "items", "--id", "no"), "the text of the rows is not named"),
        (("table", "URL", *COLUMNS[:-2], "--metadata", "w"), "there is no column 'w'"),
        (("pgai", "sqlite:///x.db"), "are imported from PostgreSQL"),
        (("langchain", "postgresql://ada:secret@localhost:1/db"), "cannot be read"),
    ],
)
def test_wrong_use_is_one_sentence(
    items: Engine, database: URL, cli: Cli, settings: Settings, arguments: tuple[str, ...], message: str
) -> None:
    address = database.render_as_string(hide_password=False)
    error = cli("import", *(address if one == "URL" else one for one in arguments)).error(2)
    assert message in error
    assert "secret" not in error
