"""Rows of PostgreSQL as documents, through the stages."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import text

from rag_assets.documents.sources import GivenSource, open_source
from rag_assets.documents.sources.base import read_bytes
from rag_assets.errors import IntegrityError, SourceError, UsageError
from rag_assets.testing import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps

MANY_TYPES = """
CREATE SCHEMA "My Shop";
CREATE TYPE "My Shop".colour AS ENUM ('red', 'blue');
CREATE TABLE "My Shop"."Items" (
  id uuid DEFAULT gen_random_uuid(), kind "My Shop".colour, day date, code char(4),
  "fullText" text, price numeric(8,2), sold timestamptz, tags text[], extra jsonb, raw bytea, share real, "a,b" int,
  PRIMARY KEY (kind, day, code, id)
);
INSERT INTO "My Shop"."Items" (kind, day, code, "fullText", price, sold, tags, extra, raw, share, "a,b")
VALUES ('blue', '2026-01-02', 'x', 'A harbour.', 12.50, '2026-01-02 03:04:05+02', '{a,b}', '{"n": [1]}', '\\x00ff',
        'NaN', 7),
       ('red', '2026-01-02', 'y', 'A tram.', 3, NULL, NULL, NULL, NULL, 0.5, 8)
"""


def execute(steps: Steps, *statements: str) -> None:
    with steps.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def source_uri(steps: Steps, query: str) -> str:
    """The address of rows in the test's own database, whose password is kept."""
    url = steps.engine.url
    own = "".join(f"&{name}={value}" for name, value in url.query.items())
    host = "" if url.host is None else f"{url.host}:{url.port}" if url.port else url.host
    given = GivenSource.parse(
        f"sql+postgresql://{url.username}:{url.password or ''}@{host}/{url.database}?{query}{own}"
    )
    given.keep_password(steps.settings.state_dir)
    return given.uri


def stored(steps: Steps) -> dict[str, tuple[Any, ...]]:
    found = rows(steps.engine, "SELECT file_path, content, metadata, parse_report FROM rag.documents")
    return {path: tuple(values) for path, *values in found}


def test_only_changed_rows_are_read_and_a_changed_metadata_column_embeds_nothing(steps: Steps) -> None:
    execute(
        steps,
        "CREATE TABLE items (id int PRIMARY KEY, body text, lang text, price numeric, updated_at timestamptz)",
        "INSERT INTO items SELECT n, 'text ' || n, 'en', n, now() FROM generate_series(1, 20) AS n",
        "INSERT INTO items VALUES (21, NULL, 'de', 1, now()), (22, '', 'de', 1, now())",
    )
    query = "table=items&id=id&text=body&metadata=lang,price&version=updated_at"
    with pytest.raises(UsageError, match="carries a password"):
        steps.project("items", "sql+postgresql://ada:geheim@host/db?" + query)
    steps.project("items", source_uri(steps, query))
    assert steps.documents("items")["inserted"] == 22
    steps.chunks("items")
    assert steps.embeddings("items")["embedded"] == 20
    steps.index()
    steps.live()
    assert stored(steps)["7"] == ("text 7", {"lang": "en", "price": 7}, None)
    assert stored(steps)["21"][2] == {"notes": ["the row's text is NULL"]}

    # The text of row 3 changes without its version: it is not even read.
    execute(
        steps,
        "UPDATE items SET body = 'unseen' WHERE id = 3",
        "UPDATE items SET lang = 'fr', updated_at = now() + interval '1 s' WHERE id <= 2",
        "DELETE FROM items WHERE id = 20",
    )
    second = steps.documents("items")
    assert (second["updated"], second["unchanged"], second["deleted"]) == (2, 19, 1)
    assert steps.chunks("items")["inserted"] == 0
    assert steps.embeddings("items")["embedded"] == 0
    assert stored(steps)["1"][1] == {"lang": "fr", "price": 1}

    execute(steps, "UPDATE items SET body = 'another text', updated_at = now() + interval '2 s' WHERE id = 3")
    assert steps.documents("items")["updated"] == 1
    steps.chunks("items")
    assert steps.embeddings("items")["embedded"] == 1

    execute(steps, "DELETE FROM items WHERE id > 5")
    with pytest.raises(IntegrityError, match="--confirm-deletions"):
        raise_failures(steps)
    execute(steps, "DELETE FROM items")
    with pytest.raises(IntegrityError, match="nothing was"):
        raise_failures(steps)


