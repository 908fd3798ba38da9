import json

import pytest

from rag_assets.documents.parsing.readers.structured.json_text import read_json, read_jsonl


def test_json_becomes_an_indented_outline_of_decoded_text() -> None:
    text = json.dumps(
        {"title": "Grüße", "tags": ["a", "b"], "parts": [{"body": "one\ntwo"}, {}], "n": None, "ok": True}
    )
    assert "\\u00fc" in text
    expected = "title: Grüße\ntags: a, b\nparts:\n  -\n    body: one\n      two\n  -\nn: null\nok: true\n"
    assert read_json(text) == (expected, {})
    assert read_json(f"\ufeff{text}") == (expected, {})


@pytest.mark.parametrize("text", ["{broken", "[" * 100_000 + "]" * 100_000, "[1e999999999,", "9" * 5000, "some words"])
def test_text_without_keys_is_unchanged(text: str) -> None:
    assert read_json(text) == (text, {"parsed": False})


def test_the_outline_of_deep_json_limits_its_indentation() -> None:
    content, _ = read_json('{"a":' * 500 + '"end"' + "}" * 500)
    assert "a: end" in content
    assert len(content) < 500 * 30


LINES = [
    '{"q":"Wie gro\\u00df?","a":"Sehr"}\n{"q":"Wo?","a":"Z\\u00fcrich"}\n',
    '{"q":"Wie gro\\u00df?","a":"Sehr"}\r\n\r\n{"q":"Wo?","a":"Z\\u00fcrich"}',
    '{\n "q": "Wie gro\\u00df?",\n "a": "Sehr"\n}\n{\n "q": "Wo?",\n "a": "Z\\u00fcrich"\n}\n',
    '{"q":"Wie gro\\u00df?","a":"Sehr"} {"q":"Wo?","a":"Z\\u00fcrich"}',
    '{"q":"Wie gro\\u00df?","a":"Sehr"},\n{"q":"Wo?","a":"Z\\u00fcrich"},\n',
    '\x1e{"q":"Wie gro\\u00df?","a":"Sehr"}\n\x1e{"q":"Wo?","a":"Z\\u00fcrich"}\n',
]


@pytest.mark.parametrize("text", LINES)
def test_several_values_are_records_whatever_the_file_is_called(text: str) -> None:
    for read in (read_json, read_jsonl):
        assert read(text) == ("q: Wie groß?\na: Sehr\n\nq: Wo?\na: Zürich\n", {"record_count": 2})


def test_a_record_that_is_broken_keeps_its_words() -> None:
    content, metadata = read_jsonl('{"a": 1}\n{"a": "Z\\u00fcrich", "b": "x\n\n{"a": 3}\n{broken\n"text"\n')
    assert content == "a: 1\n\na: Zürich\nb: x\n\na: 3\n\n{broken\n\ntext\n"
    assert metadata == {"record_count": 5, "broken_records": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n  // Port\n  "port": 8080,\n  "names": ["a", "b",],\n}', "// Port\nport: 8080\nnames:\n  - a\n  - b\n"),
        ("{city: 'Z\\u00fcrich', 'it''s': +1, hex: 0xFF, /* why */ on: true}", None),
        ('{"city": "Z\\u00fcrich", "more": {"text": "cut off in', "city: Zürich\nmore:\n  text: cut off in\n"),
        ('{"a": "x" "b": "y"}', "a: x\nb: y\n"),
        ('{"path": "C:\\\\new", "said": "\\"so\\"", "sign": "\\ud83d\\ude00"', 'path: C:\\new\nsaid: "so"\nsign: 😀\n'),
        ('[{"a": 1}, {"b": [1, 2}', "-\n  a: 1\n-\n  b:\n    - 1\n    - 2\n"),
    ],
)
def test_nearly_json_keeps_all_its_words(text: str, expected: str | None) -> None:
    content, metadata = read_json(text)
    assert metadata == {"parsed": False}
    if expected is not None:
        assert content == expected
    else:
        assert {"city: Zürich", "hex: 0xFF", "on: true"} <= {line.strip() for line in content.split("\n")}
        assert "/* why */" in content


def test_a_string_over_two_lines_is_one_value() -> None:
    assert read_json('{"a": "one\ntwo", "b": 1}') == ("a: one\n  two\nb: 1\n", {})


def test_escapes_are_resolved_where_nothing_else_is_json() -> None:
    assert read_json('callback({"a": "Z\\u00fcrich"});')[0] == 'callback({"a": "Zürich"});'


def test_broken_json_of_megabytes_takes_linear_time() -> None:
    broken = "[\n" + '{"a": [{"b": "c"}]},\n' * 10_000
    assert read_json(broken)[0].count("b: c") == 10_000
    assert read_json('{"a": "' + "\\u00fc" * 50_000)[0].endswith("üüü\n")
    assert read_json('{"a": ' + '"' * 30_000)[1] == {"parsed": False}
