"""The column schema of assets: each column is described, and constraints are those of the database."""

import pytest
from sqlalchemy import Engine

from rag_assets.orchestration.io.metadata import column_schema
from tests.support.pipeline.runs import rows

TABLES = ["documents", "document_chunks", "embeddings"]
# Constraint type (p, u, f, c), definition and columns.
ENFORCED = """
SELECT c.contype::text, pg_get_constraintdef(c.oid),
  ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_constraint c WHERE c.conrelid = ('rag.' || :table)::regclass AND c.contype IN ('p', 'u', 'f', 'c')
"""


@pytest.mark.parametrize("table", [*TABLES, "live_chunks"])
def test_every_column_has_a_description_of_one_sentence(table: str) -> None:
    descriptions = {column.name: column.description or "" for column in column_schema(table).columns}
    assert {name for name, text in descriptions.items() if not 10 < len(text) < 110 or not text.endswith(".")} == set()
    assert len(set(descriptions.values())) == len(descriptions)


@pytest.mark.parametrize("table", TABLES)
def test_column_constraints_equal_those_of_the_database(table: str, engine: Engine) -> None:
    enforced = rows(engine, ENFORCED, table=table)
    keys = {name for kind, _, columns in enforced if kind == "p" for name in columns}
    alone = {columns[0] for kind, _, columns in enforced if kind in "pu" and len(columns) == 1}
    pointing = {columns[0]: statement.casefold() for kind, statement, columns in enforced if kind == "f"}
    shown = {column.name: column.constraints for column in column_schema(table).columns}
    assert keys
    assert pointing
    assert {name for name, of in shown.items() if "primary key" in of.other} == keys
    assert {name for name, of in shown.items() if of.unique} == alone
    references = {name: one for name, of in shown.items() for one in of.other if one.startswith("references")}
    assert references.keys() == pointing.keys()
    for name, one in references.items():
        target, _, ends = one.removeprefix("references ").partition(" on delete ")
        referred, _, key = target.rpartition(".")
        assert f"references {referred}({key})" in pointing[name]
        assert f"on delete {ends}" in pointing[name]


@pytest.mark.parametrize("table", TABLES)
def test_table_constraints_equal_those_of_the_database(table: str, engine: Engine) -> None:
    enforced = rows(engine, ENFORCED, table=table)
    shown = column_schema(table).constraints
    unique = {f"unique ({', '.join(columns)})" for kind, _, columns in enforced if kind == "u" and len(columns) > 1}
    assert {one for one in shown.other if one.startswith("unique")} == unique
    checks = sum(1 for kind, *_ in enforced if kind == "c")
    assert sum(1 for one in shown.other if one.startswith("check")) == checks
    assert len(shown.other) == len(unique) + checks


def test_generated_columns_are_marked() -> None:
    shown = {column.name: column.constraints.other for column in column_schema("document_chunks").columns}
    assert [name for name, other in shown.items() if "generated" in other] == ["tsv"]
