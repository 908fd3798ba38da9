import json
from typing import Any

import pytest

from rag_assets.documents.parsing.readers.structured.notebook import read_notebook


def read(notebook: dict[str, Any]) -> str:
    return read_notebook(json.dumps(notebook), lambda html: f"converted {len(html)}")[0]


def code(*outputs: dict[str, Any], source: str = "run()") -> dict[str, Any]:
    return {"cells": [{"cell_type": "code", "source": source, "outputs": list(outputs)}]}


def result(**data: str) -> dict[str, Any]:
    names = {"plain": "text/plain", "html": "text/html", "markdown": "text/markdown", "latex": "text/latex"}
    return {"output_type": "execute_result", "data": {names.get(name, name): text for name, text in data.items()}}


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
    content, metadata = read_notebook(json.dumps(notebook), str)
    assert content == "# Title\nwords\n\n```julia\nx = 1\n```\n\n```\nprinted\n```\n\n```\n<Figure>\n```\n"
    assert metadata == {"cell_count": 2, "language": "julia"}


def test_an_error_has_its_name_and_message_without_colours() -> None:
    red = "\x1b[0;31mZeroDivisionError\x1b[0m"
    trace = [f"{red} Traceback", "in reactor()", f"{red}: by zero"]
    error = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "by zero", "traceback": trace}
    assert read(code(error)).endswith(
        "```\nZeroDivisionError Traceback\nin reactor()\nZeroDivisionError: by zero\n```\n"
    )
    assert "ZeroDivisionError: by zero" in read(code(error | {"traceback": []}))
    assert "KeyError: 'x'" in read(code({"output_type": "pyerr", "ename": "KeyError", "evalue": "'x'"}))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"plain": "   a  b\n0  1  2", "html": "<table>...</table>"}, "converted 18"),
        ({"plain": "LinearRegression()", "html": "<style>...</style>"}, "LinearRegression()"),
        ({"plain": "<IPython.core.display.HTML object>", "html": "<b>bold</b>"}, "converted 11"),
        ({"plain": "<IPython.core.display.Markdown object>", "markdown": "## *Result*"}, "## *Result*"),
        ({"plain": "<IPython.core.display.Math object>", "latex": "$x^2$"}, "$x^2$"),
        ({"markdown": "![x](data:image/png;base64," + "QUJD" * 100 + ") words"}, "x words"),
        ({"application/json": {"city": ["Zürich"]}}, "city: Zürich"),
    ],
)
def test_of_a_rich_output_the_best_text_is_taken(data: dict[str, Any], shown: str) -> None:
    content = read(code(result(**data)))
    assert shown in content
    assert "QUJD" not in content
    assert "object>" not in content


def test_a_progress_bar_is_its_last_state() -> None:
    stream = {"output_type": "stream", "name": "stderr", "text": "10%\r 50%\r100% done\nnext\r"}
    assert "```\n100% done\nnext" in read(code(stream))


def test_all_worksheets_of_an_old_notebook_are_read() -> None:
    sheets = [
        {"cells": [{"cell_type": "heading", "level": 2, "source": ["Old"]}]},
        {"cells": [{"cell_type": "code", "language": "r", "input": "x <- 1", "outputs": [
            {"output_type": "pyout", "text": ["[1] 42"], "png": "QUJD"},
            {"output_type": "stream", "text": "streamed"},
        ]}]},
    ]  # fmt: skip
    content = read({"nbformat": 3, "metadata": {}, "worksheets": sheets})
    assert content == "## Old\n\n```r\nx <- 1\n```\n\n```\n[1] 42\n```\n\n```\nstreamed\n```\n"


def test_code_is_in_the_language_of_its_cell() -> None:
    assert read(code(source="%%bash\nls")).startswith("```bash\n")
    notebook = code() | {"metadata": {"language_info": {"name": "R"}}}
    assert read(notebook).startswith("```R\n")
    notebook["cells"][0]["metadata"] = {"vscode": {"languageId": "sql"}}
    assert read(notebook).startswith("```sql\n")


def test_attachments_of_a_cell_are_left_out() -> None:
    image = {"a.png": {"image/png": "QUJD" * 100}}
    cell = {"cell_type": "markdown", "source": "See ![the quay](attachment:a.png) here", "attachments": image}
    assert read({"cells": [cell]}) == "See the quay here\n"


@pytest.mark.parametrize("text", ['{"cells": 3}', '{"cells": [3]}', "[]", '{"a": "b"}', "{broken", "null"])
def test_json_that_is_not_a_notebook_is_read_as_json(text: str) -> None:
    assert read_notebook(text, str)[1] == {"parsed": False}


def test_a_notebook_that_is_cut_off_keeps_its_words_but_no_images() -> None:
    image = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 500}}
    whole = json.dumps(code(image, source="städte"))
    content, metadata = read_notebook(whole[:-8], str)
    assert "städte" in content
    assert "iVBORw0" not in content
    assert metadata == {"parsed": False}
