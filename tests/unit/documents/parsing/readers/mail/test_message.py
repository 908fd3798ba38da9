"""Mails as their readers see them, also those that break the rules."""

import base64
import binascii
import struct
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest

from rag_assets.documents.parsing.parse_report import ConvertedDocument
from rag_assets.documents.parsing.readers.mail import read_mail
from rag_assets.documents.parsing.readers.mail.parsing import parse_message
from rag_assets.errors import DocumentError

HEAD = b"From: a@x.org\nSubject: s\nMIME-Version: 1.0\n"
PDF = b"%PDF-1.4 words"


def read(data: bytes) -> ConvertedDocument:
    return read_mail("email", data)


def body(data: bytes) -> str:
    """The text below the headers that `HEAD` has."""
    return read(HEAD + data).content.partition("\n\n")[2].rstrip("\n")


def multipart(*parts: bytes, kind: bytes = b"mixed", end: bytes = b"--b--\n") -> bytes:
    return (
        b"Content-Type: multipart/" + kind + b"; boundary=b\n\n" + b"".join(b"--b\n" + p + b"\n" for p in parts) + end
    )


TEXT = b"Content-Type: text/plain\n\n"
HTML = b"Content-Type: text/html; charset=utf-8\n\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (multipart(TEXT + b"one", b"Content-Type: image/png\n\nx", TEXT + b"two"), "one\n\ntwo"),
        (multipart(TEXT + "\u00a0\u200b\ufeff \n".encode(), HTML + b"<p>plums</p>", kind=b"alternative"), "plums"),
        (multipart(TEXT + b"plain", HTML + b"<p>page</p>", kind=b"alternative"), "plain"),
        (multipart(TEXT + b"View as a page.", HTML + b"<p>w</p>" * 60, kind=b"alternative"), "w\n\n" * 59 + "w"),
        (multipart(TEXT + b"Fine.", HTML + b"<p>w</p>" * 50, kind=b"alternative"), "Fine."),
        (multipart(HTML + b"<h1>Top</h1><p>page</p>"), "## Top\n\npage"),
        (multipart(b"\nSubject: One\n\nfirst", b"\nSubject: Two\n\nsecond", kind=b"digest"),
         "## One\n\nfirst\n\n## Two\n\nsecond"),
        (b"Content-Type: text/enriched\n\n<bold>fat</bold> <<b", "fat <b"),
        (b"Content-Type: text/x-anything\n\nwords", "words"),
        (multipart(b"Content-Type: message/rfc822\n\nSubject: Inner\nFrom: c@x.org\n\ngooseberry"),
         "## Inner\nFrom: c@x.org\n\ngooseberry"),
        (multipart(b"Content-Type: message/rfc822\nContent-Disposition: attachment\n\nSubject: In\n\nberry"),
         "## In\n\nberry"),
        (multipart(b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
                   + base64.encodebytes(b"Subject: In\n\nberry")), "## In\n\nberry"),
        (multipart(TEXT + b"failed", b"Content-Type: message/delivery-status\n\nStatus: 5.1.1\n"),
         "failed\n\nStatus: 5.1.1"),
        (multipart(TEXT + b"no end", end=b""), "no end"),
        (multipart(TEXT + b"one", TEXT + b"two").replace(b"=b", b"=z"), "one\n\ntwo"),
        (b"Content-Type: multipart/mixed\n\n--b\n" + TEXT + b"one\n--b--\n", "one"),
        (b"Content-Type: multipart/mixed\n\nno parts at all", "no parts at all"),
        (b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(b"Hello herring")[:-6], "Hello herri"),
        (b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(b"Hello") + b"__\nA footer\n", "Hello"),
        (b"Content-Transfer-Encoding: x-unknown\n\nwords", "words"),
        (b"Content-Type: text/plain; charset=x-no-such\n\nGr\xf6\xdfe und Ma\xdf", "Größe und Maß"),
        (b"Content-Type: text/plain; charset=ks_c_5601-1987\n\n\x8cc\xb9\xe6\xb0\xa2\xc7\xcf", "똠방각하"),
        (b"Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B-!\x1b(B", "①"),
        (b'Content-Type: text/plain; charset="utf-16le"\nContent-Transfer-Encoding: base64\n\n'
         + base64.encodebytes("Grüße".encode("utf-16-le")), "Grüße"),
        (b"Content-Type: text/html\n\n<meta charset=iso-8859-2><p>P\xf8\xedli\xb9</p>", "Příliš"),
        (b"\nThanks\n-- \nAda", "Thanks\n\n-- \nAda"),
        ((b"\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: X\n\nSigned words.\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n"
         b"-----END PGP SIGNATURE-----\n"), "Signed words."),
    ],
)  # fmt: skip
def test_the_parts_that_a_reader_sees_are_read_in_order(data: bytes, expected: str) -> None:
    assert body(data) == expected


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"Gr\xf6\xdfe roh im Betreff", "Größe roh im Betreff"),
        ("Größe".encode(), "Größe"),
        (b"=?ks_c_5601-1987?B?jGO55rCix88=?=", "똠방각하"),
        (b"=?utf-8?B?R3LD?= =?utf-8?B?tsOfZQ==?=", "Größe"),
        (b"=?utf-8?Q?Gr=C3=B6?=\n =?iso-8859-1?Q?=DFe_x?= y", "Größe x y"),
        (b"=?ISO-2022-JP?B?GyRCLWolSBsoQg==?=", "㈱ト"),
        (b"\x1b$B-jF|K\\\x1b(B", "㈱日本"),
        (b"=?x-no-such?Q?Gr=C3=B6=C3=9Fe?=", "Größe"),
        (b"=?utf-8?Q?Gr=F6=DFe_und_Ma=DF?=", "Größe und Maß"),
        (b"=?utf-8?Q?broken", "=?utf-8?Q?broken"),
        (b"two\n\t lines", "two lines"),
    ],
)
def test_subjects_are_decoded_whatever_they_declare(header: bytes, subject: str) -> None:
    assert read(b"Subject: " + header + b"\n\nbody").title == subject


