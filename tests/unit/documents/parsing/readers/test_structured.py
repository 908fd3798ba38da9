import json

import pytest

from rag_assets.documents.parsing.readers.structured import read_json, read_jsonl, read_notebook


def test_json_becomes_an_indented_outline_of_decoded_text() -> None:
    text = json.dumps(
        {"title": "Grüße", "tags": ["a", "b"], "parts": [{"body": "one\ntwo"}, {}], "n": None, "ok": True}
    )
    assert "\\u00fc" in text
    expected = "title: Grüße\ntags: a, b\nparts:\n  -\n    body: one\n      two\n  -\nn: null\nok: true\n"
    assert read_json(text) == (expected, {})


@pytest.mark.parametrize("text", ["{broken", "[" * 100_000 + "]" * 100_000, "[1e999999999,", "9" * 5000])
def test_json_that_cannot_be_parsed_is_unchanged(text: str) -> None:
    assert read_json(text) == (text, {"parsed": False})


def test_the_outline_of_deep_json_limits_its_indentation() -> None:
    content, _ = read_json('{"a":' * 500 + '"end"' + "}" * 500)
    assert "a: end" in content
    assert len(content) < 500 * 30


def test_jsonl_records_are_separated_and_invalid_lines_kept() -> None:
    content, metadata = read_jsonl('{"a": 1}\n\n{"a": 2, "b": "x"}\n{broken\n')
    assert content == "a: 1\n\na: 2\nb: x\n\n{broken\n"
    assert metadata == {"record_count": 3, "broken_records": 1}


def test_a_notebook_becomes_its_text_code_and_text_output() -> None:
    notebook = {
        "metadata": {"kernelspec": {"language": "julia"}},
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {
                "cell_type": "code",
                "source": "x = 1",
                "outputs": [
                    {"output_type": "stream", "text": ["printed\n"]},
                    {
                        "output_type": "display_data",
                        "data": {"image/png": "iVBOR" * 1000, "text/plain": "<Figure>"},
                    },
                ],
            },
        ],
    }
    content, metadata = read_notebook(json.dumps(notebook))
    assert content == "# Title\nwords\n\n```julia\nx = 1\n```\n\n```\nprinted\n```\n\n```\n<Figure>\n```\n"
    assert metadata == {"cell_count": 2, "language": "julia"}


@pytest.mark.parametrize("text", ['{"cells": 3}', '{"cells": [3]}', "[]", '{"a": "b"}', "{broken", "null"])
def test_json_that_is_not_a_notebook_is_read_as_json(text: str) -> None:
    assert read_notebook(text)[1] == {"parsed": False}
