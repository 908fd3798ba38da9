"""Nothing in a document, a name or an error can act on the terminal that shows it."""

import io
from uuid import uuid4

import pytest
from rich.table import Table
from rich.text import Text

from rag_assets.cli.output import answers
from rag_assets.cli.output.console import SafeConsole, on_one_line, print_error
from rag_assets.db.session.server_errors import describe_error
from rag_assets.errors import UsageError, escape_controls
from rag_assets.orchestration.checks import results
from rag_assets.search.results import Answer, Hit

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b1m\u202e\u200b\u2066\ufeff\x00\x7f\udc80"
HARMLESS = r"\x1b]0;title\x07\x1b[2J\x9b1m\u202e\u200b\u2066\ufeff\x00\x7f\udc80"


def print_on_terminal(*values: object) -> str:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=200, highlight=False, color_system="standard")
    for value in values:
        console.print(value)
    return stream.getvalue()


def test_controls_are_shown_as_escapes_and_text_stays_as_it_is() -> None:
    assert escape_controls(HOSTILE) == HARMLESS
    for text in ("Größe ☕ 日本語\tx\ny", "e\u0301 \U0001f469"):
        assert escape_controls(text) == text


def test_a_console_prints_no_control_of_a_text() -> None:
    assert print_on_terminal(HOSTILE.replace("[", r"\[")) == f"{HARMLESS}\n"
    # Rich itself drops the bell from a Text.
    assert print_on_terminal(Text(HOSTILE)) == f"{HARMLESS}\n".replace(r"\x07", "")


def test_a_table_has_room_for_the_escapes() -> None:
    table = Table("name")
    table.add_row("\x1b;\u202e end")
    assert r"\x1b;\u202e end" in print_on_terminal(table)


def test_styles_still_reach_a_terminal() -> None:
    assert print_on_terminal("[bold]x[/]") == "\x1b[1mx\x1b[0m\n"


def test_errors_are_one_line_without_controls(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(UsageError(f"the file {HOSTILE}\nsecond")) == f"the file {HARMLESS} second"
    print_error(f"first\n{HOSTILE}")
    assert capsys.readouterr().err == f"first {HARMLESS}\n"


def test_a_name_is_on_one_line() -> None:
    assert on_one_line("a\nb\tc.md") == r"a\nb\tc.md"


def test_hits_are_printed_with_their_names_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(answers, "out", SafeConsole(file=stream, width=200, soft_wrap=True))
    hit = Hit(
        *(1, 0.5, "p", "na\nme\x1b[31m.md", None, uuid4(), 0, ["Head\ning"], 0, 5),
        *("text \x1b[31m\nred", uuid4(), "markdown", None),
    )
    answers.print_answer(Answer("q", "vector", 1, [hit], 1.0, 1.0, 0.0, "exact", 1, None))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert r"p/na\nme\x1b[31m.md" in lines[0]
    assert r"Head\ning" in lines[0]
    assert lines[1].strip() == r"text \x1b[31m red"


def test_reasons_in_logs_and_checks_are_one_line() -> None:
    error = ValueError(f"first\n{HOSTILE}")
    for reason in (describe_error(error), results._reason(error), describe_error(UsageError(HOSTILE))):
        assert HARMLESS in reason
        assert "\n" not in reason
