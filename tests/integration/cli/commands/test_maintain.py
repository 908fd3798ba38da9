"""rag-assets maintain: figures as text and as JSON."""

from sqlalchemy import Engine

from tests.support.installation.command_line import Cli
from tests.support.json_shapes import assert_shape
from tests.support.pipeline.check_runs import change_database

FIGURES = {
    **dict.fromkeys(
        (
            "sessions_removed",
            "memories_forgotten",
            "memories_removed",
            "spaces_dropped",
            "orphans_removed",
            "prewarmed_blocks",
        ),
        int,
    ),
    "indexes": [{"space": int, "status": str, "found": str, "recall": float, "dead_share": (float, type(None))}],
    "vacuumed": [str],
    "failed_checks": [{"check": str, "reason": str}],
    "seconds": float,
}


def test_figures_are_printed_as_text_and_as_json(built: Engine, cli: Cli) -> None:
    change_database(
        built,
        "INSERT INTO rag.embeddings SELECT 1, sha256(content_hash), embedding FROM rag.embeddings "
        "ORDER BY content_hash LIMIT 3",
    )
    result = cli("maintain", "--json")
    assert (result.code, result.err) == (0, "")
    assert_shape(result.json, FIGURES)
    assert result.json["orphans_removed"] == 3
    result = cli("maintain")
    assert result.code == 0
    assert "orphans removed: 0" in result.out
    assert "index of space 1: valid, recall@10 " in result.out
    assert "vacuumed: " in result.out


def test_a_check_that_fails_over_all_rows_is_named_and_ends_the_command_with_code_1(built: Engine, cli: Cli) -> None:
    change_database(built, "UPDATE rag.embeddings SET embedding = array_fill(0, ARRAY[384])::vector")
    result = cli("maintain", "--json")
    assert result.code == 1
    assert_shape(result.json, FIGURES)
    assert "rag-assets: check vectors_are_sound of chunks failed: " in result.err
    assert "run `rag-assets repair`" in result.err