def test_raw_headers_are_decoded_in_the_charset_of_the_body() -> None:
    mail = b"Subject: \x93\xfa\x96{\nContent-Type: text/plain; charset=shift_jis\n\n\x96{"
    assert read(mail).title == "日本"


def test_attachments_get_safe_names_and_the_others_are_said() -> None:
    mail = EmailMessage()
    mail["Subject"] = "Files"
    mail.set_content("See below.")
    for name in ("../../etc/Grö ße.pdf", "Grö ße.pdf", "C:\\x\\b.pdf", ".."):
        mail.add_attachment(PDF, maintype="application", subtype="pdf", filename=name)
    mail.add_attachment(bytes(range(256)) * 9, maintype="application", subtype="octet-stream", filename="a.dwg")
    mail.add_attachment(b"MZ\x90\x00", maintype="application", subtype="octet-stream", filename="a.exe")
    mail.add_attachment(b"", maintype="application", subtype="octet-stream", filename="nothing.txt")
    inner = EmailMessage()
    inner["Subject"] = "Inner: one"
    inner.set_content("Deep.")
    inner.add_attachment(PDF, maintype="application", subtype="pdf", filename="deep.pdf")
    mail.add_attachment(inner)
    found = read(bytes(mail))
    names = ["Grö ße.pdf", "Grö ße (2).pdf", "b.pdf", "attachment.pdf", "Inner_ one.eml!/deep.pdf"]
    assert [one.name for one in found.attachments] == names == list(found.report.attachments)
    assert {one.data for one in found.attachments} == {PDF}
    notes = " ".join(found.report.notes)
    assert "a.exe was not read: its content is a Windows executable" in notes
    assert "nothing.txt is empty" in notes
    assert "a.dwg was not read: its content is binary" in notes
    assert "Attachments: ../../etc/Grö ße.pdf, " in found.content
    assert found.content.endswith("## Inner: one\nAttachments: deep.pdf\n\nDeep.\n")


def test_names_of_attachments_in_every_notation_are_read() -> None:
    kind = b"Content-Type: application/pdf"
    mail = multipart(
        kind + b"\nContent-Disposition: attachment; filename*=UTF-8''%e2%82%ac%20a.pdf\n\n" + PDF,
        kind + b"; name*0*=utf-8''%e2%82; name*1*=%acb.pdf\n\n" + PDF,
        kind + b'; name="=?utf-8?B?w6Q=?=.pdf"\n\n' + PDF,
        kind + b"\nContent-Disposition: inline; filename=\xf6.pdf\n\n" + PDF,
        kind + b"; name=report\n\n" + PDF,
    )
    names = ["€ a.pdf", "€b.pdf", "ä.pdf", "ö.pdf", "report.pdf"]
    assert [one.name for one in read(HEAD + mail).attachments] == names


