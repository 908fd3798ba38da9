"""Evaluation queries, read from a file of JSON lines or a folder in BEIR's layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_assets.documents.text import is_text
from rag_assets.errors import UsageError
from rag_assets.search.evaluation.beir import read_beir
from rag_assets.search.evaluation.jsonl import (
    check_type,
    parse_grade,
    parse_query_text,
    parse_text,
    parse_whole_number,
    read_json_lines,
)


@dataclass(frozen=True, slots=True)
class Passage:
    """Characters `char_start` to `char_end` of a document's stored text, and their grade."""

    file_path: str
    char_start: int
    char_end: int
    grade: int


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """A query with its judgements: `relevant` has the grade of each judged document, 0 for one that is not relevant."""

    id: str
    text: str
    relevant: Mapping[str, int]
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationQuerySet:
    """The queries of one file or folder.

    With `by_document_id`, `relevant` has BEIR's document ids instead of file paths. `not_judged` counts the queries
    that were left out because no document is judged relevant to them.
    """

    queries: list[EvaluationQuery]
    by_document_id: bool = False
    not_judged: int = 0


def read_queries(path: Path) -> EvaluationQuerySet:
    """The queries of a JSONL file or a BEIR folder.

    A line of the file is `{"query": "…", "relevant": {"<file_path>": grade, …}}`, with `"passages": [{"file_path",
    "char_start", "char_end", "grade"}, …]` where passages are judged, too; passages without `relevant` judge their
    documents. A BEIR folder has `queries.jsonl` and `qrels.tsv` or `qrels/test.tsv`; its corpus is ingested as any
    folder, one file a document, named by the document's id (see `match_document_ids`).

    Raises UsageError that names the file, the line and the error.
    """
    if path.is_dir():
        return _read_beir_set(path)
    queries = [_parse_query(value, str(line), where) for line, where, value in read_json_lines(path)]
    if not queries:
        raise UsageError(f'{path} has no query; write one a line: {{"query": "…", "relevant": {{"path": 1}}}}.')
    return EvaluationQuerySet(queries)


def _read_beir_set(folder: Path) -> EvaluationQuerySet:
    texts, relevant = read_beir(folder)
    judged = {query: grades for query, grades in relevant.items() if any(grades.values())}
    if not judged:
        raise UsageError(f"the qrels in {folder} judge no document relevant; give one a score of 1 or more.")
    queries = [EvaluationQuery(query, texts[query], grades) for query, grades in judged.items()]
    return EvaluationQuerySet(queries, by_document_id=True, not_judged=len(relevant) - len(judged))


def _parse_query(value: Mapping[str, Any], line: str, where: str) -> EvaluationQuery:
    text = parse_query_text(value, "query", where)
    passages = tuple(
        _parse_passage(item, where) for item in check_type(value.get("passages", []), list, "passages", where)
    )
    if "relevant" in value:
        grades = check_type(value["relevant"], dict, "relevant", where)
        if invalid := [path for path in grades if not is_text(path)]:
            raise UsageError(f'{where}: "relevant" names {invalid[0]!r}, which cannot be a path; correct it.')
        relevant = {path: parse_grade(grade, f"the grade of {path!r}", where) for path, grade in grades.items()}
    else:
        relevant = {}
        for passage in passages:
            relevant[passage.file_path] = max(passage.grade, relevant.get(passage.file_path, 0))
    if not any(relevant.values()):
        raise UsageError(f'{where}: "relevant" names no relevant document; give one a grade of 1 or more.')
    return EvaluationQuery(line, text, relevant, passages)


def _parse_passage(item: Any, where: str) -> Passage:
    value = check_type(item, dict, "a passage", where)
    start, end = (
        parse_whole_number(value.get(name), f'the "{name}" of a passage', where) for name in ("char_start", "char_end")
    )
    if end <= start:
        raise UsageError(f"{where}: a passage from {start} to {end} is empty; let char_end be greater.")
    return Passage(
        parse_text(value, "file_path", where),
        start,
        end,
        parse_grade(value.get("grade", 1), "the grade of a passage", where),
    )
