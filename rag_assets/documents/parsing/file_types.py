"""The type of a file: by its name, and by its content where that is unmistakable."""

import json
import os
import re
from typing import Final

from rag_assets.documents.versions import recognition_version
from rag_assets.errors import DocumentError

_EXTENSIONS: Final[dict[str, str]] = {
    "markdown": "md markdown mdown mkd mkdn mdx qmd rmd",
    "text": "txt text log me nfo",
    "rst": "rst rest",
    "asciidoc": "adoc asciidoc asc ad",
    "org": "org",
    "latex": "tex ltx latex",
    "mediawiki": "wiki mediawiki mw",
    "subtitles": "srt vtt sbv ass ssa lrc ttml dfxp smi sami",
    "html": "html htm xhtml shtml xht",
    "pdf": "pdf",
    "docx": "docx docm dotx dotm",
    "pptx": "pptx pptm ppsx ppsm potx",
    "xlsx": "xlsx xlsm xltx",
    "doc": "doc dot",
    "ppt": "ppt pps",
    "xls": "xls",
    "odt": "odt ott",
    "odp": "odp",
    "ods": "ods",
    "rtf": "rtf",
    "epub": "epub",
    "calendar": "ics ifb",
    "email": "eml emlx",
    "mbox": "mbox mbx",
    "mhtml": "mht mhtml",
    "msg": "msg",
    "csv": "csv tsv tab",
    "json": "json geojson jsonld json5 jsonc hjson har webmanifest topojson",
    "jsonl": "jsonl ndjson jsonlines",
    "notebook": "ipynb",
    "image": "png jpg jpeg jpe tif tiff webp",
    "python": "py pyi pyw",
    "code": (
        "asm awk bash bat bzl c cc cfg clj cljs cmake cmd conf cpp cs css cu cxx dart diff edn el "
        "elm env erl ex exs f f90 fish fs gd go gql gradle graphql groovy h hcl hh hpp hrl hs hxx "
        "ini inl j2 java jinja jl js jsx kt kts less lisp lua m mjs mk ml mli mm nim nix patch php "
        "pl pm proto properties ps1 psm1 pyx pxd r rb rego rkt rs s sass scala scm scss sh sol sql "
        "svelte swift tcl tf toml ts tsx v vb vhd vim vue wat xml xsd xsl xslt yaml yml zig zsh svg "
        "plist po pot rss atom"
    ),
}
_BY_EXTENSION: Final = {ext: kind for kind, names in _EXTENSIONS.items() for ext in names.split()}
_BY_NAME: Final = {
    "text": "readme license licence copying notice authors changelog changes news todo contributors install",
    "code": "makefile gnumakefile dockerfile containerfile jenkinsfile vagrantfile rakefile gemfile justfile "
    "procfile cmakelists .gitignore .gitattributes .dockerignore .editorconfig .env .bashrc .profile",
}
_BY_FULL_NAME: Final = {name: kind for kind, names in _BY_NAME.items() for name in names.split()}

# Decoded and otherwise left as they are. Every other type goes through a parser.
VERBATIM: Final = frozenset(
    {"markdown", "text", "rst", "asciidoc", "org", "latex", "mediawiki", "python", "code", "unknown"}
)
# Text with a structure: decoded first, then parsed.
STRUCTURED_TEXT: Final = frozenset({"html", "csv", "json", "jsonl", "notebook", "subtitles", "calendar"})

_HEAD_BYTES: Final = 256 * 1024
_MAX_GUESSED_BYTES: Final = 4 * 1024 * 1024

