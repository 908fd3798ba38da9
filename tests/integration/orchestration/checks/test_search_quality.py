"""The check of search quality: metrics per project, thresholds, and the worst queries."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Engine

from tests.support.fakes import ENCODERS
from tests.support.pipeline.check_runs import change_database, check_metadata, failed_names, run_checks
from tests.support.pipeline.runs import rows

SHARED = "The keeper feeds the whale every morning before the storm."
FOUND = {"query": SHARED, "relevant": {"copy.txt": 2, "copy2.txt": 1}}
LOST = {"query": "violin | winter", "relevant": {"gone.md": 1}}


def set_queries(engine: Engine, folder: Path, project: str, questions: list[Any] | None, **thresholds: float) -> Path:
    """Set the evaluation queries of the project; None names a file that does not exist."""
    file = folder / f"{project}.jsonl"
    if questions is not None:
        file.write_text("\n".join(map(json.dumps, questions)))
    added = {"questions": str(file), "question_thresholds": {k.replace("_at_", "@"): v for k, v in thresholds.items()}}
    change_database(
        engine,
        "UPDATE rag.projects SET settings = settings || CAST(:added AS jsonb) WHERE name = :name",
        added=json.dumps(added),
        name=project,
    )
    return file


def test_the_check_runs_no_query_without_evaluation_queries(built: Engine) -> None:
    found = run_checks()
    assert failed_names(found) == set()
    assert check_metadata(found, "search_quality") == {"questions": 0, "note": "no project has a question file"}
    assert rows(built, "SELECT count(*) FROM rag.query_vectors") == [(0,)]


def test_each_project_has_its_metrics_as_numbers(built: Engine, tmp_path: Path) -> None:
    set_queries(built, tmp_path, "zoo", [FOUND, LOST], ndcg_at_10=0.5)
    found = run_checks()
    assert failed_names(found) == set()
    figures = check_metadata(found, "search_quality")
    assert figures["questions"] == 2
    for metric in ("ndcg@10", "recall@10", "recall@100", "mrr@10", "hit_rate@10"):
        assert figures[f"zoo {metric}"] == 0.5
        # Only numbers are plotted over the runs.
        assert isinstance(found["search_quality"].metadata[f"zoo {metric}"], dg.FloatMetadataValue)
    assert figures["zoo threshold ndcg@10"] == 0.5
    assert figures["zoo judged_documents_missing"] == 1
    table = found["search_quality"].metadata["worst_queries"]
    assert isinstance(table, dg.MarkdownMetadataValue)
    assert str(table.value).count("\n") == 2
    # Characters that would break the table are escaped.
    assert r"| zoo | violin \| winter | 0.000 | gone.md |" in str(table.value)


def test_a_metric_below_its_threshold_fails_with_both_values(built: Engine, tmp_path: Path) -> None:
    set_queries(built, tmp_path, "zoo", [FOUND, LOST], ndcg_at_10=0.6, recall_at_100=0.4)
    found = run_checks()
    assert failed_names(found) == {"search_quality"}
    assert found["search_quality"].description == "zoo: ndcg@10 is 0.500, not 0.6 or more"
    assert found["search_quality"].severity == dg.AssetCheckSeverity.ERROR


def test_unreadable_queries_fail_and_do_not_hide_other_projects(built: Engine, tmp_path: Path) -> None:
    set_queries(built, tmp_path, "sea", None)
    set_queries(built, tmp_path, "zoo", [FOUND])
    found = run_checks()
    assert failed_names(found) == {"search_quality"}
    assert "sea:" in (found["search_quality"].description or "")
    assert "cannot be read" in (found["search_quality"].description or "")
    assert check_metadata(found, "search_quality")["zoo ndcg@10"] == 1
    assert "worst_queries" not in found["search_quality"].metadata


def test_known_queries_are_not_embedded_again(built: Engine, tmp_path: Path) -> None:
    set_queries(built, tmp_path, "zoo", [FOUND, LOST])
    run_checks()
    assert rows(built, "SELECT count(*) FROM rag.query_vectors") == [(2,)]

    def refuse(text: str) -> None:
        raise AssertionError(f"embedded again: {text}")

    for encoder in ENCODERS.values():
        encoder.fault = refuse
    try:
        assert failed_names(run_checks()) == set()
    finally:
        for encoder in ENCODERS.values():
            encoder.fault = None


def test_worse_answers_fail_a_check_that_passed(built: Engine, tmp_path: Path) -> None:
    set_queries(built, tmp_path, "zoo", [FOUND], mrr_at_10=1.0)
    assert failed_names(run_checks()) == set()
    # Swap the vectors of two texts: it shows in the hits and in the checksums.
    change_database(
        built,
        "WITH one AS (SELECT content_hash, embedding FROM rag.embeddings JOIN rag.document_chunks USING (content_hash) "
        "WHERE chunk_text LIKE 'The keeper feeds%' LIMIT 1), "
        "other AS (SELECT content_hash, embedding FROM rag.embeddings ORDER BY content_hash LIMIT 1) "
        "UPDATE rag.embeddings e SET embedding = CASE WHEN e.content_hash = one.content_hash "
        "THEN other.embedding ELSE one.embedding END "
        "FROM one, other WHERE e.content_hash IN (one.content_hash, other.content_hash)",
    )
    found = run_checks()
    assert failed_names(found) == {"search_quality", "vectors_are_sound"}
    assert check_metadata(found, "vectors_are_sound")["changed"] == 2
    assert check_metadata(found, "search_quality")["zoo mrr@10"] < 1


def test_a_run_over_one_project_runs_only_its_queries(built: Engine, tmp_path: Path) -> None:
    from tests.support.pipeline.runs import run

    set_queries(built, tmp_path, "zoo", [FOUND])
    set_queries(built, tmp_path, "sea", [LOST], ndcg_at_10=1.0)
    dg.DagsterInstance.get().add_dynamic_partitions("projects", ["sea", "zoo"])
    result = run(key="zoo", only=["live_space"])
    [quality] = [one for one in result.get_asset_check_evaluations() if one.check_name == "search_quality"]
    assert quality.passed
    assert quality.metadata["questions"].value == 1
