"""Mailboxes, web archives and Outlook's files."""

import datetime as dt
import struct

import pytest

from rag_assets.documents.parsing.file_types import detect_kind
from rag_assets.documents.parsing.readers.mail import read_mail
from rag_assets.documents.parsing.readers.mail.mailbox import split_mailbox
from rag_assets.documents.parsing.readers.mail.transfer import decompress_rtf
from rag_assets.errors import DocumentError
from tests.support.data.compound_file import Tree, compound_file

MAILBOX = (
    b"From ada@x.org Mon Nov 30 10:00:00 2026\nSubject: =?utf-8?Q?Gr=C3=B6=C3=9Fe?=\n"
    b"Content-Transfer-Encoding: base64\n\nYmFkZ2Vycw==\n\n"
    b"From - Mon Nov 30 10:00:00 2026\r\nSubject: Two\r\n\r\n"
    b">From the start\r\n>>From q\r\nFrom here\r\n\r\nFrom now on, 10:00\r\n"
)


def test_each_mail_of_a_mailbox_is_a_section() -> None:
    found = read_mail("mbox", MAILBOX)
    assert found.content == (
        "# Größe\n\nbadgers\n\n# Two\n\nFrom the start\n>From q\nFrom here\n\nFrom now on, 10:00\n"
    )
    assert found.metadata == {"message_count": 2}


@pytest.mark.parametrize(
    ("name", "kind"), [("in.mbox", "mbox"), ("Inbox", "mbox"), ("a.txt", "mbox"), ("a.md", "markdown")]
)
def test_a_mailbox_is_known_by_its_first_lines(name: str, kind: str) -> None:
    assert detect_kind(name, MAILBOX) == kind
    assert detect_kind("notes.txt", b"From 10:00 to 11:00 we met.\nIt was fine.\n") == "text"


def test_a_mailbox_without_from_lines_is_one_mail() -> None:
    assert list(split_mailbox(b"Subject: x\n\nbody")) == [b"Subject: x\n\nbody"]


ARCHIVE = (
    b"From: <Saved by Blink>\nSnapshot-Content-Location: https://x.org/p\nSubject: Saved\nMIME-Version: 1.0\n"
    b'Content-Type: multipart/related;\n\ttype="text/html";\n\tboundary="b"\n\n--b\nContent-Type: text/html\n'
    b'Content-Transfer-Encoding: quoted-printable\n\n<html><head><meta charset=3D"iso-8859-1"><title>S=E4ge</title>'
    b"</head><body><h1>Gr=F6=DFe</h1><p>words</p></body></html>\n--b\nContent-Type: text/css\n\nbody{}\n--b--\n"
)


@pytest.mark.parametrize("name", ["page.mht", "page.mhtml", "export.doc", "page"])
def test_a_web_archive_is_read_as_the_page_it_holds(name: str) -> None:
    found = read_mail(detect_kind(name, ARCHIVE), ARCHIVE)
    assert found.title == "Säge"
    assert found.content.strip() == "# Größe\n\nwords"
    assert found.metadata["url"] == "https://x.org/p"


def outlook_message(subject: str, text: str, further: Tree | None = None, *, head_bytes: int = 32) -> Tree:
    sent = int((dt.datetime(2026, 11, 30, 10, tzinfo=dt.UTC) - dt.datetime(1601, 1, 1, tzinfo=dt.UTC)).total_seconds())
    time = struct.pack("<HHIQ", 0x40, 0x39, 6, sent * 10**7)
    return {
        "__properties_version1.0": b"\0" * head_bytes + time,
        "__substg1.0_0037001F": subject.encode("utf-16-le"),
        "__substg1.0_0C1A001F": "Ada Müller".encode("utf-16-le"),
        "__substg1.0_0C1F001F": "ada@x.org".encode("utf-16-le"),
        "__substg1.0_1000001F": text.encode("utf-16-le"),
        **(further or {}),
    }


def attached(name: str, data: bytes) -> Tree:
    return {
        "__properties_version1.0": b"\0" * 8,
        "__substg1.0_3707001F": name.encode("utf-16-le"),
        "__substg1.0_37010102": data,
    }


def test_an_outlook_message_has_its_subject_as_title_and_its_attachments() -> None:
    inner = outlook_message(
        "Inner", "deep words", {"__attach_version1.0_#00000000": attached("c.csv", b"a;b\n1;2\n")}, head_bytes=24
    )
    files: Tree = {
        "__attach_version1.0_#00000000": attached("Bericht.pdf", b"%PDF-1.4 " + b"x" * 5000),
        "__attach_version1.0_#00000001": {"__properties_version1.0": b"\0" * 8, "__substg1.0_3701000D": inner},
    }
    data = compound_file(outlook_message("Größe", "Text über Dachse.\r\n", files))
    assert detect_kind("a.msg", data) == "msg"
    found = read_mail("msg", data)
    assert found.title == "Größe"
    head = "From: Ada Müller <ada@x.org>\nDate: Mon, 30 Nov 2026 10:00:00 +0000\nAttachments: "
    assert found.content == (
        f"# Größe\n{head}Bericht.pdf, attachment\n\nText über Dachse.\n\n## Inner\n{head}c.csv\n\ndeep words\n"
    )
    assert [(one.name, len(one.data)) for one in found.attachments] == [("Bericht.pdf", 5009), ("Inner.eml!/c.csv", 8)]
    assert found.metadata["created_at"] == "2026-11-30T10:00:00+00:00"


def test_an_outlook_message_of_html_alone_is_read() -> None:
    page = "<html><body><h1>Offer</h1><p>Größe</p></body></html>".encode()
    data = compound_file(outlook_message("Page", " ", {"__substg1.0_10130102": page}))
    assert read_mail("msg", data).content.endswith("## Offer\n\nGröße\n")


def test_an_encrypted_outlook_message_is_said_to_be_so() -> None:
    files: Tree = {"__attach_version1.0_#00000000": attached("smime.p7m", b"\x30\x82\x01")}
    found = read_mail("msg", compound_file(outlook_message("Secret", "", files)))
    assert found.attachments == ()
    assert "encrypted (S/MIME)" in found.report.notes[0]


def test_a_damaged_outlook_message_is_refused_with_its_reason() -> None:
    with pytest.raises(DocumentError, match="damaged"):
        read_mail("msg", compound_file(outlook_message("x", "y"))[:700])


@pytest.mark.parametrize(
    ("data", "rtf"),
    [
        (
            "2d0000002b0000004c5a4675f1c5c7a703000a0072637067313235423200f32068656c090020627705b06c647d0a800fa0",
            b"{\\rtf1\\ansi\\ansicpg1252\\deff hello world}\r\n",
        ),
        ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        ("1a000000060000004d454c4100000000" + b"{\\rtf}".hex(), b"{\\rtf}"),
    ],
)
def test_compressed_rtf_is_read_like_the_examples_of_its_specification(data: str, rtf: bytes) -> None:
    assert decompress_rtf(bytes.fromhex(data)) == rtf