def test_a_text_that_is_attached_is_decoded_as_the_mail_declares() -> None:
    part = b"Content-Type: text/plain; charset=koi8-r; name=a.txt\nContent-Disposition: attachment\n\n"
    [found] = read(HEAD + multipart(part + "Мир".encode("koi8-r"))).attachments
    assert found.data.decode() == "Мир"


def test_files_in_uuencode_are_attachments() -> None:
    lines = b"begin 644 old.csv\n" + binascii.b2a_uu(b"a;b\n1;2\n") + b"`\nend\n"
    found = read(HEAD + b"\nbegin with this\n\n" + lines + b"after\n")
    assert [(one.name, one.data) for one in found.attachments] == [("old.csv", b"a;b\n1;2\n")]
    assert found.content == "# s\nFrom: a@x.org\nAttachments: old.csv\n\nbegin with this\n\nafter\n"


def test_pictures_in_the_text_are_not_named_and_other_alternatives_keep_their_files() -> None:
    page = multipart(HTML + b"<p>page</p>", b"Content-Type: image/png\nContent-ID: <i>\n\nx", kind=b"related")
    mixed = multipart(
        page.replace(b"=b\n", b"=c\n").replace(b"--b", b"--c"), b"Content-Type: application/pdf; name=a.pdf\n\n" + PDF
    )
    found = read(
        HEAD
        + b"Content-Type: multipart/alternative; boundary=z\n\n--z\n"
        + TEXT
        + b"plain\n--z\n"
        + mixed
        + b"\n--z--\n"
    )
    assert found.content == "# s\nFrom: a@x.org\nAttachments: a.pdf\n\nplain\n"
    assert found.report.notes == ()


def test_a_calendar_is_read_as_lines_beside_the_text() -> None:
    calendar = (
        b"Content-Type: text/calendar; charset=utf-8\n\nBEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Budget\\, part 2\n"
        b'DTSTART;TZID=Europe/Berlin:20261130T100000\nDTEND:20261130T110000Z\nORGANIZER;CN="Ada L":mailto:ada@x.org\n'
        b"ATTENDEE:mailto:bob@x.org\nLOCATION:Room\n  5\nDESCRIPTION:One\\nTwo\nEND:VEVENT\nEND:VCALENDAR"
    )
    assert body(multipart(TEXT + b"Please come.", calendar, kind=b"alternative")) == (
        "Please come.\n\nEvent: Budget, part 2\nStart: 2026-11-30 10:00 Europe/Berlin\nEnd: 2026-11-30 11:00 UTC\n"
        "Location: Room 5\nOrganizer: Ada L <ada@x.org>\nAttendee: bob@x.org\nDescription: One\nTwo"
    )


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (
            multipart(
                b"Content-Type: application/pgp-encrypted\n\nVersion: 1", kind=b"encrypted; protocol=application/pgp"
            ),
            "PGP",
        ),
        (
            b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\nMIIB\n",
            "S/MIME",
        ),
        (b"\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n", "PGP"),
        (
            multipart(TEXT + b"see", b"Content-Type: application/ms-tnef; name=winmail.dat\n\nx\x9f"),
            "winmail.dat was not read",
        ),
        (b"\n", "has no text"),
        (b"Content-Type: text/plain\n\n" + bytes(range(256)) * 4, "binary"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, note: str) -> None:
    assert note in " ".join(read(HEAD + data).report.notes)


def tnef(*attributes: tuple[int, bytes]) -> bytes:
    """A TNEF file; checksums are not verified by readers."""
    head = b"\x78\x9f\x3e\x22\x01\x00"
    return head + b"".join(struct.pack("<BII", 1, number, len(data)) + data + b"\0\0" for number, data in attributes)


