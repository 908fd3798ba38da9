"""python -m tests.benchmarks.languages: keyword search in languages without spaces, from the texts of a Debian system.

Prints a line of JSON per set: nDCG@10 and the share of queries whose document is first, with the words of this package
and with those of PostgreSQL's parser alone (`parser_*`). Each query has one relevant document, known from how it was
made:

- `man`: the query is the line under the name of a manual page, the document the rest of the page (Chinese, Japanese,
  Korean; `apt-get install manpages-zh manpages-ja` has more pages);
- `messages`: the query is a few words within a translated message of a program, the document the message (also Thai,
  Khmer and Lao).

Nothing is downloaded. A language without texts on this machine is left out, which a line on stderr says. Other machines
have other texts, so that figures differ.
"""

import gettext
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Engine, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.schema import migrations
from rag_assets.search.keyword.unspaced import split_letters
from tests.benchmarks.judged import MANUALS, MAX_CHARS, EvaluationDocument, hash_name
from tests.support.data.keyword_corpus import search_paths, write_corpus
from tests.support.database.database_server import DatabaseServer, running_server

CATALOGS = Path("/usr/share/locale")
LANGUAGES = {
    "chinese": ("zh_CN", "zh_TW"),
    "japanese": ("ja",),
    "korean": ("ko",),
    "thai": ("th",),
    "khmer": ("km",),
    "lao": ("lo",),
}
MIN_DOCUMENTS = 20
MAX_DOCUMENTS = 300
# A message is long enough to have a part that is a query, and short enough to have one subject.
MIN_MESSAGE_CHARS, MAX_MESSAGE_CHARS = 40, 600
QUERY_LETTERS = 6
# A run of letters of the languages above.
UNSPACED = re.compile(r"[\u0e01-\u0e4e\u0e81-\u0edf\u1780-\u17dd\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")
PARSER_ALONE = (
    "CREATE OR REPLACE FUNCTION rag.word_vector(language regconfig, given text) RETURNS tsvector LANGUAGE sql "
    "IMMUTABLE STRICT RETURN to_tsvector(language, given)"
)


def main() -> None:
    sets = list(collect_sets())
    if not sets:
        return
    with running_server() as server:
        for language, name, documents in sets:
            figures = {"language": language, "set": name, "documents": len(documents), **measure(server, documents)}
            print(json.dumps(figures), flush=True)


def collect_sets() -> Iterator[tuple[str, str, list[EvaluationDocument]]]:
    for language, locales in LANGUAGES.items():
        for name, read in (("man", manual_pages), ("messages", messages)):
            documents = list(read(locales))
            if len(documents) >= MIN_DOCUMENTS:
                yield language, name, documents
            else:
                print(f"{language}: {len(documents)} texts of {name} on this machine, left out", file=sys.stderr)


def manual_pages(locales: tuple[str, ...]) -> Iterator[EvaluationDocument]:
    files = [file for locale in locales for file in (MANUALS / locale).glob("man*/*.gz")]
    environment = {"MANWIDTH": "200", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    for file in sorted(files, key=lambda file: hash_name(file.name))[:MAX_DOCUMENTS]:
        command = ["man", "--local-file", str(file)]
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
        sections = [part for part in re.split(r"^(?=\S)", shown, flags=re.MULTILINE) if part.strip()]
        line = re.search(r"\s[\u2014\u2013-]+\s+(.+)", " ".join(sections[1].split())) if len(sections) > 2 else None
        # Many pages are translated in part only.
        if line and not line[1].isascii():
            text = "\n".join(sections[2:-1])[:MAX_CHARS]
            yield EvaluationDocument(f"{file.parent.parent.name}-{file.stem}", text, line[1])


def messages(locales: tuple[str, ...]) -> Iterator[EvaluationDocument]:
    found: dict[str, EvaluationDocument] = {}
    for locale in locales[:1]:
        for file in sorted((CATALOGS / locale / "LC_MESSAGES").glob("*.mo")):
            for message in read_messages(file):
                letters = max((split_letters(run) for run in UNSPACED.findall(message)), key=len, default=[])
                if MIN_MESSAGE_CHARS <= len(message) <= MAX_MESSAGE_CHARS and len(letters) > QUERY_LETTERS:
                    # From its middle, so that the query begins within a run without spaces.
                    middle = (len(letters) - QUERY_LETTERS) // 2
                    query = "".join(letters[middle : middle + QUERY_LETTERS])
                    name = hash_name(message).hex()[:12]
                    found[name] = EvaluationDocument(name, message, query)
    yield from [found[name] for name in sorted(found)][:MAX_DOCUMENTS]


def read_messages(file: Path) -> Iterator[str]:
    try:
        with file.open("rb") as opened:
            catalog = gettext.GNUTranslations(opened)
    except (OSError, UnicodeDecodeError, ValueError):
        return
    for message in catalog._catalog.values():  # type: ignore[attr-defined]
        if isinstance(message, str):
            yield message


def measure(server: DatabaseServer, documents: list[EvaluationDocument]) -> Mapping[str, float]:
    texts = {document.name: document.text for document in documents}
    figures = {}
    for prefix, statement in (("", None), ("parser_", PARSER_ALONE)):
        with server.copy("template1") as url:
            engine = make_engine(url)
            migrations.upgrade(engine)
            if statement:
                with engine.begin() as connection:
                    connection.execute(text(statement))
            write_corpus(engine, texts, language="simple")
            for name, figure in judge(engine, documents).items():
                figures[prefix + name] = figure
            engine.dispose()
    return figures


def judge(engine: Engine, documents: list[EvaluationDocument]) -> Mapping[str, float]:
    ranks = []
    for document in documents:
        found = search_paths(engine, document.question)
        ranks.append(found.index(document.name) + 1 if document.name in found else math.inf)
    return {
        "ndcg@10": round(sum(1 / math.log2(rank + 1) for rank in ranks) / len(ranks), 3),
        "first": round(sum(rank == 1 for rank in ranks) / len(ranks), 3),
    }


if __name__ == "__main__":
    main()
