"""rag-assets maintain: figures for people and for scripts."""

from sqlalchemy import Engine

from tests.support.check_runs import change_database
from tests.support.command_line import Cli
from tests.support.json_shapes import assert_shape

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
    "seconds": float,
}


def test_figures_are_told_to_people_and_scripts(built: Engine, cli: Cli) -> None:
    change_database(
        built,
        "INSERT INTO rag.embeddings SELECT 1, sha256(content_hash), embedding FROM rag.embeddings "
        "ORDER BY content_hash LIMIT 3",
    )
    said = cli("maintain", "--json")
    assert (said.code, said.err) == (0, "")
    assert_shape(said.json, FIGURES)
    assert said.json["orphans_removed"] == 3
    said = cli("maintain")
    assert said.code == 0
    assert "orphans removed: 0" in said.out
    assert "index of space 1: valid, recall@10 " in said.out
    assert "vacuumed: " in said.out
