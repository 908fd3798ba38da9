"""The child process that parses: reads requests from stdin, answers on stdout, and ends with its parent.

A request is a line of JSON ({"kind", "size"}) and `size` bytes; an answer is three lengths, JSON, the content, and the
bytes of the attachments that the JSON names. Three lengths of 0 before it are a sign of life.
"""

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from rag_assets.documents.parsing.encoding import count_replaced, declared_encoding, decode
from rag_assets.documents.parsing.file_types import STRUCTURED_TEXT
from rag_assets.documents.parsing.heartbeat import on_heartbeat
from rag_assets.documents.parsing.isolation import isolate
from rag_assets.documents.parsing.parse_report import ConvertedDocument
from rag_assets.errors import DocumentError

LENGTHS = struct.Struct(">QQQ")
# Formats that are not Unicode within: U+FFFD in their text was not written there.
_WITH_ENCODINGS = frozenset({"pdf", "doc", "xls", "ppt", "rtf"})


def parse_document(kind: str, data: bytes) -> ConvertedDocument:
    """Read a document of this type."""
    if kind == "html":
        from rag_assets.documents.parsing.readers.html_to_markdown import read_html

        return read_html(data)
    if kind in {"email", "mbox", "mhtml", "msg"}:
        from rag_assets.documents.parsing.readers.mail import read_mail

        return read_mail(kind, data)
    if kind in {"json", "jsonl", "notebook", "subtitles", "calendar"}:
        from rag_assets.documents.parsing.readers.structured import read_structured

        return read_structured(kind, data)
    if kind == "csv":
        from rag_assets.documents.parsing.readers.sheets.delimited import read_csv

        text = decode(data, declared_encoding(data, kind)).replace("\r\n", "\n")
        return ConvertedDocument(None, *read_csv(text)) if text.strip() else ConvertedDocument(None, "")
    if kind in {"doc", "ppt", "xls"}:
        from rag_assets.documents.parsing.readers.office.protection import refuse_encrypted

        refuse_encrypted(data, kind)
    archive = None
    if kind in {"docx", "pptx", "xlsx", "odt", "odp", "ods", "epub"}:
        from rag_assets.documents.parsing.readers.office.protection import refuse_package

        archive = refuse_package(data, kind)
    if kind in {"xlsx", "ods", "xls"}:
        from rag_assets.documents.parsing.readers.sheets.workbook import read_workbook

        return read_workbook(data, kind)
    if kind == "pdf":
        from rag_assets.documents.parsing.readers.pdf.reader import read_pdf

        return read_pdf(data)
    if kind == "image":
        from rag_assets.documents.parsing.readers.pictures.image import read_image

        return read_image(data)
    from rag_assets.documents.parsing.readers.xberg import read_document

    return read_document(data, kind, archive)


def main(parse: Callable[[str, bytes], ConvertedDocument] = parse_document) -> None:
    """Serve requests until stdin ends. Arguments: the parent's process id, the memory limit in MiB."""
    parent_pid, memory_mb = int(sys.argv[1]), int(sys.argv[2])
    isolate(parent_pid, memory_mb)
    requests, answers = _take_over_pipes()

    def send_heartbeat() -> None:
        answers.write(LENGTHS.pack(0, 0, 0))
        answers.flush()

    on_heartbeat(send_heartbeat)
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["size"])
        if len(data) < request["size"]:
            break
        head, content, attachments, reusable = _answer(parse, request["kind"], data)
        del data
        answers.write(LENGTHS.pack(len(head), len(content), sum(map(len, attachments))))
        answers.write(head)
        answers.write(content)
        answers.writelines(attachments)
        del head, content, attachments
        answers.flush()
        if not reusable:
            break
    # With the threads of xberg 1.3.9, an orderly shutdown of the interpreter crashes.
    os._exit(0)


def _answer(
    parse: Callable[[str, bytes], ConvertedDocument], kind: str, data: bytes
) -> tuple[bytes, bytes, list[bytes], bool]:
    """The answer, and whether this process can parse another document."""
    reason, reusable = "", True
    try:
        found = parse(kind, data)
        report = found.report
        if kind in STRUCTURED_TEXT and "\ufffd" in found.content:
            report = replace(report, replaced_characters=count_replaced(data, kind))
        elif kind in _WITH_ENCODINGS and not report.replaced_characters:
            report = replace(report, replaced_characters=found.content.count("\ufffd"))
        files = [(attachment.name, len(attachment.data)) for attachment in found.attachments]
        head = {"title": found.title, "metadata": found.metadata, "report": report.as_json(), "attachments": files}
        content = found.content.encode("utf-8", "surrogatepass")
        return json.dumps(head, default=str).encode(), content, [file.data for file in found.attachments], True
    except DocumentError as error:
        reason = str(error)
    except MemoryError:
        return b'{"memory": true, "last": true}', b"", [], False
    except RecursionError:
        reason = "it is nested too deeply to be parsed"
    except Exception as error:
        # Any exception on a broken file is a property of that file.
        reason = f"the parser failed: {_describe(error)}"
    except BaseException as error:
        # A Rust panic, or a parser that calls exit.
        reason, reusable = f"the parser gave up: {_describe(error)}", False
    return json.dumps({"reason": reason, "last": not reusable}).encode(), b"", [], reusable


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes under other file descriptors, so that a parser that prints or reads cannot break the protocol."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return requests, answers


if __name__ == "__main__":
    main()
