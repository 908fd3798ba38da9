"""The corpus of the fixture `built`: two projects with headings, Unicode, copies and empty files."""

from pathlib import Path
from random import Random

import dagster as dg
from sqlalchemy import Engine

from rag_assets.orchestration.partitions import projects
from rag_assets.projects.store import save_project
from tests.support.pipeline.runs import fake_defs

PROJECTS = ("sea", "zoo")
WORDS = [
    *("zebra", "whale", "stripes", "ocean", "grass", "river", "keeper", "lion", "forest", "island", "storm"),
    *("harbour", "feather", "garden", "winter", "coral", "reef", "shadow", "market", "engine", "ladder", "copper"),
    *("violin", "morning", "thunder", "señal", "übung", "naïve", "海豚", "слон", "🦓"),
]


def write_folders(root: Path) -> dict[str, Path]:
    """Write about 200 distinct chunks: each paragraph has its own heading, so each becomes a chunk."""
    folders = {name: root / name for name in PROJECTS}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        random = Random(name)
        for number in range(12):
            parts = [f"# {name} {number}.{part}\n\n{_sentences(random)}\n" for part in range(9)]
            (folder / f"page{number:02}.md").write_text("\n".join(parts), "utf-8")
        (folder / "blank.txt").write_text(" \n\n \n")
    # The same text in both projects and twice in one: one vector serves three chunks.
    for copy in (folders["sea"] / "copy.txt", folders["zoo"] / "copy.txt", folders["zoo"] / "copy2.txt"):
        copy.write_text("The keeper feeds the whale every morning before the storm.\n")
    return folders


def build(engine: Engine, root: Path, instance: dg.DagsterInstance) -> None:
    """Ingest both projects and run all checks, which also builds the probe of the latency check."""
    with engine.begin() as connection:
        for name, folder in write_folders(root).items():
            save_project(connection, name, str(folder), {})
    instance.add_dynamic_partitions(str(projects.name), list(PROJECTS))
    result = fake_defs.resolve_job_def("ingest").execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": PROJECTS[0],
            "dagster/asset_partition_range_end": PROJECTS[-1],
        },
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    failed = [found.check_name for found in result.get_asset_check_evaluations() if not found.passed]
    assert not failed, failed


def _sentences(random: Random) -> str:
    return " ".join(" ".join(random.choices(WORDS, k=12)).capitalize() + "." for _ in range(random.randint(2, 6)))
