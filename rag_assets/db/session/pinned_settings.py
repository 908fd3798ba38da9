"""Settings of the server that change what is read, fixed for each session.

The environment (PGDATESTYLE, PGTZ, PGOPTIONS), the role and the database may set them to something else.
"""

from collections.abc import Callable, Mapping

# The server reports these to each client, so they are compared at no cost. Poolers know them too, and set them in the
# server session of each transaction.
REPORTED_SETTINGS = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO,MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
}
SESSION_SETTINGS = {
    "array_nulls": "on",
    "bytea_output": "hex",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "extra_float_digits": "1",
    # Any other value lets an index on words leave out rows.
    "gin_fuzzy_search_limit": "0",
    "quote_all_identifiers": "off",
    "row_security": "on",
    "transform_null_equals": "off",
}


def startup_options(settings: Mapping[str, object]) -> str:
    """The settings as command-line options of the server: the last one given wins, also over those of the database."""
    return " ".join(f"-c {name}={_escape(str(value))}" for name, value in settings.items())


def settings_to_correct(reported: Callable[[str], str | None]) -> dict[str, str]:
    """The settings that differ from what the server reports; PGDATESTYLE and PGTZ come after all options."""
    found = {name: reported(name) for name in REPORTED_SETTINGS}
    return {
        name: wanted
        for name, wanted in REPORTED_SETTINGS.items()
        if (value := found[name]) is not None and not _is_same(name, value, wanted)
    }


def _is_same(name: str, value: str, wanted: str) -> bool:
    if name == "DateStyle":
        # The order of day and month matters for input alone, which is always year first here.
        return value.startswith("ISO")
    return value == wanted


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
