"""The table of checks: the figures of each check, and the reason of one that fails."""

from typing import Any

import pytest
from sqlalchemy import Engine

from rag_assets.cli.output.checks import KEY_FIGURES, key_figures, print_checks
from rag_assets.cli.runtime.run_job import CheckOutcome
from rag_assets.repositories import NewMessage, SyncConversations, SyncMemories
from tests.support.installation.command_line import Cli
from tests.support.pipeline.runs import fake_defs


def base_name(check: str) -> str:
    return check.removeprefix("message_").removeprefix("memory_")


def outcome(name: str, *, passed: bool = True, description: str | None = None, **metadata: Any) -> CheckOutcome:
    severity = "WARN" if name == "documents_readable" else "ERROR"
    return CheckOutcome("raw_documents", name, passed, severity, metadata, description)


def test_every_check_has_its_key_figures() -> None:
    specs = [spec for check in fake_defs.asset_checks or [] for spec in check.check_specs]
    assert {base_name(spec.name) for spec in specs} == KEY_FIGURES.keys()


def test_the_key_figures_of_every_check_are_in_its_metadata(built: Engine, cli: Cli) -> None:
    conversations = SyncConversations(built)
    conversations.append(conversations.create("talk").id, NewMessage("user", "Who feeds the whale?"))
    SyncMemories(built).remember("likes tea")
    for kind in ("messages", "memories"):
        assert cli("embed", kind, "--json").code == 0
    checks = cli("check", "--json").json["checks"]
    assert len(checks) > 25
    for check in checks:
        # A figure that is missing is a KeyError.
        assert KEY_FIGURES[base_name(check["name"])](check["metadata"])


def test_a_check_without_its_key_figures_shows_the_first_two() -> None:
    empty = outcome("search_latency", space=1, vectors=0, more=2)
    assert key_figures(empty) == "space 1, vectors 0"


@pytest.mark.parametrize(
    ("metadata", "figures"),
    [
        ({"questions": 0, "note": "no project has a question file"}, "no project has a question file"),
        ({"questions": 7, "zoo ndcg@10": 0.81234, "zoo threshold ndcg@10": 0.5}, "7 evaluation queries, nDCG@10 0.812"),
        (
            {"questions": 7, "sea ndcg@10": 0.9, "zoo ndcg@10": 0.8},
            "7 evaluation queries, nDCG@10 0.800 at worst",
        ),
    ],
)
def test_search_quality_shows_the_lowest_mean(metadata: dict[str, Any], figures: str) -> None:
    assert key_figures(outcome("search_quality", **metadata)) == figures


def test_the_table_shows_reasons_with_an_example_and_counts_results(capsys: pytest.CaptureFixture[str]) -> None:
    print_checks(
        [
            outcome("offsets_reproduce_text", chunks=1, wrong=0),
            outcome("documents_readable", passed=False, description="1 of 2 failed", examples=["zoo/a.pdf: locked"]),
            outcome("every_project_read", passed=False, description="1 failed: zoo", examples=["zoo"]),
        ]
    )
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[2:6] == [
        "offsets_reproduce_text passed 1 chunk, 0 wrong",
        "documents_readable warning 1 of 2 failed: zoo/a.pdf: locked",
        "every_project_read FAILED 1 failed: zoo",
        "3 checks: 1 passed, 1 FAILED, 1 warning",
    ]


def test_no_table_is_printed_without_checks(capsys: pytest.CaptureFixture[str]) -> None:
    print_checks([])
    assert capsys.readouterr().out == ""
