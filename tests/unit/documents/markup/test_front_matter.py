import json

import pytest

from rag_assets.documents.markup.front_matter import read_front_matter


def test_yaml_becomes_metadata_and_leaves_the_text() -> None:
    front = read_front_matter("---\ntitle: Widget guide\ntags: [alpha, beta]\nauthor: Zed\n---\n\n# Widget\n")
    assert front.values == {"title": "Widget guide", "tags": ["alpha", "beta"], "author": "Zed"}
    assert (front.title, front.body, front.error) == ("Widget guide", "# Widget\n", None)


def test_toml_and_json_are_read_too() -> None:
    toml = read_front_matter('+++\ntitle = "TOML titled page"\ndate = 2026-03-04\n[extra]\nn = 1\n+++\nIntro.\n')
    assert toml.values == {"title": "TOML titled page", "date": "2026-03-04", "extra": {"n": 1}}
    assert toml.body == "Intro.\n"
    front = read_front_matter('{\n  "title": "Zürich",\n  "draft": false\n}\n\nIntro.\n')
    assert (front.values, front.body) == ({"title": "Zürich", "draft": False}, "Intro.\n")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("date: 2026-01-05", "2026-01-05"),
        ("date: 2026-01-05 10:30:00 +0100", "2026-01-05T10:30:00+01:00"),
        ("updated: 2026-01-05T10:30:00Z", "2026-01-05T10:30:00+00:00"),
        ("lang: no", "no"),
        ("time: 12:30", "12:30"),
        ("zip: 01234", "01234"),
        ("draft: true", True),
        ("weight: 7", 7),
        ("tags: red, green", ["red", "green"]),
        ("tags:\n  - Grün\n  - 'a, b'", ["Grün", "a, b"]),
        ("empty:", None),
        ("parts: {a: {b: [1, 2026-02-03]}}", {"a": {"b": [1, "2026-02-03"]}}),
    ],
)
def test_values_are_those_that_json_has(source: str, value: object) -> None:
    front = read_front_matter(f"---\n{source}\n---\ntext\n")
    assert list(front.values.values()) == [value]
    json.dumps(front.values, allow_nan=False)


def test_zolas_taxonomies_are_at_the_top() -> None:
    front = read_front_matter('+++\n[taxonomies]\ntags = ["a"]\n+++\n')
    assert front.values == {"tags": ["a"], "taxonomies": {"tags": ["a"]}}


@pytest.mark.parametrize("text", ["---\n---\n\ntext\n", "---\n# only a comment\n...\ntext\n"])
def test_empty_front_matter_leaves_the_text(text: str) -> None:
    assert (read_front_matter(text).body, read_front_matter(text).values) == ("text\n", {})


@pytest.mark.parametrize(
    "text",
    [
        "---\nJust a sentence between two lines.\n---\n",
        "---\ntitle: never closed\n\ntext\n",
        "text\n---\ntitle: x\n---\n",
        "{broken\n",
        '{"a": 1} and words\n',
        "----\ntitle: x\n----\n",
        "--- \n- a list\n---\n",
        "",
        "---",
    ],
)
def test_what_is_no_front_matter_stays_text(text: str) -> None:
    front = read_front_matter(text)
    assert (front.body, front.values, front.error) == (text, {}, None)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("---\ntitle: One: two\n---\ntext\n", "YAML"),
        ('---\ntitle: "open\n---\ntext\n', "YAML"),
        ("+++\ntitle = no quotes\n+++\ntext\n", "TOML"),
    ],
)
def test_broken_front_matter_stays_text_and_is_said(text: str, language: str) -> None:
    front = read_front_matter(text)
    assert (front.body, front.values) == (text, {})
    assert front.error is not None
    assert front.error.startswith(f"its front matter is not valid {language}")


def test_an_alias_that_stands_for_a_billion_values_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    front = read_front_matter("---\n" + "\n".join(lines) + "\n---\n")
    assert front.error is not None
    assert read_front_matter("---\na: &a [*a]\n---\n").values == {}


@pytest.mark.parametrize("opening", ["a: " + "[" * 60_000, "a: " + "{a: " * 15_000, "- " * 30_000, "? " * 30_000])
def test_yaml_that_is_nested_without_end_stays_text(opening: str) -> None:
    """The native loader would overflow its stack, and end the process of the run."""
    found = read_front_matter(f"---\nb: 1\n{opening}\n---\n\nText.\n")
    assert found.body.endswith("Text.\n")
    assert found.values == {}
