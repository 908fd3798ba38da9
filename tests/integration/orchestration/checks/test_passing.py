"""Every check passes on good data, with correct figures."""

from sqlalchemy import Engine

from rag_assets.pipeline.audit.result import NOTHING_TO_CHECK
from tests.support.installation.installations import PROBE_VECTORS
from tests.support.pipeline.check_runs import check_metadata, failed_names, run_checks
from tests.support.pipeline.runs import fake_defs, rows

CHECKS = {
    "every_project_read",
    "every_project_chunked",
    "every_project_embedded",
    "every_project_fresh",
    "documents_readable",
    "documents_have_chunks",
    "offsets_reproduce_text",
    "chunks_fit_window",
    "model_knows_alphabet",
    "texts_have_vectors",
    "vectors_are_sound",
    "no_orphan_vectors",
    "index_valid",
    "index_used",
    "search_latency",
    "recall_at_10",
    "serves_wanted_space",
    "settings_agree",
    "search_quality",
}


def test_an_installation_passes_every_check_with_correct_figures(built: Engine) -> None:
    found = run_checks()
    assert {name for name in found if NOTHING_TO_CHECK not in check_metadata(found, name)} == CHECKS
    assert failed_names(found) == set()
    [(documents, chunks, texts, vectors)] = rows(
        built,
        "SELECT (SELECT count(*) FROM rag.documents), (SELECT count(*) FROM rag.document_chunks), "
        "(SELECT count(DISTINCT content_hash) FROM rag.document_chunks), (SELECT count(*) FROM rag.embeddings)",
    )
    assert chunks > texts == vectors > 100
    assert check_metadata(found, "documents_readable")["documents"] == documents
    assert check_metadata(found, "documents_have_chunks")["documents"] == documents
    assert check_metadata(found, "offsets_reproduce_text")["chunks"] == chunks
    assert check_metadata(found, "texts_have_vectors")["texts"] == texts
    assert check_metadata(found, "no_orphan_vectors")["vectors"] == vectors
    assert check_metadata(found, "vectors_are_sound")["vectors"] == vectors
    assert check_metadata(found, "serves_wanted_space")["chunks_shown"] == chunks
    assert check_metadata(found, "index_valid")["state"] == "valid"
    assert check_metadata(found, "index_used")["index_usable"] is True
    assert check_metadata(found, "recall_at_10")["recall_mean"] >= 0.95
    latency = check_metadata(found, "search_latency")
    assert latency["vectors"] == PROBE_VECTORS == vectors + latency["topped_up"]
    assert latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]
    assert latency["searches"] == 60


def test_every_check_description_says_what_to_do_on_failure() -> None:
    specs = {spec.name: spec for checks in fake_defs.asset_checks or [] for spec in checks.check_specs}
    # Messages and memories have some of the same checks, with a prefix.
    assert {name.removeprefix("message_").removeprefix("memory_") for name in specs} == CHECKS
    for spec in specs.values():
        assert "When it " in (spec.description or ""), spec.name
    # The checks that guard the promotion block the run; the others only report.
    not_blocking = {
        "documents_readable",
        "model_knows_alphabet",
        "serves_wanted_space",
        "settings_agree",
        "search_quality",
    }
    not_blocking |= {"every_project_read", "every_project_chunked", "every_project_embedded", "every_project_fresh"}
    assert {name for name, spec in specs.items() if not spec.blocking} == not_blocking
