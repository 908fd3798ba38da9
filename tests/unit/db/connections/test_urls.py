"""Addresses of databases: as libpq and SQLAlchemy write them, with several hosts, with pasted passwords."""

import pytest

from rag_assets.db.connections.urls import format_address, format_url, looks_like_pooler, parse_database_url
from rag_assets.errors import UsageError


@pytest.mark.parametrize(
    ("text", "user", "password", "address", "database"),
    [
        ("postgresql://u:p@h:5433/d", "u", "p", "h:5433", "d"),
        ("postgres://u@h/d", "u", None, "h:5432", "d"),
        ("postgresql+psycopg:///d", None, None, "localhost:5432", "d"),
        ("postgresql://u:p%40s%2Fs@h/d", "u", "p@s/s", "h:5432", "d"),
        ("postgresql://u:p@ss@h/d", "u", "p@ss", "h:5432", "d"),
        ("postgresql://u:p/ss?#[x]@h:5433/d", "u", "p/ss?#[x]", "h:5433", "d"),
        ("postgresql://u:12/34@h/d", "u", "12/34", "h:5432", "d"),
        ("postgresql://u:100%@h/d", "u", "100%", "h:5432", "d"),
        ("postgresql://u:a:b@h/d", "u", "a:b", "h:5432", "d"),
        ("postgresql://u:p@h1:5433,h2,[::1]:5434/d", "u", "p", "h1:5433,h2:5432,::1:5434", "d"),
        ("postgresql://u:p@/d?host=h1:5433&host=h2:5434", "u", "p", "h1:5433,h2:5434", "d"),
        ("postgresql://u:p@[::1]:5433/d", "u", "p", "::1:5433", "d"),
        ("postgresql://u:p@%2Ftmp%2Fpg/d", "u", "p", "/tmp/pg:5432", "d"),
        ("postgresql://h/d?user=a@b&password=x", "a@b", "x", "h:5432", "d"),
        ("postgresql://u:p@h/my%20base", "u", "p", "h:5432", "my base"),
    ],
)
def test_addresses_are_read(text: str, user: str | None, password: str | None, address: str, database: str) -> None:
    url = parse_database_url("URL", text)
    assert (url.username, url.password, url.database) == (user, password, database)
    assert format_address(url) == address
    again = parse_database_url("URL", url.render_as_string(hide_password=False))
    assert (again.password, format_address(again)) == (password, address)
    assert password is None or f":{password}@" not in format_url(url)


@pytest.mark.parametrize(
    "text",
    [
        "hidden",
        "host=h password=hidden",
        "mysql://u:hidden@h/d",
        "postgresql://u:hid den@h h/d",
        "postgresql://u:hidden@h:port/d",
        "postgresql://u:hidden@h:99999/d",
        "postgresql://u:hidden@h/d?x/y=hidden",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(UsageError, match=r"^URL .*; write it as postgresql://user:password@host:5432") as raised:
        parse_database_url("URL", text)
    assert "hid" not in str(raised.value)


def test_passwords_are_hidden_and_poolers_found_among_several_hosts() -> None:
    shown = format_url(parse_database_url("URL", "postgresql://u:hidden@h/d?sslpassword=hidden"))
    assert "hidden" not in shown
    assert looks_like_pooler(parse_database_url("URL", "postgresql://u@h1:5432,h2:6432/d"))
    assert not looks_like_pooler(parse_database_url("URL", "postgresql://u@h1,h2/d"))
