"""The benchmark of languages without spaces: which texts it takes, and what it says without any."""

from pathlib import Path

import pytest

from rag_assets.search.keyword.unspaced import split_letters
from tests.benchmarks import languages

MESSAGE = "ไม่สามารถเปิดแฟ้มข้อมูลที่ระบุไว้ได้ กรุณาตรวจสอบชื่อแฟ้มอีกครั้ง"


def write_catalog(folder: Path, text: str) -> None:
    """A compiled catalog of one message, as msgfmt writes it."""
    strings = [b"", b"Cannot open the file", b"Content-Type: text/plain; charset=UTF-8\n", text.encode()]
    at = 28 + 8 * len(strings)
    numbers = [0x950412DE, 0, 2, 28, 44, 0, at]
    for string in strings:
        numbers += [len(string), at]
        at += len(string) + 1
    folder.mkdir(parents=True)
    head = b"".join(number.to_bytes(4, "little") for number in numbers)
    (folder / "program.mo").write_bytes(head + b"".join(string + b"\0" for string in strings))


def test_a_query_is_a_part_of_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_catalog(tmp_path / "th" / "LC_MESSAGES", MESSAGE)
    monkeypatch.setattr(languages, "CATALOGS", tmp_path)
    [document] = languages.messages(("th",))
    assert document.text == MESSAGE
    assert len(split_letters(document.question)) == languages.QUERY_LETTERS
    assert document.question in MESSAGE


def test_languages_without_texts_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(languages, "CATALOGS", tmp_path)
    monkeypatch.setattr(languages, "MANUALS", tmp_path)
    languages.main()
    said = capsys.readouterr()
    assert said.out == ""
    assert "thai: 0 texts of messages on this machine, left out" in said.err