def tnef_properties(*properties: tuple[int, int, bytes]) -> bytes:
    packed = struct.pack("<I", len(properties))
    for kind, number, value in properties:
        padded = value.ljust(-(-len(value) // 4) * 4, b"\0")
        packed += struct.pack("<HHII", kind, number, 1, len(value)) + padded
    return packed


@pytest.mark.parametrize("text", ["", "Written text."])
def test_the_text_and_the_files_of_winmail_dat_are_read(text: str) -> None:
    inner = b"\0" * 16 + tnef((0x9002, b""), (0x8010, b"deep.csv\0"), (0x800F, b"a;b\n1;2\n"))
    data = tnef(
        (0x9007, struct.pack("<II", 1252, 0)),
        (0x9003, tnef_properties((0x1F, 0x1000, "Wrapped Größe\0".encode("utf-16-le")))),
        (0x9002, b""),
        (0x8010, b"M\xe4rz~1.PDF\0"),
        (0x800F, PDF),
        (0x9005, tnef_properties((0x1F, 0x3707, "März 2026.pdf\0".encode("utf-16-le")))),
        (0x9002, b""),
        (0x9005, tnef_properties((0x0D, 0x3701, inner))),
    )
    mail = EmailMessage()
    mail["Subject"] = "Wrapped"
    mail.set_content(text)
    mail.add_attachment(data, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    found = read(bytes(mail))
    assert [(one.name, one.data) for one in found.attachments] == [("März 2026.pdf", PDF), ("deep.csv", b"a;b\n1;2\n")]
    assert found.content == f"# Wrapped\nAttachments: März 2026.pdf, deep.csv\n\n{text or 'Wrapped Größe'}\n"


def test_a_signed_mail_that_is_wrapped_is_unwrapped() -> None:
    def element(tag: int, content: bytes) -> bytes:
        return bytes((tag, 0x82)) + len(content).to_bytes(2, "big") + content

    data, signed = (bytes.fromhex("06092a864886f70d01070" + digit) for digit in "12")
    pieces = element(0x04, b"Content-Type: text/plain\n\n") + element(0x04, b"signed words") + b"\x00\x00"
    inner = element(0x30, data + element(0xA0, b"\x24\x80" + pieces))
    wrapped = element(0x30, signed + element(0xA0, element(0x30, b"\x02\x01\x01" + element(0x31, b"") + inner)))
    mail = b"Content-Type: application/pkcs7-mime; smime-type=signed-data\nContent-Transfer-Encoding: base64\n\n"
    assert body(mail + base64.encodebytes(wrapped)) == "signed words"


@pytest.mark.parametrize("depth", [80, 3000])
def test_parts_in_parts_are_read_at_any_depth(depth: int) -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(depth))
    assert "deep words" in read(HEAD + nested + TEXT + b"deep words\n").content


@pytest.mark.parametrize(
    ("date", "created_at"),
    [
        ("Tue, 03 Mar 2026 10:00:00 +0100", "2026-03-03T09:00:00+00:00"),
        ("3 Mar 2026 10:00", "2026-03-03T10:00:00+00:00"),
        ("never", None),
        ("Tue, 03 Mar 99999 10:00:00 +0100", None),
    ],
)
def test_the_date_is_metadata_that_filters_can_compare(date: str, created_at: str | None) -> None:
    assert read(f"Subject: x\nDate: {date}\n\nbody".encode()).metadata.get("created_at") == created_at


def test_a_binary_file_is_no_mail() -> None:
    with pytest.raises(DocumentError, match="binary"):
        read(b"\x00\x01\x02\xff\xfe" * 100)


def test_apple_mails_file_has_a_length_before_the_mail() -> None:
    mail = b"Subject: Emlx\n\nwords\n"
    assert read(b"%d      \n" % len(mail) + mail + b"<?xml?><plist/>").content == "# Emlx\n\nwords\n"


def test_damaged_characters_are_counted() -> None:
    mail = HEAD + b"Content-Type: text/plain; charset=shift_jis\n\n" + ("日本語" * 20).encode("cp932") + b"\xfd."
    assert read(mail).report.replaced_characters == 1


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_mail_of_one_part_is_parsed_as_by_the_library(end: str) -> None:
    head = ["Subject: Gr\udcf6\udcdfe", "Content-Type: text/plain; charset=latin-1", ""]
    data = end.join([*head, "H\udce9 --x", "", ">From me", ""]).encode("ascii", "surrogateescape")

    found, expected = parse_message(data), BytesParser(policy=policy.compat32).parsebytes(data)
    assert found.get_payload() == expected.get_payload()
    assert read(data).title == "Größe"
