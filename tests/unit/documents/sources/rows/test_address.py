"""The addresses of rows: what is stored of them, and what is refused."""

import os
import stat
from pathlib import Path

import pytest

from rag_assets.documents.sources import GivenSource, canonical_uri, source_name
from rag_assets.documents.sources.rows import passwords
from rag_assets.documents.sources.rows.address import (
    has_source_vectors,
    parse_row_address,
    split_names,
    split_password,
    split_table,
    with_password,
)
from rag_assets.documents.sources.rows.given import forget_unused_password
from rag_assets.documents.sources.rows.values import to_metadata
from rag_assets.errors import ServiceError, UsageError

ITEMS = "sql+postgresql://ada@db.example.com:5432/shop?table=items&id=id&text=body"


def test_the_parameters_of_an_address_are_ours_and_all_others_are_the_drivers() -> None:
    found = parse_row_address(ITEMS + "&metadata=lang,price&version=updated_at&vector=v&sslmode=require")
    assert (found.table, found.id, found.text, found.metadata) == ("items", ("id",), "body", ("lang", "price"))
    assert (found.version, found.vector) == ("updated_at", "v")
    assert dict(found.url.query) == {"sslmode": "require"}
    assert found.url.drivername == "postgresql+psycopg"
    assert found.name == "items"


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("user:secret@host/db", "secret"),
        ("user:p%40ss%2Fw%3Ford@host/db", "p@ss/w?ord"),
        ("user:pa/ss@host/db", "pa/ss"),
        ("user:@host/db", None),
        ("user@host/db", None),
        ("host/db", None),
        ("user:secret@/db", "secret"),
    ],
)
def test_a_password_is_split_off(written: str, password: str | None) -> None:
    address, found = split_password(f"sql+postgresql://{written}?table=t&id=id&text=x@y:z")
    assert found == password
    assert "secret" not in address
    assert address.endswith("?table=t&id=id&text=x@y:z")
    assert canonical_uri(address) == address


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (ITEMS.replace("ada@", "ada:geheim@"), "carries a password, which would be stored"),
        (ITEMS.replace("ada@", "ada:ge@heim@"), "percent-encoded"),
        (ITEMS.replace("ada@", "ada:ge?heim@"), "percent-encoded"),
        (ITEMS + "&password=geheim", "carries a secret in 'password'"),
        (ITEMS + "&sslpassword=geheim", "carries a secret in 'sslpassword'"),
        (ITEMS.replace("id=id&", ""), "needs the parameter 'id'"),
        (ITEMS.replace("&text=body", "&Text=body"), "did you mean 'text'?"),
        (ITEMS + "&query=select 1", "one of the parameters 'table' and 'query'"),
        (ITEMS + "&id=other", "'id' twice"),
        (ITEMS + "{x", "cannot be understood"),
        (ITEMS + "{x.__class__}{y!r}", "formats a value"),
        (ITEMS.replace("text=body", "text={}{a}"), "empty braces"),
        ("sql+sqlite://?table=t&id=id&text=x", "names no file"),
    ],
)
def test_what_an_address_must_not_be_is_said_without_a_secret(address: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        canonical_uri(address)
    assert message in str(raised.value)
    assert "heim" not in str(raised.value)


def test_the_path_of_a_sqlite_file_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = canonical_uri("sql+sqlite:///notes.db?table=notes&id=id&text=body")
    assert stored == f"sql+sqlite:///{tmp_path}/notes.db?table=notes&id=id&text=body"
    assert canonical_uri(stored) == stored
    assert source_name(stored) == "notes"


def test_names_may_be_quoted() -> None:
    assert split_table('"My Shop"."Big, Items"') == ("My Shop", "Big, Items")
    assert split_table("shop.items") == ("shop", "items")
    assert split_table("Items") == (None, "Items")
    assert split_names('id, "a,b"') == ("id", "a,b")
    with pytest.raises(UsageError, match="cannot be understood"):
        split_table("a.b.c")


def test_a_password_is_kept_apart_for_its_server_database_and_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = GivenSource.parse(ITEMS.replace("ada@", "ada:geheim@"))
    assert given.uri == ITEMS
    assert "geheim" not in repr(given)
    state = tmp_path / "state"
    given.keep_password(state)
    (file,) = state.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    address = parse_row_address(given.uri)
    assert passwords.find_password(address, "items", state) == "geheim"
    for other in (
        ITEMS.replace("ada@", "bob@"),
        ITEMS.replace("example.com", "example.org"),
        ITEMS.replace("/shop", "/x"),
    ):
        assert passwords.find_password(parse_row_address(other), "items", state) is None

    forget_unused_password(ITEMS, [ITEMS + "&version=v"], state)
    assert passwords.find_password(address, "items", state) == "geheim"
    forget_unused_password(ITEMS, [ITEMS.replace("ada@", "bob@"), "/srv/docs"], state)
    assert passwords.find_password(address, "items", state) is None
    given.keep_password(state)

    monkeypatch.setenv("RAG_ASSETS_SOURCE_MY_ITEMS_PASSWORD", "another")
    assert passwords.find_password(address, "my-items", state) == "another"
    passwords.forget_password(address, state)
    assert passwords.find_password(address, "items", state) is None
    file.write_text("{")
    with pytest.raises(ServiceError, match="it is not JSON"):
        passwords.find_password(address, "items", state)


def test_a_password_in_env_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("RAG_ASSETS_SOURCE_ITEMS_PASSWORD=geheim\n")
    assert passwords.find_password(parse_row_address(ITEMS), "items", tmp_path) == "geheim"
    assert "RAG_ASSETS_SOURCE_ITEMS_PASSWORD" not in os.environ


def test_an_address_gets_its_password_back_and_tells_whether_it_has_vectors() -> None:
    given = "sql+postgresql://ada:p%40ss%3Aw%2Frd@host/db?table=t&id=id&text=x&vector=v"
    assert with_password(*split_password(given)) == given
    assert with_password(ITEMS, None) == ITEMS
    assert [has_source_vectors(uri) for uri in (ITEMS, f"{ITEMS}&vector=v", "/a/folder")] == [False, True, False]


def test_keys_of_json_objects_become_metadata() -> None:
    given = [
        ("lang", "de"),
        ("extra.*", {"a": [1], "lang": "fr"}),
        ("more.*", '{"b": 2}'),
        ("none.*", None),
        ("n.*", 7),
    ]
    assert to_metadata(given) == {"lang": "fr", "a": [1], "b": 2, "n": 7}