_ZIP_MARKERS: Final = {
    "docx": b"word/document.xml",
    "pptx": b"ppt/presentation.xml",
    "xlsx": b"xl/workbook.xml",
    "epub": b"mimetypeapplication/epub+zip",
    "odt": b"mimetypeapplication/vnd.oasis.opendocument.text",
    "odp": b"mimetypeapplication/vnd.oasis.opendocument.presentation",
    "ods": b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
}
_OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_TYPES: Final = ("doc", "xls", "ppt", "msg")
_OLE_MARKERS: Final = {
    "encrypted": "EncryptedPackage".encode("utf-16-le"),
    "msg": "__substg1.0_".encode("utf-16-le"),
    "doc": "WordDocument".encode("utf-16-le"),
    "xls": "Workbook".encode("utf-16-le"),
    "ppt": "PowerPoint Document".encode("utf-16-le"),
}
_LOOKS_LIKE_HTML: Final = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!doctype html|<html[\s>])", re.IGNORECASE)
_MAIL: Final = frozenset({"email", "mbox", "mhtml"})
_MAYBE_MAIL: Final = frozenset({"unknown", "text", "doc", "html"})
_MAILBOX: Final = re.compile(
    rb"From [^\r\n]{0,300}?\d:\d\d[^\r\n]{0,80}\r?\n(?:>?From [^\r\n]{0,300}\r?\n)?[!-9;-~]{1,80}: ?"
)
_WEB_ARCHIVE: Final = re.compile(
    rb"(?:\xef\xbb\xbf|\s){0,20}(?:[\w-]{1,80}:[^\n]{0,2000}\n(?:[ \t][^\n]{0,2000}\n){0,20}){0,20}?"
    rb"Content-Type:\s*multipart/related\b[^\n]*(?:\n[ \t][^\n]*){0,5}text/html",
    re.IGNORECASE,
)
# Read where the extra `ocr` is installed, with the sign behind the magic that tells WebP from sound and video.
OCR_HINT: Final = "pip install 'rag_assets[ocr]'"
_IMAGE_MAGIC: Final = (
    (b"\x89PNG\r\n", b"", "a PNG image"),
    (b"\xff\xd8\xff", b"", "a JPEG image"),
    (b"II*\x00", b"", "a TIFF image"),
    (b"MM\x00*", b"", "a TIFF image"),
    (b"RIFF", b"WEBP", "a WebP image"),
)
_REFUSED_MAGIC: Final = (
    (b"\x7fELF", "an executable (ELF)"),
    (b"MZ\x90", "a Windows executable"),
    (b"\xca\xfe\xba\xbe", "a Java class or a Mach-O executable"),
    (b"\xcf\xfa\xed\xfe", "an executable (Mach-O)"),
    (b"\x00asm", "a WebAssembly module"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"RIFF", "a RIFF container (image, sound or video)"),
    (b"OggS", "an Ogg container"),
    (b"fLaC", "FLAC sound"),
    (b"ID3", "MP3 sound"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
    (b"\x1f\x8b", "gzip-compressed"),
    (b"BZh", "bzip2-compressed"),
    (b"\xfd7zXZ\x00", "xz-compressed"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1\x00", "an Arrow file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"\x00\x01\x00\x00\x00", "a font"),
)


# Most files begin with none of these, which one search tells.
_ANY_MAGIC: Final = re.compile(
    b"|".join(
        re.escape(magic)
        for magic in (
            *(b"PK\x03\x04", b"PK\x05\x06", _OLE_MAGIC, b"{\\rtf"),
            *(magic for magic, _, _ in _IMAGE_MAGIC),
            *(magic for magic, _ in _REFUSED_MAGIC),
        )
    )
)


def file_type(file_path: str) -> str:
    """The type by the file name alone: "markdown", "pdf", "code", ..., or "unknown"."""
    name = file_path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].lower()
    stem, dot, extension = name.rpartition(".")
    if dot and extension in _BY_EXTENSION and stem:
        return _BY_EXTENSION[extension]
    return _BY_FULL_NAME.get(name) or _BY_FULL_NAME.get(stem, "unknown")


