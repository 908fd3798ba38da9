"""rag-assets keys: add, list and revoke keys."""

import pytest
from sqlalchemy import Engine

from tests.support.installation.command_line import Cli


def test_a_key_is_printed_once_listed_and_revoked(built: Engine, cli: Cli) -> None:
    made = cli("keys", "add", "agents", "--project", "zoo", "--group", "staff", "--write", "--expires", "90d")
    assert (made.code, made.err) == (0, "")
    token = made.out.removesuffix("\n")
    assert token.startswith("rag_")
    assert "\n" not in token
    [key] = cli("keys", "list", "--json").json["keys"]
    assert (key["name"], key["projects"], key["groups"], key["may_write"]) == ("agents", ["zoo"], ["staff"], True)
    assert key["expires_at"] > key["created_at"]
    assert token not in cli("keys", "list").out
    assert "read and write" in cli("keys", "list").out
    assert cli("keys", "revoke", "agents").err == "agents is revoked\n"
    assert "revoked" in cli("keys", "list").out


def test_a_key_may_be_of_a_user_and_a_tenant(built: Engine, cli: Cli) -> None:
    cli("keys", "add", "annas", "--user", "anna", "--tenant", "acme", "--group", "staff")
    [key] = cli("keys", "list", "--json").json["keys"]
    assert (key["user"], key["tenant"], key["groups"]) == ("anna", "acme", ["staff"])
    assert "user:anna, tenant:acme, group:staff" in cli("keys", "list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "a", "--user", " anna"], "this viewer cannot be"),
        (["add", "a", "--expires", "soon"], "write a number and m, h, d or w"),
        (["add", "a", "--expires", "0d"], "write a number"),
        (["add", "a", "--expires", "999999999w"], "100 years at most"),
        (["add", "a", "--project", "none"], "there is no project 'none'"),
        (["add", " "], "give a text that is not empty"),
        (["add", "a", "--group", ""], "a group is empty"),
        (["revoke", "none"], "there is no key 'none'"),
    ],
)
def test_what_cannot_be_is_said(built: Engine, cli: Cli, arguments: list[str], said: str) -> None:
    assert said in cli("keys", *arguments).error(2)
