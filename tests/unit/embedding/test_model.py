"""The facts of a model, read from its files, are those that sentence-transformers works with."""

import shutil
from pathlib import Path

import pytest

from rag_assets.embedding.model import BUNDLED, find_model, folder_revision
from rag_assets.errors import ServiceError
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.settings.settings import Settings
from tests.unit.embedding.conftest import DIMENSIONS, PROMPTS, WINDOW

NAME = "sentence-transformers/all-MiniLM-L6-v2"


def test_bundled_model_is_the_published_revision() -> None:
    from hashlib import sha256

    model = find_model(NAME)
    assert (model.name, model.revision) == (NAME, BUNDLED[NAME][1])
    assert (model.dimensions, model.window, model.normalizes, model.prompts) == (384, 256, True, {})
    weights = sha256((model.path / "model.safetensors").read_bytes()).hexdigest()
    assert weights == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert find_model(NAME, BUNDLED[NAME][1]) == model


def test_other_revision_of_the_bundled_model_is_not_the_bundled_one() -> None:
    with pytest.raises(ServiceError, match="cannot be had"):
        find_model(NAME, "0" * 40)


@pytest.mark.parametrize("name", ["nobody/has-this", "not a name at all!", "../nowhere", ""])
def test_model_that_is_nowhere_says_what_to_set(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServiceError, match="set RAG_ASSETS_MODEL"):
        find_model(name)


@pytest.mark.slow
def test_facts_of_a_folder_are_those_of_the_loaded_model(tiny: Path) -> None:
    model = find_model(str(tiny))
    assert (model.dimensions, model.window, model.normalizes) == (DIMENSIONS, WINDOW, False)
    assert model.prompts == PROMPTS


@pytest.mark.slow
def test_prompt_is_counted_into_the_window(tiny: Path) -> None:
    from sentence_transformers import SentenceTransformer

    target = target_space(Settings(model=str(tiny)))
    room = target.definition.max_tokens
    loaded = SentenceTransformer(str(tiny), device="cpu", local_files_only=True)
    # "word" is one token: a text that fills the room comes through whole, prompt and special tokens included.
    seen = loaded.tokenize([PROMPTS["document"] + "word " * room])["input_ids"][0]
    assert len(seen) == WINDOW
    assert (seen == loaded.tokenizer.convert_tokens_to_ids("word")).sum() == room
    more = loaded.tokenize([PROMPTS["document"] + "word " * (room + 1)])["input_ids"][0]
    assert (more == loaded.tokenizer.convert_tokens_to_ids("word")).sum() == room, "one more would be cut off"


@pytest.mark.slow
def test_revision_of_a_folder_follows_its_files(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    assert folder_revision(copy) == folder_revision(tiny)
    (copy / "README.md").write_text("another")
    assert folder_revision(copy) != folder_revision(tiny)
    # A space that was made with other files must not get vectors of these.
    assert find_model(str(copy), folder_revision(copy)).revision == folder_revision(copy)
    with pytest.raises(ServiceError, match="put the files back"):
        find_model(str(copy), folder_revision(tiny))
