"""Files of evaluation queries: their content, and the errors for invalid ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import UsageError
from rag_assets.search.evaluation.beir import match_document_ids
from rag_assets.search.evaluation.queries import EvaluationQuery, EvaluationQuerySet, Passage, read_queries
from tests.support.paths import ROOT

GOOD = '{"query": "Why?", "relevant": {"a.md": 1}}'
TOPICS_QUESTIONS = ROOT / "tests" / "benchmarks" / "topics_questions.jsonl"


def write_lines(path: Path, *lines: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return path


def write_beir_folder(folder: Path, qrels: str = "qrels/test.tsv") -> Path:
    queries = [
        {"_id": "q1", "text": "Do whales sing?"},
        {"_id": 2, "text": "Unasked", "metadata": {}},
        {"_id": "q 3", "text": "Nothing"},
    ]
    write_lines(folder / "queries.jsonl", *map(json.dumps, queries))
    write_lines(folder / qrels, "query-id\tcorpus-id\tscore", "q1\td/1\t2", "q1\tD2\t-1", "2\t7\t1.0", "q 3\t7\t0")
    return folder


def test_a_line_is_a_query_with_its_grades_and_passages(tmp_path: Path) -> None:
    passage = {"file_path": "a.md", "char_start": 3, "char_end": 9, "grade": 2}
    full = {"query": " Was  heißt\u2028das? ", "relevant": {"a.md": 2, "b/ü.txt": 0}, "passages": [passage], "note": 1}
    derived = {"query": "Where?", "passages": [passage | {"grade": 1}, passage, passage | {"file_path": "c"}]}
    lines = [json.dumps(full, ensure_ascii=False), "", json.dumps(derived), GOOD + "\r"]
    found = read_queries(write_lines(tmp_path / "q.jsonl", "\ufeff" + lines[0], *lines[1:]))
    place = Passage("a.md", 3, 9, 2)
    assert found == EvaluationQuerySet(
        [
            EvaluationQuery("1", " Was  heißt\u2028das? ", {"a.md": 2, "b/ü.txt": 0}, (place,)),
            EvaluationQuery(
                "3", "Where?", {"a.md": 2, "c": 2}, (Passage("a.md", 3, 9, 1), place, Passage("c", 3, 9, 2))
            ),
            EvaluationQuery("4", "Why?", {"a.md": 1}),
        ]
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('["Why?"]', "is not an object"),
        ('{"relevant": {"a": 1}}', '"query" is missing; it must be text'),
        ('{"query": 5, "relevant": {"a": 1}}', '"query" is 5; it must be text'),
        ('{"query": " \\u0000", "relevant": {"a": 1}}', '"query" is empty'),
        (json.dumps({"query": "x" * 20_001, "relevant": {"a": 1}}), '"query" has 20001 characters'),
        ('{"query": "x"}', '"relevant" names no relevant document'),
        ('{"query": "x", "relevant": {}}', '"relevant" names no relevant document'),
        ('{"query": "x", "relevant": {"a": 0}}', '"relevant" names no relevant document'),
        ('{"query": "x", "relevant": ["a"]}', r'relevant is \["a"\]; it must be an object'),
        ('{"query": "x", "relevant": {"a": -1}}', "the grade of 'a' is -1"),
        ('{"query": "x", "relevant": {"a": 1.5}}', r"the grade of 'a' is 1\.5"),
        ('{"query": "x", "relevant": {"a": true}}', "the grade of 'a' is true"),
        ('{"query": "x", "relevant": {"a": NaN}}', "the grade of 'a' is NaN"),
        ('{"query": "x", "relevant": {"a": 99999999999}}', r"choose 0 \(not relevant\) to 1000"),
        ('{"query": "x", "relevant": {"\\ud800": 1}}', r"names '.ud800', which cannot be a path"),
        ('{"query": "x", "passages": [{"file_path": "\\ud800", "char_start": 1, "char_end": 2}]}', "it must be text"),
        ('{"query": "x", "passages": {}}', "passages is {}; it must be a list"),
        ('{"query": "x", "passages": [5]}', "a passage is 5"),
        ('{"query": "x", "passages": [{"char_start": 1, "char_end": 2}]}', '"file_path" is missing'),
        ('{"query": "x", "passages": [{"file_path": "a", "char_start": 1}]}', 'the "char_end" of a passage is missing'),
        ('{"query": "x", "passages": [{"file_path": "a", "char_start": 2, "char_end": 2}]}', "from 2 to 2 is empty"),
    ],
)
def test_the_error_for_an_invalid_line_has_its_number(tmp_path: Path, line: str, message: str) -> None:
    file = write_lines(tmp_path / "q.jsonl", GOOD, line)
    with pytest.raises(UsageError, match=rf"q\.jsonl, line 2.*{message}"):
        read_queries(file)


def test_a_query_is_cleaned_like_stored_texts(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "q.jsonl", '{"query": "Why\\ud800 n\\u0000ot?", "relevant": {"a": 1}}')
    assert [one.text for one in read_queries(file).queries] == ["Why not?"]


def test_files_without_queries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no query"):
        read_queries(write_lines(tmp_path / "empty.jsonl", "", "  "))
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_queries(write_lines(tmp_path / "latin.jsonl", '{"query": "Größe"}'.encode("latin-1")))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_queries(tmp_path / "nowhere.jsonl")
    with pytest.raises(UsageError, match=r"without queries\.jsonl and qrels\.tsv"):
        read_queries(tmp_path)


@pytest.mark.parametrize("qrels", ["qrels.tsv", "qrels/test.tsv"])
def test_a_beir_folder_is_read(tmp_path: Path, qrels: str) -> None:
    assert read_queries(write_beir_folder(tmp_path, qrels)) == EvaluationQuerySet(
        [EvaluationQuery("q1", "Do whales sing?", {"d/1": 2, "D2": 0}), EvaluationQuery("2", "Unasked", {"7": 1})],
        by_document_id=True,
        not_judged=1,
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q1\td1", "is not a query id, a document id and an integer"),
        ("q1 d1 1", "is not a query id"),
        ("q1\td1\tmuch", "is not a query id"),
        ("q1\td1\t0.5", "is not a query id"),
        ("q9\td1\t1", "query 'q9' is not in queries.jsonl"),
    ],
)
def test_the_error_for_an_invalid_qrels_row_has_its_line(tmp_path: Path, row: str, message: str) -> None:
    qrels = write_beir_folder(tmp_path) / "qrels" / "test.tsv"
    write_lines(qrels, "query-id\tcorpus-id\tscore", row)
    with pytest.raises(UsageError, match=rf"test\.tsv, line 2.*{message}"):
        read_queries(tmp_path)


def test_qrels_without_a_relevant_document_are_refused(tmp_path: Path) -> None:
    write_lines(write_beir_folder(tmp_path) / "qrels.tsv", "q1\td1\t0")
    with pytest.raises(UsageError, match="judge no document relevant"):
        read_queries(tmp_path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("12", "12"),
        ("12.txt", "12"),
        ("corpus/12.md", "12"),
        ("corpus/12", "12"),
        ("a.b.txt", "a.b"),
        ("a.b", "a.b"),
        ("10.1000%2F182.txt", "10.1000/182"),
        ("10.1000/182.txt", "10.1000/182"),
        ("123.txt", None),
        (".txt", None),
        ("readme.md", None),
    ],
)
def test_a_path_matches_a_document_id(path: str, expected: str | None) -> None:
    found: dict[str, Any] = match_document_ids([path], ["12", "a.b", "10.1000/182", "\ud800"])
    assert found.get(path) == expected


def test_answers_to_the_python_topics_queries_are_in_relevant_topics() -> None:
    from pydoc_data.topics import topics

    texts = {f"{name}.rst": " ".join(text.split()) for name, text in topics.items()}
    queries = read_queries(TOPICS_QUESTIONS).queries
    answers = [json.loads(line)["answers"] for line in TOPICS_QUESTIONS.read_text("utf-8").splitlines()]
    assert len({query.text for query in queries}) == len(queries) >= 40
    reworded: list[str] = []
    for query, sentences in zip(queries, answers, strict=True):
        holding = {path for path, text in texts.items() if any(sentence in text for sentence in sentences)}
        best = {path for path, grade in query.relevant.items() if grade == 2}
        assert holding, query.text
        assert holding <= best, query.text
        assert query.relevant.keys() <= texts.keys(), query.text
        reworded += [one for one in sentences if not any(one in text for text in texts.values())]
    # The wording of the topics differs a little between releases of Python.
    assert len(reworded) <= 2, reworded


def test_the_python_topics_queries_share_no_six_words_with_a_topic() -> None:
    from pydoc_data.topics import topics

    texts = [" ".join(text.lower().split()) for text in topics.values()]
    for query in read_queries(TOPICS_QUESTIONS).queries:
        words = query.text.lower().split()
        runs = [" ".join(words[at : at + 6]) for at in range(len(words) - 5)]
        assert not [run for run in runs if any(run in text for text in texts)], query.text
