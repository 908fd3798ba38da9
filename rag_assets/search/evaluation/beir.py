"""Judged questions in BEIR's layout: queries.jsonl, and qrels.tsv or qrels/test.tsv."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from rag_assets.errors import UsageError
from rag_assets.search.evaluation.jsonl import MAX_GRADE, parse_query_text, parse_text, read_json_lines, read_lines


def read_beir(folder: Path) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, int]]]:
    """The questions by id, and for each judged one the grades of documents by id; as `read_questions` says."""
    queries_file = folder / "queries.jsonl"
    judged_in = [folder / "qrels.tsv", folder / "qrels" / "test.tsv"]
    qrels_file = next((file for file in judged_in if file.is_file()), None)
    if qrels_file is None or not queries_file.is_file():
        raise UsageError(
            f"{folder} is a folder without queries.jsonl and qrels.tsv (or qrels/test.tsv); "
            "name a file of JSON lines, or a folder in BEIR's layout."
        )
    queries = {}
    for _, where, value in read_json_lines(queries_file):
        queries[parse_text(value, "_id", where)] = parse_query_text(value, "text", where)
    relevant: dict[str, dict[str, int]] = {}
    for query, document, grade, where in _read_qrels(qrels_file):
        if query not in queries:
            raise UsageError(f"{where}: question {query!r} is not in {queries_file.name}; add it there.")
        relevant.setdefault(query, {})[document] = grade
    return queries, relevant


def _read_qrels(file: Path) -> Iterator[tuple[str, str, int, str]]:
    for number, line in read_lines(file):
        where = f"{file}, line {number}"
        fields = [field.strip() for field in line.split("\t")]
        if number == 1 and fields[-1].lower() == "score":
            continue
        try:
            query, document, score = fields
            # Negative scores mark junk in some sets; it answers as little as any other wrong document.
            grade = max(0, int(score.removesuffix(".0")))
        except ValueError:
            raise UsageError(
                f"{where}: {line[:80]!r} is not a question's id, a document's id and a whole number, with tabs between."
            ) from None
        yield query, document, min(grade, MAX_GRADE), where


def match_document_ids(file_paths: Iterable[str], ids: Iterable[str]) -> dict[str, str]:
    """The judged id that each stored file stands for, of those that stand for one.

    A file stands for the id that is its path, its path without the last suffix, its name, or its name without the
    last suffix; the first of these that is an id counts. What cannot be in a file's name is percent-encoded there
    (`10.1000%2F182.txt` stands for `10.1000/182`).
    """
    known = {spelled: name for name in ids for spelled in (quote(name, safe="", errors="replace"), name)}
    found = {}
    for path in file_paths:
        name = path.rsplit("/", 1)[-1]
        spellings = (path, _without_suffix(path), name, _without_suffix(name))
        match = next((known[spelled] for spelled in spellings if spelled in known), None)
        if match is not None:
            found[path] = match
    return found


def _without_suffix(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)
