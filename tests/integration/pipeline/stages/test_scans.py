"""raw_documents: pages that are pictures are listed with what to do, and are read again when the extra comes."""

from pathlib import Path

import pytest

from rag_assets.documents.parsing import parser as parser_module
from rag_assets.pipeline.status import read_status
from tests.integration.pipeline.stages.test_documents import read_zoo
from tests.support.data.pdf_file import Page, make_pdf
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

SCAN = make_pdf([Page().image(8, 8, bytes(64)), Page().text(50, 50, "The second page has a text of its own.")])
TEXT = make_pdf([Page().text(50, 50, "Only text.")])


def test_a_scan_is_listed_and_read_again_when_the_extra_comes(
    steps: Steps, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "scan.pdf", SCAN)
    write(folder / "text.pdf", TEXT)
    write(folder / "empty.md", "")
    steps.project("zoo", folder)
    steps.documents("zoo")
    [(report,)] = rows(steps.engine, "SELECT parse_report FROM rag.documents WHERE file_path = 'scan.pdf'")
    assert (report["unread_pages"], len(report["page_starts"])) == ([1], 2)
    [remark] = read_status(steps.engine)["remarks"]
    assert (remark["project"], remark["file_path"]) == ("zoo", "scan.pdf")
    assert remark["notes"][0].startswith("page 1 of 2 has no text layer that can be read")

    assert read_zoo(steps, folder) == ([], [])
    monkeypatch.setattr(parser_module, "recognition_version", lambda: "9.9")
    assert read_zoo(steps, folder) == (["scan.pdf"], ["scan.pdf"])
    assert read_zoo(steps, folder) == ([], [])
