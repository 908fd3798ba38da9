"""Evaluation queries in BEIR's layout: queries.jsonl, and qrels.tsv or qrels/test.tsv."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from rag_assets.errors import UsageError
from rag_assets.search.evaluation.jsonl import MAX_GRADE, parse_query_text, parse_text, read_json_lines, read_lines


def read_beir(folder: Path) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, int]]]:
    """The queries by id, and the grades of documents by query id and document id; see `read_queries`."""
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
            raise UsageError(f"{where}: query {query!r} is not in {queries_file.name}; add it there.")
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
            # Some sets mark junk by negative scores; it counts as not relevant.
            grade = max(0, int(score.removesuffix(".0")))
        except ValueError:
            raise UsageError(
                f"{where}: {line[:80]!r} is not a query id, a document id and an integer, separated by tabs."
            ) from None
        yield query, document, min(grade, MAX_GRADE), where


def match_document_ids(file_paths: Iterable[str], ids: Iterable[str]) -> dict[str, str]:
    """The judged document id by file path, for the paths that match one.

    A path matches the id that equals, in this order, the path, the path without its last suffix, the file name, or the
    file name without its last suffix. Characters that file names cannot have are percent-encoded in them
    (`10.1000%2F182.txt` matches `10.1000/182`).
    """
    by_spelling = {spelling: name for name in ids for spelling in (quote(name, safe="", errors="replace"), name)}
    found = {}
    for path in file_paths:
        name = path.rsplit("/", 1)[-1]
        spellings = (path, _without_suffix(path), name, _without_suffix(name))
        match = next((by_spelling[spelling] for spelling in spellings if spelling in by_spelling), None)
        if match is not None:
            found[path] = match
    return found


def _without_suffix(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)
