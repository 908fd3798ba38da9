import json

import pytest

from rag_assets.documents.text import clean, clean_title, clean_value


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("\ufeffone\ufefftwo", "onetwo"),
        ("a\x00b", "ab"),
        ("a\ud800b\udfffc", "abc"),
        ("\r\x00\n", "\n\n"),
        (
            "emoji \U0001f6a2 and tab\t stay, and \u2028 too",
            "emoji \U0001f6a2 and tab\t stay, and \u2028 too",
        ),
    ],
)
def test_clean_removes_only_what_postgres_refuses(dirty: str, expected: str) -> None:
    assert clean(dirty) == expected


def test_cleaning_clean_text_returns_the_same_object() -> None:
    text = "nothing to do\n" * 10
    assert clean(text) is text


def test_clean_text_can_always_be_encoded() -> None:
    clean("".join(map(chr, range(0xD7F0, 0xE010))) + "\x00").encode("utf-8")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("  two\n lines\t", "two lines"),
        ("\x00\ufeff ", None),
        ("", None),
        (None, None),
        ("x" * 600, "x" * 500),
        ("y " * 10_000_000, ("y " * 250).rstrip()),
    ],
)
def test_clean_title_returns_one_short_line_or_none(title: str | None, expected: str | None) -> None:
    assert clean_title(title) == expected


def test_clean_value_returns_small_valid_jsonb() -> None:
    endless: list[object] = []
    endless.append(endless)
    cleaned = clean_value({"a\x00": float("inf"), "b": {1: "x\ud800"}, "c": "y" * 9999, "d": (1, True), "e": endless})
    text = json.dumps(cleaned, allow_nan=False)
    assert "\\u0000" not in text
    assert "\\ud800" not in text
    assert len(text) < 3000
    assert json.loads(text)["d"] == [1, True]
