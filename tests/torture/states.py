"""The databases that rounds start from, each made by running commands, and the documents in them."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.places import PROJECT
from tests.torture.server import Server
from tests.torture.worker import ROOT, Command, Forker

DOCUMENTS = 40
SECTIONS = 10
BATCH_TOKENS = 1_024
# A graph that takes some hundred milliseconds to build.
EF_CONSTRUCTION = 800
OLD_REVISION = "0019"
ANIMALS = ("zebra", "whale", "heron", "otter", "lynx", "beaver", "stork")
PARSED = ("harbour.docx", "harbour.pdf")


@dataclass
class Installation:
    """Where the documents are, and a DAGSTER_HOME for each state."""

    documents: Path
    work: Path
    homes: dict[str, Path] = field(default_factory=dict)

    def environment(self, folder: Path, url: str) -> dict[str, str]:
        return {
            "RAG_ASSETS_STATE_DIR": str(folder / "state"),
            "RAG_ASSETS_DATABASE_URL": url,
            "RAG_ASSETS_BATCH_TOKENS": str(BATCH_TOKENS),
            "RAG_ASSETS_HNSW_EF_CONSTRUCTION": str(EF_CONSTRUCTION),
            "RAG_ASSETS_INDEX_BUILD_WORKERS": "0",
            "RAG_ASSETS_CHUNK_TOKENS": "48",
        }


def write_documents(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(DOCUMENTS):
        animal = ANIMALS[number % len(ANIMALS)]
        parts = [
            f"# Part {part} of {number}\n\nThe {animal} of document {number} walked {part * 7} miles by the river, "
            f"and rested {number + part} hours under tree {part}.\n"
            for part in range(SECTIONS)
        ]
        (folder / f"{number:02}.md").write_text("\n".join(parts))
    shutil.copytree(folder, parsed := folder.with_name(f"{folder.name}_to_parse"))
    for name in PARSED:
        shutil.copy(ROOT / "tests" / "support" / "files" / name, parsed)
    return folder


def build_states(server: Server, forker: Forker, work: Path) -> Installation:
    """Make the states: empty, ingested, two spaces, worn (rows to remove, dead rows), old (an earlier revision)."""
    made = Installation(write_documents(work / "docs"), work)
    folder = work / "building"
    folder.mkdir()

    def run(*command: str, env: dict[str, str] | None = None) -> None:
        settings = made.environment(folder, server.url("building")) | (env or {})
        ended = forker.start(Command(command, settings, str(folder))).wait()
        assert ended.code == 0, (command, ended)

    def keep(name: str) -> None:
        server.copy("building", name)
        made.homes[name] = work / f"home_{name.replace(' ', '_')}"
        shutil.copytree(folder / "state" / "dagster_home", made.homes[name])

    server.execute("postgres", "CREATE DATABASE building")
    run("projects", "add", PROJECT, str(made.documents))
    keep("empty")
    run("ingest", "--project", PROJECT)
    keep("ingested")
    run("db", "downgrade", OLD_REVISION)
    keep("old")
    server.copy("ingested", "building")
    server.execute("building", "DELETE FROM rag.documents WHERE file_path < '28'")
    keep("worn")
    server.copy("ingested", "building")
    run("ingest", "--project", PROJECT, env={"RAG_ASSETS_CHUNK_TOKENS": "64"})
    keep("two spaces")
    server.drop("building")
    shutil.rmtree(folder)
    return made
