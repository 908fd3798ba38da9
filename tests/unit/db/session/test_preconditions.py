"""What each obstacle says, for databases that a test cannot make."""

from dataclasses import replace

from rag_assets.db.session.preconditions import DatabaseFacts

FINE = DatabaseFacts(
    database="d",
    role="r",
    encoding="UTF8",
    is_standby=False,
    is_read_only=False,
    search_path='"$user", public',
    may_create_schemas=False,
    may_create_temporary_tables=True,
    extension_schema="public",
    may_use_extension=True,
    finds_extension=True,
    owner="r",
    may_use_schema=True,
    may_create_tables=True,
    table_owner="r",
    owns_tables=True,
    may_read=True,
    may_write=True,
    has_vectors=True,
)


def obstacles(**differences: object) -> list[str]:
    facts = replace(FINE, **differences)  # type: ignore[arg-type]
    return [*facts.obstacles_to_reading(), *facts.obstacles_to_upgrading()]


def test_nothing_speaks_against_a_database_of_ones_own() -> None:
    assert obstacles() == []


def test_a_standby_is_searched_and_not_written_to() -> None:
    facts = replace(FINE, is_standby=True, is_read_only=True)
    assert [*facts.obstacles_to_reading()] == []
    [said] = facts.obstacles_to_writing()
    assert said.startswith("database d is a standby, which can only be searched; set RAG_ASSETS_DATABASE_URL")


def test_each_obstacle_is_one_sentence_with_what_helps() -> None:
    for differences, helps in (
        ({"is_read_only": True}, "ALTER DATABASE d RESET default_transaction_read_only;"),
        ({"encoding": "EUC_KR"}, "CREATE DATABASE name ENCODING 'UTF8'"),
        ({"may_create_temporary_tables": False}, "GRANT TEMPORARY ON DATABASE d TO r;"),
        ({"may_use_extension": False}, "GRANT USAGE ON SCHEMA public TO r;"),
        ({"finds_extension": False}, 'ALTER ROLE r IN DATABASE d SET search_path = "$user", public, public;'),
        ({"finds_extension": False, "search_path": ""}, "SET search_path = public;"),
        ({"owns_tables": False, "table_owner": "a"}, "GRANT a TO r;"),
        ({"may_create_tables": False, "owner": "a"}, "let a run: GRANT ALL ON SCHEMA rag TO r;"),
        ({"may_write": False, "table_owner": "a"}, "GRANT a TO r;"),
        ({"may_read": False, "table_owner": "a"}, "GRANT SELECT ON ALL TABLES IN SCHEMA rag TO r;"),
        ({"extension_schema": None}, "restore a backup"),
        ({"owner": None, "table_owner": None}, "GRANT CREATE ON DATABASE d TO r;"),
    ):
        [said] = obstacles(**differences)
        assert helps in said
        assert "\n" not in said
