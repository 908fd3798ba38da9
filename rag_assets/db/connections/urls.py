"""Database URLs: the one in use, the one that bypasses a pooler, and how a pooler's URL is recognized."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from urllib.parse import parse_qsl, unquote

from pydantic import SecretStr
from sqlalchemy import URL, make_url

from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings

DRIVER = "postgresql+psycopg"

# The usual ports of poolers in transaction mode: pgbouncer, Supabase's, DigitalOcean's.
_POOLER_PORTS = (6432, 6543, 25061)


def database_url(settings: Settings) -> URL:
    """The configured database, else the embedded server, which is started if it does not run."""
    if settings.database_url is None:
        from rag_assets.db.server.server import EmbeddedServer

        return make_url(EmbeddedServer.at(settings.state_dir).ensure_running()).set(drivername=DRIVER)
    return _parse("RAG_ASSETS_DATABASE_URL", settings.database_url)


def direct_url(settings: Settings) -> URL | None:
    """The configured URL that bypasses a pooler."""
    if settings.direct_database_url is None:
        return None
    return _parse("RAG_ASSETS_DIRECT_DATABASE_URL", settings.direct_database_url)


def looks_like_pooler(url: URL) -> bool:
    """Whether a URL has the host, port or parameter of a pooler in transaction mode.

    Neon has `-pooler` in the first part of the host name, Fly `pgbouncer`; some URLs have `pgbouncer=true`.
    """
    if url.query.get("pgbouncer") == "true":
        return True
    return any(
        "-pooler" in host.lower().partition(".")[0] or host.lower().startswith("pgbouncer.") or port in _POOLER_PORTS
        for host, port in _hosts(url)
    )


def format_address(url: URL) -> str:
    """Host and port, of all hosts where there are several."""
    return ",".join(f"{host or 'localhost'}:{port or 5432}" for host, port in _hosts(url))


def format_url(url: URL) -> str:
    """The URL without its passwords."""
    shown = {name: "***" if name == "sslpassword" else value for name, value in url.query.items()}
    return url.set(drivername="postgresql", query=shown).render_as_string()


def parse_database_url(name: str, text: str) -> URL:
    """The URL in SQLAlchemy's form, from one as libpq and SQLAlchemy write it; several hosts become parameters.

    A password with special characters that are not encoded is taken as it is, up to the last @. Raises UsageError with
    the `name` of the setting, which shows nothing of the URL.
    """
    scheme, found, rest = text.strip().partition("://")
    if not found:
        raise _url_error(name, "is not a database URL")
    if scheme not in ("postgresql", "postgres", DRIVER):
        kind = f"begins with {scheme}://, but only PostgreSQL is supported" if scheme.isidentifier() else "is no URL"
        raise _url_error(name, kind)
    parts = _split_url(rest)
    if parts is None and "@" in rest:
        # A slash or a question mark in a password ends the host early.
        user, _, place = rest.rpartition("@")
        parts = _split_url(f"@{place}")
        parts = parts and replace(parts, user=user)
    if parts is None:
        raise _url_error(name, "cannot be read")
    query = dict(parts.query)
    username, colon, password = parts.user.partition(":")
    hosts = [(unquote(host).strip("[]"), int(port) if port else None) for host, port in parts.hosts]
    host, port = hosts[0]
    if len(hosts) > 1 or host.startswith(("/", "@")):
        query |= {
            "host": ",".join(one for one, _ in hosts),
            "port": ",".join(str(number or 5432) for _, number in hosts),
        }
        host, port = "", None
    if any(number is not None and not 0 < number < 65_536 for _, number in hosts):
        raise _url_error(name, "has a port that is not between 1 and 65535")
    return URL.create(
        DRIVER,
        _decode(username) or query.pop("user", None),  # type: ignore[arg-type]
        _decode(password) if colon else query.pop("password", None),  # type: ignore[arg-type]
        host or None,
        port,
        unquote(parts.database) or None,
        query,
    )


@dataclass(frozen=True, slots=True)
class _UrlParts:
    user: str
    hosts: tuple[tuple[str, str], ...]
    database: str
    query: Mapping[str, str | tuple[str, ...]]


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|[\w.%~-]*)(?::(\d*))?", re.ASCII)
_PARAMETER = re.compile(r"[A-Za-z_]+")


def _split_url(rest: str) -> _UrlParts | None:
    """What follows the scheme; None where a part of it cannot be what its place says."""
    authority, tail = re.fullmatch(r"([^/?]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    path, _, parameters = tail.partition("?")
    user, _, hosts = authority.rpartition("@")
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    query: dict[str, str | tuple[str, ...]] = {}
    for key, value in parse_qsl(parameters, keep_blank_values=True):
        known = query.get(key, ())
        query[key] = (*((known,) if isinstance(known, str) else known), value) if known else value
    if not all(found) or "@" in path or not all(map(_PARAMETER.fullmatch, query)):
        return None
    return _UrlParts(user, tuple((one[1], one[2]) for one in found if one), path.removeprefix("/"), query)


def _hosts(url: URL) -> list[tuple[str, int | None]]:
    """Each host with its port, from the URL or its parameters."""
    given = url.query.get("host", url.host or "")
    hosts = given.split(",") if isinstance(given, str) else list(given)
    ports = str(url.query.get("port", url.port or "")).split(",")
    pairs = zip_longest(hosts, ports[: len(hosts)], fillvalue=ports[0])
    split = [host.rpartition(":")[::2] if re.search(r"\w:\d+$", host) else (host, port) for host, port in pairs]
    return [(host, int(port) if port.isdigit() else None) for host, port in split]


def _decode(text: str) -> str:
    """The user or password of a URL: percent-encoded, unless it has a character that must be."""
    is_encoded = re.fullmatch(r"([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*", text)
    return unquote(text) if is_encoded else text


def _url_error(name: str, problem: str) -> UsageError:
    return UsageError(
        f"{name} {problem}; write it as postgresql://user:password@host:5432/database, "
        "with special characters of the password percent-encoded (@ as %40, / as %2F)."
    )


def _parse(name: str, value: SecretStr) -> URL:
    return parse_database_url(name, value.get_secret_value())
