"""Judged questions, read from a file of JSON lines or from a folder in BEIR's layout."""

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
    """Characters `char_start` to `char_end` of a document's stored text, and how well they answer."""

    file_path: str
    char_start: int
    char_end: int
    grade: int


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """A question and what answers it: `relevant` has a grade for each judged document, 0 for one that does not."""

    id: str
    query: str
    relevant: Mapping[str, int]
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationQuerySet:
    """The questions of one file or folder.

    `by_document_id` says that `relevant` names BEIR's document ids instead of file paths; `not_judged` counts the
    questions that were left out because nothing is said to answer them.
    """

    questions: list[EvaluationQuery]
    by_document_id: bool = False
    not_judged: int = 0


def read_queries(path: Path) -> EvaluationQuerySet:
    """The questions of a JSONL file or of a BEIR folder.

    A line of the file is `{"query": "…", "relevant": {"<file_path>": grade, …}}`, with `"passages": [{"file_path",
    "char_start", "char_end", "grade"}, …]` where the place is judged too; passages without `relevant` judge their
    documents. A BEIR folder has `queries.jsonl` and `qrels.tsv` or `qrels/test.tsv`; its corpus is ingested as any
    folder, one file a document, named by the document's id (see `match_document_ids`).

    Raises UsageError that names file, line and what is wrong with it.
    """
    if path.is_dir():
        return _read_beir_set(path)
    questions = [_parse_query(value, str(line), where) for line, where, value in read_json_lines(path)]
    if not questions:
        raise UsageError(f'{path} has no question; write one a line: {{"query": "…", "relevant": {{"path": 1}}}}.')
    return EvaluationQuerySet(questions)


def _read_beir_set(folder: Path) -> EvaluationQuerySet:
    queries, relevant = read_beir(folder)
    judged = {query: grades for query, grades in relevant.items() if any(grades.values())}
    if not judged:
        raise UsageError(f"the qrels in {folder} say of no document that it answers; give one a score of 1 or more.")
    questions = [EvaluationQuery(query, queries[query], grades) for query, grades in judged.items()]
    return EvaluationQuerySet(questions, by_document_id=True, not_judged=len(relevant) - len(judged))


def _parse_query(value: Mapping[str, Any], line: str, where: str) -> EvaluationQuery:
    query = parse_query_text(value, "query", where)
    passages = tuple(
        _parse_passage(item, where) for item in check_type(value.get("passages", []), list, "passages", where)
    )
    if "relevant" in value:
        grades = check_type(value["relevant"], dict, "relevant", where)
        if unheard := [path for path in grades if not is_text(path)]:
            raise UsageError(f'{where}: "relevant" names {unheard[0]!r}, which no document is called; correct it.')
        relevant = {path: parse_grade(grade, f"the grade of {path!r}", where) for path, grade in grades.items()}
    else:
        relevant = {}
        for passage in passages:
            relevant[passage.file_path] = max(passage.grade, relevant.get(passage.file_path, 0))
    if not any(relevant.values()):
        raise UsageError(f'{where}: "relevant" names no document that answers; give one a grade of 1 or more.')
    return EvaluationQuery(line, query, relevant, passages)


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
