"""Backends other than torch: proved in each process, and another space where their vectors differ."""

import json
from pathlib import Path

import numpy as np
import pytest

from rag_assets.embedding import backends
from rag_assets.embedding.encoder import SentenceTransformerEncoder, has_other_vectors
from rag_assets.embedding.model import find_model
from rag_assets.errors import UsageError
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.settings.settings import Settings

TEXTS = ["A short text.", "word " * 40, "🦓 señal"]


@pytest.mark.parametrize("backend", ["openvino", "onnx"])
def test_a_backend_gives_the_vectors_of_torch(
    backend: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx")}[backend]:
        pytest.importorskip(package)
    model = find_model(str(tiny_model))
    expected = SentenceTransformerEncoder(model, device="cpu").encode(TEXTS)
    for _ in range(2):
        encoder = SentenceTransformerEncoder(model, backend=backend, state_dir=tmp_path)
        np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
        # The second encoder finds the export.
        monkeypatch.setattr(backends, "_export", lambda *_: pytest.fail("exported again"))
    assert list((tmp_path / "models" / backend).glob("*/proof.json"))
    own = Settings(model=str(tiny_model), backend=backend, state_dir=tmp_path)
    assert not has_other_vectors(model, own)
    wanted, of_torch = target_space(own).definition, target_space(replace_backend(own, "torch")).definition
    assert wanted.fingerprint == of_torch.fingerprint


def replace_backend(settings: Settings, backend: str) -> Settings:
    return settings.model_copy(update={"backend": backend})


def test_other_vectors_ask_for_another_space_and_are_never_mixed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend that halves each vector's first half, as an export that went wrong."""
    model = find_model(str(tiny_model))

    def open_wrong(file: Path) -> backends.Run:
        def run(values: object) -> object:
            found = plain(file)(values)  # type: ignore[arg-type]
            found[..., : found.shape[-1] // 2] /= 2
            return found

        return run

    pytest.importorskip("openvino")
    plain = backends._open_openvino
    monkeypatch.setattr(backends, "_open_openvino", open_wrong)
    own = Settings(model=str(tiny_model), backend="openvino", state_dir=tmp_path)
    assert has_other_vectors(model, own)
    wanted, of_torch = target_space(own).definition, target_space(replace_backend(own, "torch")).definition
    assert wanted.fingerprint != of_torch.fingerprint
    assert wanted.chunking == of_torch.chunking, "no text is split again"
    assert wanted.chunking_settings["backend"] == "openvino"
    expected = SentenceTransformerEncoder(model, device="cpu").encode(TEXTS)
    shared = SentenceTransformerEncoder(model, backend="openvino", state_dir=tmp_path)
    np.testing.assert_allclose(shared.encode(TEXTS), expected, atol=1e-5)
    assert "runs on torch" in caplog.text
    of_own_space = SentenceTransformerEncoder(model, backend="openvino", state_dir=tmp_path, has_own_vectors=True)
    assert not np.allclose(of_own_space.encode(TEXTS), expected, atol=1e-3)
    proof = next((tmp_path / "models" / "openvino").glob("*/proof.json"))
    assert json.loads(proof.read_text())["cosine"] < backends.LEAST_COSINE


def test_a_backend_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"=openvino needs openvino.*pip install 'rag_assets\[openvino\]'"):
        backends.check_backend("openvino")
    backends.check_backend("torch")
