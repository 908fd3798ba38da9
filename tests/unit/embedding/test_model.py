"""Properties of a model as read from its files."""

import shutil
from pathlib import Path

import pytest

from rag_assets.embedding.encoder import SentenceTransformerEncoder
from rag_assets.embedding.model import BUNDLED_MODELS, find_model, refuse_pickles
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.ranking.rerank import CrossEncoderReranker

NAME = "sentence-transformers/all-MiniLM-L6-v2"


def test_bundled_model_is_the_published_revision() -> None:
    from hashlib import sha256

    model = find_model(NAME)
    assert (model.name, model.revision) == (NAME, BUNDLED_MODELS[NAME][1])
    assert (model.dimensions, model.window, model.normalizes, model.prompts) == (384, 256, True, {})
    assert model.path is not None
    weights = sha256((model.path / "model.safetensors").read_bytes()).hexdigest()
    assert weights == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert find_model(NAME, BUNDLED_MODELS[NAME][1]) == model


def test_another_revision_is_not_the_bundled_model() -> None:
    with pytest.raises(ServiceError, match="cannot load the model"):
        find_model(NAME, "0" * 40)


@pytest.mark.parametrize("name", ["nobody/has-this", "not a name at all!", "../nowhere", ""])
def test_the_error_for_a_missing_model_names_the_setting(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServiceError, match="set RAG_ASSETS_MODEL"):
        find_model(name)


def test_pickled_weights_are_refused_unless_the_settings_allow_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "pytorch_model.bin").touch()
    refuse_pickles(tmp_path)
    (tmp_path / "2_Dense" / "pytorch_model.bin").touch()
    with pytest.raises(UsageError, match=r"2_Dense/pytorch_model\.bin are a pickle.*RAG_ASSETS_ALLOW_PICKLE=true"):
        refuse_pickles(tmp_path)
    (tmp_path / "2_Dense" / "model.safetensors").touch()
    (tmp_path / "optimizer.pt").touch()
    refuse_pickles(tmp_path)
    (tmp_path / "adapter_model.bin").touch()
    with pytest.raises(UsageError, match=r"adapter_model\.bin are a pickle"):
        refuse_pickles(tmp_path)
    monkeypatch.setenv("RAG_ASSETS_ALLOW_PICKLE", "true")
    refuse_pickles(tmp_path)


def test_loading_a_model_looks_at_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    path = find_model(NAME).path
    assert path is not None
    shutil.copytree(path, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="are a pickle"):
        SentenceTransformerEncoder(find_model(str(folder))).load()
    with pytest.raises(UsageError, match="are a pickle"):
        CrossEncoderReranker(str(folder)).score("q", ["a"])