def detect_type(data: bytes, named: str) -> tuple[str | None, str | None]:
    """The type by content: (type, None), (None, description of a format that cannot be read), or (None, None).

    `named` is the type by the file name.
    """
    head = data[:1024]
    # A PDF may begin with a few bytes of junk, and a text may quote "%PDF-".
    if head.startswith(b"%PDF-") or (named == "pdf" and b"%PDF-" in head):
        return "pdf", None
    if head[4:8] == b"ftyp":
        return None, "an MP4 or HEIF container"
    if not _ANY_MAGIC.match(head):
        return None, None
    if head.startswith(b"PK\x03\x04"):
        if named in _ZIP_MARKERS and _ZIP_MARKERS[named] in data:
            return named, None
        # Without a marker the name decides: some programs write a "word/document2.xml".
        found = next((kind for kind, marker in _ZIP_MARKERS.items() if marker in data), None)
        found = found or (named if named in _ZIP_MARKERS else None)
        return (found, None) if found else (None, "a ZIP archive")
    if head.startswith(b"PK\x05\x06"):
        return None, "an empty ZIP archive"
    if head.startswith(_OLE_MAGIC):
        return _ole_type(data, named)
    if head.startswith(b"{\\rtf"):
        return "rtf", None
    if (image := image_type(head)) is not None:
        return ("image", None) if recognition_version() else (None, image)
    return None, next((what for magic, what in _REFUSED_MAGIC if head.startswith(magic)), None)


def image_type(data: bytes) -> str | None:
    """What kind of picture these bytes are, by their magic; None for anything else."""
    found = (what for magic, sign, what in _IMAGE_MAGIC if data.startswith(magic) and data[8:12].startswith(sign))
    return next(found, None)


def _ole_type(data: bytes, named: str) -> tuple[str | None, str | None]:
    found = next((kind for kind, marker in _OLE_MARKERS.items() if marker in data), None)
    if found == "encrypted":
        return None, "protected by a password"
    if found is None:
        return (named, None) if named in _OLE_TYPES else (None, "an OLE container")
    return found, None


def detect_kind(file_path: str, data: bytes) -> str:
    """The type to read these bytes as: by content where that is unmistakable, else by name."""
    named = file_type(file_path)
    found, refused = detect_type(data, named)
    if refused is not None:
        help_ = "convert or exclude it"
        if any(refused == what for _, _, what in _IMAGE_MAGIC):
            help_ = f"{OCR_HINT} to have its text recognised, or exclude it"
        raise DocumentError(f"its content is {refused}, which cannot be read as text; {help_}")
    if found is not None:
        return found
    is_text_by_name = named in VERBATIM or named in STRUCTURED_TEXT or named in _MAIL
    if named in _MAYBE_MAIL and (mail := _mail_type(data[:16384])) is not None:
        return mail
    if (not is_text_by_name or named == "unknown") and _LOOKS_LIKE_HTML.match(data[:1024]):
        return "html"
    if named in {"text", "unknown"} and _holds_json_lines(data):
        return "jsonl"
    if named == "unknown" and _holds_json(data):
        return "json"
    if not is_text_by_name and data.strip():
        extension = os.path.splitext(file_path)[1]  # noqa: PTH122
        raise DocumentError(
            f"it is named {extension} but its content is not of that format; it may be damaged or misnamed"
        )
    return named


def _holds_json_lines(data: bytes) -> bool:
    """Whether the first two lines are objects of JSON, as in logs and exports under any name."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return False
    head = data[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    lines = [line for line in head.splitlines() if line.strip()][:2]
    try:
        return len(lines) == 2 and all(isinstance(json.loads(line), dict) for line in lines)
    except (ValueError, RecursionError):
        return False


def _holds_json(data: bytes) -> bool:
    """Whether a file whose name tells nothing holds an object or array of JSON."""
    if len(data) > _MAX_GUESSED_BYTES or data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        return False
    try:
        return isinstance(json.loads(data.removeprefix(b"\xef\xbb\xbf")), dict | list)
    except (ValueError, RecursionError):
        return False


def _mail_type(head: bytes) -> str | None:
    """A mailbox or a saved web page under a name that does not tell: Thunderbird's have no extension, Word's .doc."""
    if _MAILBOX.match(head):
        return "mbox"
    return "mhtml" if b"MIME-Version" in head and _WEB_ARCHIVE.match(head) else None
