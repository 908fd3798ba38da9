"""The installation under load: a small model, synthetic chunks, messages, and folders that change."""

import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from rag_assets.db.database import dispose_engines, shared_engine
from rag_assets.embedding.model import find_model
from rag_assets.settings.settings import Settings, load_settings
from tests.benchmarks import synthetic
from tests.benchmarks.clustered import Corpus

COMMAND = (sys.executable, "-c", "from rag_assets.cli.main import run; run()")
DIMENSIONS = 384
CONVERSATIONS = 40
FIRST_MESSAGES = 400
FILES = {"docs-0": 60, "docs-1": 60, "nightly": 200}


def configure(folder: Path) -> Settings:
    """Name an installation in this folder to this process and to all that it starts."""
    for name in [name for name in os.environ if name.startswith("RAG_ASSETS_")]:
        del os.environ[name]
    os.environ["RAG_ASSETS_STATE_DIR"] = str(folder / "state")
    os.environ["RAG_ASSETS_MODEL"] = str(_save_small_model(folder / "model"))
    # All cores are busy, and this benchmark judges the latency itself.
    os.environ["RAG_ASSETS_LATENCY_LIMIT_MS"] = "10000"
    # The synthetic chunks were not split for this model.
    os.environ["RAG_ASSETS_CHUNK_TOKENS"] = "254"
    # The vectors of a model with random weights are much alike, which no graph likes.
    os.environ["RAG_ASSETS_RECALL_LIMIT"] = "0.3"
    # Each process would start as many threads as there are cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    return load_settings()


def prepare(folder: Path, chunks: int) -> dict[str, "Folder"]:
    """Fill the database, embed the first messages and ingest the folders."""
    engine = shared_engine(load_settings())
    synthetic.fill(engine, chunks)
    _write_messages(engine)
    dispose_engines()
    folders = {name: Folder(folder / name, name, files) for name, files in FILES.items()}
    for one in folders.values():
        one.change(one.files)
        _check(one.ingest())
    _check(run_command("embed", "messages", "--json"))
    return folders


def _check(done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode:
        raise SystemExit(f"{done.args[3:]} failed before the load began: {failure(done)}")


def run_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run((*COMMAND, *arguments), capture_output=True, text=True, check=False)


def failure(done: "subprocess.CompletedProcess[str]") -> str:
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return f"{' '.join(done.args[3:5])}: {lines[-1]}"[:300]


@dataclass
class Folder:
    """A folder of Markdown files, each with a word that no other version of any file has."""

    path: Path
    project: str
    files: int
    words: dict[str, str] = field(default_factory=dict)
    _version: int = 0

    def change(self, count: int) -> None:
        """Write `count` files, new or in another version, and remove one now and then."""
        self.path.mkdir(exist_ok=True)
        chance = random.Random(f"{self.project} {self._version}")
        for number in chance.sample(range(self.files), count):
            self._version += 1
            name = f"page{number:04}.md"
            if self._version > self.files and chance.random() < 0.1:
                (self.path / name).unlink(missing_ok=True)
                self.words.pop(name, None)
                continue
            word = f"{self.project.replace('-', '')}v{self._version}n{number}"
            content = "\n\n".join(chance.sample(_texts(), 3))
            (self.path / name).write_text(f"# Page {number}\n\n{word} {content}\n")
            self.words[name] = word

    def ingest(self) -> "subprocess.CompletedProcess[str]":
        return run_command("ingest", str(self.path), "--project", self.project, "--json")

    def missing(self, engine: Engine) -> list[str]:
        """The files whose last version is not served, or that are served although they are gone."""
        served = text(
            "SELECT source, string_agg(content, ' ') FROM rag.live_chunks WHERE project = :project GROUP BY 1"
        )
        with engine.connect() as connection:
            found: Mapping[str, str] = dict(connection.execute(served, {"project": self.project}).tuples().all())
        lost = [name for name, word in self.words.items() if word not in found.get(name, "").split()]
        return lost + [name for name in found if name not in self.words]


def _write_messages(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO rag.conversations (id, name, latest_version) "
                "SELECT gen_random_uuid(), 'talk ' || n, 0 FROM generate_series(1, :count) n"
            ),
            {"count": CONVERSATIONS},
        )
    from rag_assets import Client
    from rag_assets.repositories import NewMessage

    chance = random.Random(1)
    with Client() as client:
        conversations = conversation_ids(engine)
        for number in range(FIRST_MESSAGES):
            content = NewMessage("user", chance.choice(_texts())[:200])
            client.conversations.append(conversations[number % CONVERSATIONS], content)


def conversation_ids(engine: Engine) -> Sequence[Any]:
    with engine.connect() as connection:
        return connection.scalars(text("SELECT id FROM rag.conversations ORDER BY name")).all()


@cache
def _texts() -> list[str]:
    """Other texts than those of the synthetic chunks, in the same language."""
    return [text for block in Corpus(5_000, seed=2).blocks() for text in block.texts]


def _save_small_model(folder: Path) -> Path:
    """A model of one layer with random weights, and the tokenizer and size of the default model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = BertConfig(
            hidden_size=DIMENSIONS, num_hidden_layers=1, num_attention_heads=6, intermediate_size=DIMENSIONS
        )
        BertModel(config).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(find_model("sentence-transformers/all-MiniLM-L6-v2").path).save_pretrained(
        folder / "bert"
    )
    module = Transformer(str(folder / "bert"), max_seq_length=512)
    SentenceTransformer(modules=[module, Pooling(DIMENSIONS), Normalize()], device="cpu").save(str(folder / "model"))
    return folder / "model"