def raise_failures(steps: Steps) -> None:
    from rag_assets.pipeline.refresh import refresh_documents
    from rag_assets.pipeline.stages.batches import FailedProject

    for batch in refresh_documents(steps.engine, steps.settings, ["items"]):
        if isinstance(batch, FailedProject):
            raise batch.error


def test_composite_ids_quoted_names_and_all_types_of_metadata(steps: Steps) -> None:
    execute(steps, MANY_TYPES.replace(":04:05", r"\:04\:05"))
    query = (
        'table="My Shop"."Items"&id=kind,day,code&text=%2A {fullText}'
        '&metadata=price,sold,tags,extra,raw,share,"a,b"&options=-ctimezone%3DAsia/Tokyo'
    )
    steps.project("shop", source_uri(steps, query))
    assert steps.documents("shop")["inserted"] == 2
    found = stored(steps)
    assert found["blue/2026-01-02/x   "][:2] == (
        "* A harbour.",
        {
            "price": 12.5,
            "sold": "2026-01-02T10:04:05+09:00",
            "tags": ["a", "b"],
            "extra": {"n": [1]},
            "raw": "\\x00ff",
            "share": None,
            "a,b": 7,
        },
    )
    # Without a version column, the server's hash of the row tells what changed.
    assert steps.documents("shop")["unchanged"] == 2
    execute(steps, """UPDATE "My Shop"."Items" SET "a,b" = 9 WHERE code = 'y'""")
    assert steps.documents("shop")["updated"] == 1

    execute(steps, """CREATE MATERIALIZED VIEW "My Shop".ids AS SELECT id, "fullText" FROM "My Shop"."Items" """)
    with closing(open_source(source_uri(steps, 'table="My Shop".ids&id=id&text=fulltext'))) as source:
        texts = {read_bytes(source, file.path) for file in source.list()}
    assert texts == {b"A harbour.", b"A tram."}
    execute(steps, "CREATE SEQUENCE counter")
    for query, message in (
        ("query=SELECT nextval('counter') AS id, 'b' AS t&id=id&text=t", "read-only transaction"),
        ("query=WITH d AS (DELETE FROM rag.projects RETURNING 1 AS id) SELECT id FROM d&id=id&text=id", "top level"),
        ("query=SELECT 1 AS id, 2 AS id, 'b' AS t&id=id&text=t", "two columns 'id'"),
        ("table=nowhere.items&id=id&text=t", "there is no table 'nowhere.items'"),
    ):
        with pytest.raises(SourceError, match=message), closing(open_source(source_uri(steps, query))) as source:
            list(source.list())


@pytest.mark.parametrize("type_", ["vector", "float8[]", "jsonb"])
def test_vectors_of_a_column_are_taken_and_the_model_embeds_the_rest(steps: Steps, type_: str) -> None:
    encoder = HashEncoder(steps.target.definition.dimensions)
    texts = [f"the text of row {n}" for n in range(6)]
    execute(steps, f"CREATE TABLE items (id text PRIMARY KEY, body text, v {type_})")
    given: Sequence[Any] = [*encoder.encode(texts[:4]).tolist(), None, [0.0] * encoder.dimensions]
    with steps.engine.begin() as connection:
        for n, (body, vector) in enumerate(zip(texts, given, strict=True)):
            shown = None if vector is None else str([2 * number for number in vector])
            if shown is not None and type_ == "float8[]":
                shown = "{" + shown[1:-1] + "}"
            connection.execute(
                text(f"INSERT INTO items VALUES (:id, :body, CAST(CAST(:v AS text) AS {type_}))"),
                {"id": f"row-{n}", "body": body, "v": shown},
            )
    steps.project("items", source_uri(steps, "table=items&id=id&text=body&vector=v"))
    steps.documents("items")
    steps.chunks("items")
    figures = steps.embeddings("items")
    assert (figures["taken_from_source"], figures["unusable_source_vectors"], figures["embedded"]) == (4, 1, 2)
    assert sorted(steps.embedded) == texts[4:]
    lengths = "SELECT count(*) FROM rag.embeddings WHERE abs(vector_norm(embedding) - 1) < 1e-5"
    assert rows(steps.engine, lengths) == [(6,)]
    assert steps.embeddings("items")["embedded"] == 0

    if type_ == "jsonb":
        execute(steps, "INSERT INTO items VALUES ('short', 'a text with a short vector', '[1, 2, 3]')")
        steps.documents("items")
        steps.chunks("items")
        from rag_assets.pipeline.refresh import refresh_embeddings

        *_, last = refresh_embeddings(steps.engine, steps.settings, ["items"], steps.target, steps.encoder)
        assert "row short in column v has 3 dimensions" in str(getattr(last, "error", None))
