"""Rows of projects: their sources, and names that are valid partition keys."""

import re

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from rag_assets.db.models.projects import derive_project_id
from rag_assets.errors import UsageError
from rag_assets.projects.store import (
    check_project_name,
    find_project,
    get_project,
    project_names,
    save_project,
    slugify,
)

REFUSED = ["", "A", "a b", "-a", "a-", "_a", "a/b", "a\n", "ä", "a" * 64, "a...b", "a|b"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("My Docs (2024)", "my-docs-2024"),
        ("a", "a"),
        ("  ..  ", "documents"),
        ("海豚", "documents"),
        ("--x--", "x"),
        ("a" * 100, "a" * 63),
        ("a" * 62 + "-b", "a" * 62),
        ("under_score", "under-score"),
    ],
)
def test_any_name_makes_a_valid_slug(name: str, expected: str) -> None:
    assert slugify(name) == expected
    assert check_project_name(slugify(name)) == slugify(name)


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        check_project_name(name)


def test_the_check_constraint_accepts_the_same_names(engine: Engine) -> None:
    insert = text("INSERT INTO rag.projects (name, source_uri) VALUES (:name, '/')")
    for name in REFUSED:
        with pytest.raises(IntegrityError, match="ck_projects_name_is_slug"), engine.begin() as connection:
            connection.execute(insert, {"name": name})
    with engine.begin() as connection:
        for name in ("a", "0", "a-b_c", "a" * 63):
            assert save_project(connection, check_project_name(name), "/docs", {}).id == derive_project_id(name)


def test_saving_a_project_again_changes_its_source(engine: Engine) -> None:
    with engine.begin() as connection:
        first = save_project(connection, "zoo", "/old", {"include": ["*.md"]})
    with engine.begin() as connection:
        second = save_project(connection, "zoo", "/new", {})
        assert (second.id, second.source_uri, second.settings) == (first.id, "/new", {})
        assert project_names(connection) == ["zoo"]


def test_a_description_loses_characters_that_the_database_cannot_store(engine: Engine) -> None:
    with engine.begin() as connection:
        assert save_project(connection, "zoo", "x", {}, description="of\x00 ani\udcffmals").description == "of animals"


def test_an_unknown_project_is_an_error_that_lists_the_known_ones(engine: Engine) -> None:
    with engine.begin() as connection:
        assert find_project(connection, "zoo") is None
        with pytest.raises(UsageError, match=r"no project 'zoo' \(known: none yet\)"):
            get_project(connection, "zoo")
        save_project(connection, "sea", "/", {})
        save_project(connection, "air", "/", {})
        with pytest.raises(UsageError, match=r"known: air, sea\)"):
            get_project(connection, "zoo")


def test_an_error_with_names_stays_short(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(25):
            save_project(connection, f"p{number:02}", "/", {})
        with pytest.raises(
            UsageError, match=r"no project 'z{100}'… \(known: p00, .*p19 and 5 more\); make it"
        ) as raised:
            get_project(connection, "z" * 10_000)
    assert len(str(raised.value)) < 400
