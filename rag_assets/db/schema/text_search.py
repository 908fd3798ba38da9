"""Languages of texts: the server's text search configurations, which decide which word forms have one stem."""

from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, text

from rag_assets.errors import UsageError

DEFAULT_LANGUAGE = "english"

_KNOWN = text("SELECT cfgname FROM pg_ts_config WHERE pg_ts_config_is_visible(oid) ORDER BY cfgname")


def check_language(connection: Connection, name: Any) -> str:
    """Return the name; raises UsageError with the closest known name if the server has no such configuration."""
    known = connection.scalars(_KNOWN).all()
    if name in known:
        return str(name)
    nearest = get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    raise UsageError(
        f"the server has no text search configuration for the language {name!r}; "
        f"{f'did you mean {nearest[0]}?' if nearest else 'use simple for a language without one.'} "
        f"(It has {', '.join(known)}.)"
    )
