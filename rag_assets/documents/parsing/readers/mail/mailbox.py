"""Mailboxes (mbox, RFC 4155 and its older relatives): one section for each mail."""

import re
from collections.abc import Iterator

from rag_assets.documents.parsing.parse_report import ConvertedDocument
from rag_assets.documents.parsing.readers.mail.message import MessageReader
from rag_assets.documents.parsing.readers.mail.parsing import parse_message

# A From_ line has a time, and a header follows. Where it does not follow an empty line, the mail before it is cut.
_FROM_LINE = re.compile(
    rb"^From [^\r\n]{0,300}?\d:\d\d[^\r\n]{0,80}\r?\n(?=(?:>?From [^\r\n]*\r?\n)?[!-9;-~]{1,80}:)", re.MULTILINE
)
_QUOTED_FROM = re.compile(rb"^>(?=>*From )", re.MULTILINE)


def read_mailbox(data: bytes) -> ConvertedDocument:
    """The mails of a mailbox one after the other; only one is parsed at a time."""
    reader = MessageReader()
    sections = [reader.section(parse_message(mail), level=1)[1] for mail in split_mailbox(data)]
    return reader.result("", "\n".join(sections), {"message_count": len(sections)})


def split_mailbox(data: bytes) -> Iterator[bytes]:
    """The mails without their From_ lines, with the lines that were quoted as `>From ` as they were."""
    starts = [(match.start(), match.end()) for match in _FROM_LINE.finditer(data)]
    if not starts or data[: starts[0][0]].strip():
        starts.insert(0, (0, 0))
    ends = [start for start, _ in starts[1:]] + [len(data)]
    for (_, begin), end in zip(starts, ends, strict=True):
        mail = data[begin:end]
        yield _QUOTED_FROM.sub(b"", mail) if b"\n>" in mail else mail
