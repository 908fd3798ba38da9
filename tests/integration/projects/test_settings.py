"""Validation of the settings of a project; an unknown key is refused with the nearest known one."""

import re
from typing import Any

import pytest

from rag_assets.errors import UsageError
from rag_assets.projects.settings import (
    SETTABLE_KEYS,
    ProjectSettings,
    assign_settings,
    dump_project_settings,
    parse_project_settings,
)


def test_only_settings_that_are_set_are_stored() -> None:
    given = {"include": ["*.md"], "chunk_tokens": 64, "schedule": "0 6 * * 1-5", "time_zone": "Europe/Berlin"}
    settings = parse_project_settings("zoo", given)
    assert dump_project_settings(settings) == given
    assert parse_project_settings("zoo", dump_project_settings(settings)) == settings
    assert dump_project_settings(parse_project_settings("zoo", {})) == {}


@pytest.mark.parametrize(
    ("key", "meant"),
    [("includes", "include"), ("shedule", "schedule"), ("chunk_size", "chunk_tokens"), ("lang", "language")],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(key: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"project zoo: there is no setting '{key}'; did you mean '{meant}'\?"):
        parse_project_settings("zoo", {key: "x"})
    with pytest.raises(UsageError, match=rf"did you mean '{meant}'\?"):
        assign_settings("zoo", {}, [f"{key}=x"])


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"chunk_tokens": 3}, "chunk_tokens 3: input should be greater than or equal to 16"),
        ({"chunk_tokens": "many"}, "chunk_tokens 'many'"),
        ({"overlap_tokens": -1}, "overlap_tokens -1"),
        ({"include": "*.md"}, "include '*.md': input should be a list"),
        ({"include": ["*.\x00"]}, "it contains a character that stored texts cannot have"),
        ({"language": "fr\udcff"}, "it contains a character that stored texts cannot have"),
        ({"schedule": "every day"}, "schedule 'every day': not a cron expression"),
        ({"schedule": "0 0 30 2 *"}, "bad day-of-month"),
        ({"schedule": "0 0 0 * * *"}, "five fields"),
        ({"time_zone": "Mars/Olympus"}, "time_zone 'Mars/Olympus': not a time zone, like Europe/Berlin or UTC"),
        ({"stale_after_hours": 0}, "stale_after_hours 0"),
        ({"stale_after_hours": float("inf")}, "stale_after_hours inf"),
        ({"question_thresholds": {"ndcg@10": 2}}, "question_thresholds.ndcg@10 2"),
        ({"question_thresholds": {"beauty": 0.5}}, "there is no metric beauty"),
    ],
)
def test_an_invalid_value_is_refused_with_its_key(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError, match=f"project zoo: .*{re.escape(error)}"):
        parse_project_settings("zoo", settings)


def test_assignments_are_typed_repeated_and_unset() -> None:
    before = {"include": ["*.rst"], "language": "german", "forgotten": ["/a.md"]}
    pairs = ["include=*.md", "include=docs/**", "chunk_tokens=64", "language=", "question_thresholds=ndcg@10=0.7"]
    assert assign_settings("zoo", before, pairs) == {
        "include": ["*.md", "docs/**"],
        "chunk_tokens": 64,
        "question_thresholds": {"ndcg@10": 0.7},
        "forgotten": ["/a.md"],
    }


@pytest.mark.parametrize("pair", ["include", "=x", "forgotten=x", "schedule=0 1 * * *,schedule=0 2 * * *"])
def test_a_malformed_assignment_is_refused(pair: str) -> None:
    with pytest.raises(UsageError):
        assign_settings("zoo", {}, pair.split(","))


def test_each_settable_key_has_a_description() -> None:
    assert "forgotten" not in SETTABLE_KEYS
    for name in SETTABLE_KEYS:
        assert ProjectSettings.model_fields[name].description, name
