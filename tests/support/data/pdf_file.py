"""Small PDFs, written by hand: text at places, lines, pictures, bookmarks, fields of forms."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 595, 842
FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier"}


@dataclass
class Page:
    """What is drawn on a page; y is counted from the top."""

    rotate: int = 0
    parts: list[bytes] = field(default_factory=list)
    annotations: list[bytes] = field(default_factory=list)
    picture: tuple[int, int, bytes] | None = None

    def text(self, x: float, y: float, words: str, size: float = 11, font: str = "F1") -> "Page":
        escaped = words.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
        head = f"BT /{font} {size} Tf 1 0 0 1 {x} {HEIGHT - y} Tm (".encode()
        self.parts.append(head + escaped + b") Tj ET")
        return self

    def kerned(self, x: float, y: float, words: str, size: float = 11) -> "Page":
        """Text as LaTeX writes it: gaps instead of spaces; `~3` is the raised number of a footnote."""
        parts = []
        for word in words.split(" "):
            plain, _, mark = word.partition("~")
            parts.append(f"[({plain})] TJ")
            if mark:
                parts.append(f"/F1 {0.7 * size} Tf {0.36 * size} Ts ({mark}) Tj 0 Ts /F1 {size} Tf")
            parts.append("[-270] TJ")
        self.parts.append(f"BT /F1 {size} Tf 1 0 0 1 {x} {HEIGHT - y} Tm {' '.join(parts)} ET".encode())
        return self

    def upwards(self, x: float, y: float, words: str, size: float = 11) -> "Page":
        """Text that runs from the bottom of the page to its top."""
        self.parts.append(f"BT /F1 {size} Tf 0 1 -1 0 {x} {HEIGHT - y} Tm ({words}) Tj ET".encode())
        return self

    def lines(self, x: float, y: float, texts: Sequence[str], size: float = 11, font: str = "F1") -> "Page":
        for number, words in enumerate(texts):
            self.text(x, y + number * 1.25 * size, words, size, font)
        return self

    def rule(self, x0: float, y0: float, x1: float, y1: float) -> "Page":
        self.parts.append(f"0.5 w {x0} {HEIGHT - y0} m {x1} {HEIGHT - y1} l S".encode())
        return self

    def grid(self, xs: Sequence[float], ys: Sequence[float], rows: Sequence[Sequence[str]]) -> "Page":
        """A ruled table: the texts stand in the cells that the lines at `xs` and `ys` make."""
        for x in xs:
            self.rule(x, ys[0], x, ys[-1])
        for y in ys:
            self.rule(xs[0], y, xs[-1], y)
        for y, row in zip(ys, rows, strict=False):
            for x, words in zip(xs, row, strict=False):
                self.text(x + 4, y + 14, words, 10)
        return self

    def field(self, name: str, value: str) -> "Page":
        """A field of a form whose value no program has drawn."""
        entry = f"/Type /Annot /Subtype /Widget /FT /Tx /T ({name}) /V ({value}) /Rect [50 50 200 70] /F 4"
        self.annotations.append(entry.encode())
        return self

    def comment(self, words: str) -> "Page":
        self.annotations.append(f"/Type /Annot /Subtype /Text /Contents ({words}) /Rect [50 50 60 60]".encode())
        return self

    def image(self, width: int, height: int, gray: bytes) -> "Page":
        """A picture over the whole page, of one byte for each pixel."""
        self.picture = width, height, gray
        self.parts.append(f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /Im Do Q".encode())
        return self


def make_pdf(
    pages: Sequence[Page], bookmarks: Sequence[tuple[str, int]] = (), title: str = "", catalog_entries: str = ""
) -> bytes:
    """`bookmarks` are titles with their page, from 0."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    catalog, tree = add(b""), add(b"")
    fonts = b""
    for key, name in FONTS.items():
        font = add(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode())
        fonts += f"/{key} {font} 0 R ".encode()
    numbers, fields = [], []
    for page in pages:
        resources = b"/Font << " + fonts + b" >>"
        if page.picture is not None:
            width, height, gray = page.picture
            head = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray "
            picture = add(pdf_stream(gray, f"{head}/BitsPerComponent 8".encode()))
            resources += f" /XObject << /Im {picture} 0 R >>".encode()
        content = add(pdf_stream(b"\n".join(page.parts)))
        annotations = [add(b"<< " + body + b" >>") for body in page.annotations]
        fields += [number for number, body in zip(annotations, page.annotations, strict=True) if b"/Widget" in body]
        listed = " ".join(f"{number} 0 R" for number in annotations).encode()
        numbers.append(
            add(
                f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Rotate {page.rotate} ".encode()
                + b"/Resources << "
                + resources
                + b" >> "
                + f"/Contents {content} 0 R /Annots [".encode()
                + listed
                + b"] >>"
            )
        )
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects[tree - 1] = f"<< /Type /Pages /Count {len(numbers)} /Kids [{kids}] >>".encode()
    root = f"<< /Type /Catalog /Pages {tree} 0 R {catalog_entries}"
    if bookmarks:
        root += f" /Outlines {_add_bookmarks(objects, bookmarks, numbers)} 0 R"
    if fields:
        root += f" /AcroForm << /Fields [{' '.join(f'{number} 0 R' for number in fields)}] >>"
    objects[catalog - 1] = f"{root} >>".encode()
    info = add(f"<< /Title ({title}) >>".encode())
    return pdf_from_objects(objects, catalog, info)


def _add_bookmarks(objects: list[bytes], bookmarks: Sequence[tuple[str, int]], pages: Sequence[int]) -> int:
    objects.append(b"")
    outline = len(objects)
    first = outline + 1
    for index, (title, page) in enumerate(bookmarks):
        links = f"/Parent {outline} 0 R /Dest [{pages[page]} 0 R /Fit]"
        links += f" /Next {first + index + 1} 0 R" if index + 1 < len(bookmarks) else ""
        links += f" /Prev {first + index - 1} 0 R" if index else ""
        objects.append(f"<< /Title ({title}) {links} >>".encode())
    last = first + len(bookmarks) - 1
    objects[outline - 1] = f"<< /First {first} 0 R /Last {last} 0 R /Count {len(bookmarks)} >>".encode()
    return outline


def pdf_stream(data: bytes, entries: bytes = b"") -> bytes:
    packed = zlib.compress(data)
    head = b"<< /Filter /FlateDecode " + entries + f" /Length {len(packed)} >>".encode()
    return head + b"\nstream\n" + packed + b"\nendstream"


def pdf_from_objects(objects: Sequence[bytes], catalog: int, info: int) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer << /Size {len(objects) + 1} /Root {catalog} 0 R /Info {info} 0 R >>\n".encode()
    out += f"startxref\n{start}\n%%EOF\n".encode()
    return bytes(out)
