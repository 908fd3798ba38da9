"""Office files are read by xberg, after their notes and comments were brought into their text."""

import io
import zipfile
from collections.abc import Mapping

import pytest

from rag_assets.documents.parsing.readers.office import complete_document
from rag_assets.documents.parsing.readers.office.archive import Archive
from rag_assets.documents.parsing.readers.office.open_xml import shapes_to_boxes
from rag_assets.documents.parsing.readers.office.package import PackageParts
from rag_assets.documents.parsing.readers.xberg import read_document

NAMESPACES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{uri}:1.0"'
    for name, uri in [
        *(("office", "office"), ("text", "text"), ("draw", "drawing"), ("presentation", "presentation")),
        *(("style", "style"), ("table", "table"), ("chart", "chart")),
    ]
) + ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'  # fmt: skip


def open_document(kind: str, body: str, styles: str = "", objects: Mapping[str, str] | None = None) -> bytes:
    mime_type = f"application/vnd.oasis.opendocument.{kind}"
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as package:
        package.writestr("mimetype", mime_type)
        package.writestr(
            "content.xml",
            f'<?xml version="1.0"?><office:document-content {NAMESPACES}><office:body>{body}</office:body>'
            "</office:document-content>",
        )
        if styles:
            package.writestr("styles.xml", f"<office:document-styles {NAMESPACES}>{styles}</office:document-styles>")
        for name, content in (objects or {}).items():
            package.writestr(
                f"{name}/content.xml", f"<office:document-content {NAMESPACES}>{content}</office:document-content>"
            )
    return written.getvalue()


TEXT = """<office:text><text:tracked-changes><text:changed-region><text:deletion><text:p>deleted words</text:p>
</text:deletion></text:changed-region></text:tracked-changes><text:h text:outline-level="1">Lease</text:h>
<text:p>Rent<text:note text:id="f1" text:note-class="footnote">
<text:note-citation>1</text:note-citation>
<text:note-body><text:p>On herons</text:p></text:note-body>
</text:note> is due<office:annotation><dc:creator>Eve</dc:creator>
<dc:date>2026-01-01T00:00:00</dc:date><text:p>Why &amp; when?</text:p></office:annotation> monthly.<text:s/>Always.
</text:p>
<text:p><draw:frame><draw:text-box><text:p>boxed words</text:p></draw:text-box></draw:frame></text:p></office:text>"""
RUNNING = """<office:master-styles><style:master-page><style:header><text:p>Harbour Inc.</text:p></style:header>
<style:footer><text:p><text:page-number>1</text:page-number></text:p></style:footer></style:master-page>
</office:master-styles>"""
SLIDES = """<office:presentation><draw:page draw:name="page1"><draw:frame presentation:class="title"><draw:text-box>
<text:p>Rollout &amp; tides</text:p></draw:text-box></draw:frame><draw:frame><draw:text-box><text:p>Body words</text:p>
</draw:text-box></draw:frame><presentation:notes><draw:frame presentation:class="notes"><draw:text-box>
<text:p>On lynx</text:p>
</draw:text-box></draw:frame></presentation:notes></draw:page><draw:page draw:name="Named"><draw:frame><draw:text-box>
<text:p>more</text:p></draw:text-box></draw:frame></draw:page></office:presentation>"""


def test_an_open_document_text_has_its_notes_comments_and_boxes_once() -> None:
    content = read_document(open_document("text", TEXT, RUNNING), "odt").content
    assert [line for line in content.split("\n") if line] == [
        *(
            "Harbour Inc.",
            "# Lease",
            "Rent is due monthly. Always.",
            "Footnote: On herons",
            "Comment (Eve): Why & when?",
        ),
        "boxed words",
    ]


def test_an_open_document_presentation_has_its_titles_and_notes() -> None:
    content = read_document(open_document("presentation", SLIDES), "odp").content
    lines = [line for line in content.split("\n") if line.strip("-")]
    assert lines == ["## Rollout & tides", "Body words", "Notes: On lynx", "## Named", "more"]


def test_shapes_of_open_documents_have_their_text_and_charts_their_values() -> None:
    shape = "<draw:custom-shape><text:p>In a shape</text:p><draw:enhanced-geometry/></draw:custom-shape>"
    chart = (
        '<draw:frame><draw:object xlink:href="./Object 1"/><draw:image xlink:href="./Object 1.png"/></draw:frame>'
        '<draw:frame><draw:object xlink:href="./Object 2"/></draw:frame>'
    )
    objects = {
        "Object 1": "<chart:chart><chart:title><text:p>Catch &amp; crew</text:p></chart:title>"
        "<table:table><table:table-rows><table:table-row><table:table-cell><text:p>East</text:p></table:table-cell>"
        "<table:table-cell><text:p>19.2</text:p></table:table-cell></table:table-row></table:table-rows></table:table>"
        "</chart:chart>"
    }
    slides = f'<office:presentation><draw:page draw:name="A">{shape}{chart}</draw:page></office:presentation>'
    master = (
        '<office:master-styles><style:master-page><draw:frame presentation:class="title"><draw:text-box>'
        "<text:p>Click to edit the title</text:p></draw:text-box></draw:frame></style:master-page>"
        "</office:master-styles>"
    )
    content = read_document(open_document("presentation", slides, master, objects), "odp").content
    lines = [line for line in content.split("\n") if line.strip("- |")]
    assert lines == ["## A", "In a shape", "Catch & crew", "| East | 19.2 |"]

    text = f"<office:text><text:p>Before{shape} and after</text:p>{shape}{chart}</office:text>"
    content = read_document(open_document("text", text, "", objects), "odt").content
    lines = [line for line in content.split("\n") if line.strip("- |")]
    assert lines == ["Before and after", "In a shape", "In a shape", "Catch & crew", "| East | 19.2 |"]


@pytest.mark.parametrize(
    "tag", ["<draw:rect>", "<draw:rect ", '<draw:frame><draw:object xlink:href="x">', "<draw:frame "]
)
def test_shapes_that_are_never_closed_take_linear_time(tag: str) -> None:
    slides = tag * 20_000
    assert shapes_to_boxes(slides, PackageParts(Archive(open_document("presentation", "")))) == slides


@pytest.mark.parametrize("kind", ["docx", "pptx", "odt", "odp", "pdf"])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut off", open_document("text", "<office:text/>")])
def test_a_package_without_such_parts_or_that_is_broken_is_unchanged(kind: str, data: bytes) -> None:
    assert complete_document(data, kind) is data
