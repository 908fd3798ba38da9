"""What is found in texts, and what only looks like it."""

import pytest

from rag_assets.documents.parsing.parser import ParsedDocument, is_current_reader
from rag_assets.documents.personal_data.detector import find_personal_data
from rag_assets.documents.personal_data.step import PersonalDataStep
from rag_assets.settings.personal_data import KINDS_OF_DATA
from rag_assets.settings.settings import Settings


@pytest.mark.parametrize(
    ("kind", "text", "datum"),
    [
        ("email", "Write to Anna.Meier+x@mail.example.org, please.", "Anna.Meier+x@mail.example.org"),
        ("phone", "Call +49 30 901820 today", "+49 30 901820"),
        ("phone", "Tel. 0044 20 7946 0958.", "0044 20 7946 0958"),
        ("iban", "IBAN DE89 3704 0044 0532 0130 00 BANK", "DE89 3704 0044 0532 0130 00"),
        ("iban", "to GB82WEST12345698765432.", "GB82WEST12345698765432"),
        ("card", "card 4111 1111 1111 1111, exp", "4111 1111 1111 1111"),
        ("card", "5500-0055-5555-5559", "5500-0055-5555-5559"),
    ],
)
def test_personal_data_is_found(kind: str, text: str, datum: str) -> None:
    [found] = find_personal_data(text)
    assert (found.kind, text[found.start : found.end]) == (kind, datum)


@pytest.mark.parametrize(
    "text",
    [
        "version 1.22.333.4444, 2026-12-01 10:30:00, 192.168.100.200",
        "a@b, @decorator, user@host, x @ y.com",
        "DE89 3704 0044 0532 0130 01",
        "4111 1111 1111 1112 and 0000 0000 0000 0000",
        "+1 000 000 0000, 00 11 22, +99999999999",
        "π = 3.14159265358979323846, 12345678901234567890",
        "ISBN 978-3-16-148410-0",
        "",
    ],
)
def test_what_looks_alike_is_not_found(text: str) -> None:
    assert find_personal_data(text) == []


def test_numbers_of_a_region_need_no_prefix() -> None:
    text = "Tel. (030) 901820, room 12-34"
    assert find_personal_data(text) == []
    [found] = find_personal_data(text, region="DE")
    assert text[found.start : found.end] == "(030) 901820"


def test_long_hostile_lines_are_read_in_linear_time() -> None:
    for text in ("a." * 50_000 + "@", "1 " * 50_000, "DE12" + "A" * 50_000, "+" + "(1" * 50_000, "a@" * 50_000):
        assert find_personal_data(text, region="DE") == []


def test_redaction_keeps_every_offset() -> None:
    step = PersonalDataStep("redact", KINDS_OF_DATA)
    text = "Mail a@example.org or call +49 30 901820."
    parsed = ParsedDocument("a@example.org", text, "text", {"from": ["a@example.org"], "pages": 3})
    found = step.apply(parsed)
    assert found.content == f"Mail {'█' * 13} or call {'█' * 13}."
    assert (found.title, found.metadata) == ("█" * 13, {"from": ["█" * 13], "pages": 3})
    assert PersonalDataStep("redact", ("phone",)).apply(parsed).metadata["from"] == ["a@example.org"]
    assert PersonalDataStep("check", KINDS_OF_DATA).apply(parsed) is parsed


def test_a_refused_document_has_no_text_and_says_why() -> None:
    step = PersonalDataStep("refuse", KINDS_OF_DATA)
    found = step.apply(ParsedDocument("Title", "a@example.org, b@example.org", "text", {"author": "Anna"}))
    assert (found.title, found.content, found.metadata) == (None, "", {})
    assert found.report.notes == ("refused: it holds personal data (2 email); RAG_ASSETS_PERSONAL_DATA=refuse",)
    clean = ParsedDocument("Title", "nothing", "text")
    assert step.apply(clean) is clean


def test_another_setting_reads_documents_again() -> None:
    steps = [
        PersonalDataStep(mode, kinds, region)
        for mode in ("keep", "redact", "refuse")
        for kinds in (("email",), KINDS_OF_DATA)
        for region in (None, "DE")
    ]
    versions = ["text-2" + step.tag for step in steps]
    assert len(set(versions)) == 9
    assert all(is_current_reader(version, "a.txt") for version in versions)
    for step, version in zip(steps, versions, strict=True):
        assert [step.is_current(other) for other in versions] == [other == version for other in versions]
    # Checking alone changes no text.
    assert PersonalDataStep("check", KINDS_OF_DATA).is_current("text-2")


def test_unknown_kinds_are_refused() -> None:
    assert Settings(personal_data_kinds="email, card").personal_data_kinds == ("email", "card")
    with pytest.raises(ValueError, match="is no kind of personal data"):
        Settings(personal_data_kinds="email,dna")
