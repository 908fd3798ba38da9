"""The facts read from the files of a model agree with sentence-transformers."""

import shutil
from pathlib import Path

import pytest

from rag_assets.embedding.model import find_model, folder_revision
from rag_assets.errors import ServiceError
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.settings.settings import Settings
from tests.system.embedding.conftest import DIMENSIONS, PROMPTS, WINDOW


def test_facts_of_a_folder_are_those_of_the_loaded_model(tiny_model: Path) -> None:
    model = find_model(str(tiny_model))
    assert (model.dimensions, model.window, model.normalizes) == (DIMENSIONS, WINDOW, False)
    assert model.prompts == PROMPTS


def test_the_prompt_counts_towards_the_window(tiny_model: Path) -> None:
    from sentence_transformers import SentenceTransformer

    target = target_space(Settings(model=str(tiny_model)))
    room = target.definition.max_tokens
    loaded = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True)
    # "word" is one token: a text that fills the window with prompt and special tokens is not truncated.
    seen = loaded.tokenize([PROMPTS["document"] + "word " * room])["input_ids"][0]
    assert len(seen) == WINDOW
    assert (seen == loaded.tokenizer.convert_tokens_to_ids("word")).sum() == room
    more = loaded.tokenize([PROMPTS["document"] + "word " * (room + 1)])["input_ids"][0]
    assert (more == loaded.tokenizer.convert_tokens_to_ids("word")).sum() == room, "one more would be cut off"


def test_revision_of_a_folder_follows_its_files(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    assert folder_revision(copy) == folder_revision(tiny_model)
    (copy / "README.md").write_text("another")
    assert folder_revision(copy) != folder_revision(tiny_model)
    # A space made with other files must not get vectors of this model.
    assert find_model(str(copy), folder_revision(copy)).revision == folder_revision(copy)
    with pytest.raises(ServiceError, match="restore the files"):
        find_model(str(copy), folder_revision(tiny_model))
