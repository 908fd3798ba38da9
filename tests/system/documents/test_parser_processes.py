"""Each parser is a process: what it reads is the same in all of them, and loads what its format needs alone."""

import re
import subprocess
import sys

from rag_assets.documents.parsing.parser import DocumentParser, reader_version
from tests.support.paths import FILES


def test_the_same_bytes_give_the_same_text_in_every_process() -> None:
    with DocumentParser() as parser:
        for path in FILES.iterdir():
            if path.is_file() and path.name != "locked.pdf":
                data = path.read_bytes()
                with DocumentParser() as other:
                    assert other.parse(path.name, data) == parser.parse(path.name, data)


def test_reader_version_imports_no_parser_library() -> None:
    assert reader_version("a.txt") == reader_version("b.txt") != reader_version("a.pdf")
    assert re.fullmatch(r"pdf-\d+\+pdfium-\d+\.\d+.*", reader_version("folder/a.PDF"))
    script = """
import sys
from rag_assets.documents.parsing.parser import DocumentParser, reader_version
reader_version("a.pdf")
with DocumentParser() as parser:
    parser.parse("a.md", b"# words")
print(sorted({"xberg", "chardetng_py", "dagster", "torch", "numpy", "html.parser"} & set(sys.modules)))
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"
