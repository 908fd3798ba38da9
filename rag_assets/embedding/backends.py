"""Other libraries than torch that run the transformer of a sentence-transformers model on this machine's processors.

The model is exported once, into the state folder, under the hash of its files. Its tokenizer and pooling stay those of
sentence-transformers.
"""

import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rag_assets.embedding.model import Model, folder_revision
from rag_assets.errors import ServiceError, UsageError

TORCH = "torch"
# The name under which a space's chunking settings keep a backend whose vectors are not those of torch.
BACKEND = "backend"
# Vectors of a backend are taken for those of torch where no text of the sample differs more.
LEAST_COSINE = 0.9999
_PACKAGES = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx")}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUT = "last_hidden_state"
_WORDS = (
    *("The statement returns the rows of a table whose key is given.", "Hühner legen Eier.", "x = 3 * (y + 1)"),
    *("1,234.56 EUR on 2024-02-29", "a", "Do not open the valve before the pump has stopped; see section 4.2."),
)
# From a word to more than most windows hold.
_TIMES = (1, 1, 2, 3, 5, 8, 13, 21, 34, 40, 3, 1)
SAMPLE = tuple(" ".join((text,) * times) for text, times in zip(_WORDS * 2, _TIMES, strict=True))

Run = Callable[[Mapping[str, Any]], Any]


def check_backend(backend: str) -> None:
    """Raises UsageError where its packages are not installed."""
    missing = [package for package in _PACKAGES.get(backend, ()) if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"RAG_ASSETS_BACKEND={backend} needs {' and '.join(missing)}, which are not installed; install them: "
            f"pip install 'rag_assets[{backend}]', or unset it."
        )


def export_folder(model: Model, backend: str, state_dir: Path) -> Path:
    """Where the exported model is, and what its sample has shown; another version of a library exports it again."""
    assert model.path is not None
    versions = "-".join(version(package) for package in (*_PACKAGES[backend], "torch"))
    return state_dir / "models" / backend / f"{folder_revision(model.path)[:16]}-{versions}"


def find_proof(model: Model, backend: str, state_dir: Path) -> float | None:
    """The lowest cosine of the sample when it was last embedded by both; None if it never was."""
    try:
        found = json.loads((export_folder(model, backend, state_dir) / "proof.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return float(found["cosine"])


def run_on_backend(loaded: Any, model: Model, backend: str, state_dir: Path, encode: Callable[[], Any]) -> float:
    """Let the backend run a loaded model's transformer; returns the lowest cosine of the sample to torch's vectors.

    `encode` embeds the sample with the loaded model. Raises UsageError for a model without a transformer, and
    ServiceError where it cannot be exported.
    """
    transformer = getattr(loaded[0], "model", None)
    if transformer is None or not hasattr(transformer, "config"):
        raise UsageError(
            f"RAG_ASSETS_BACKEND={backend} runs transformers, and the model {model.name!r} is none; unset it."
        )
    check_backend(backend)
    folder = export_folder(model, backend, state_dir)
    expected = encode()
    file = folder / ("model.xml" if backend == "openvino" else "model.onnx")
    if not file.is_file():
        _export(loaded, model, backend, file)
    run = (_open_openvino if backend == "openvino" else _open_onnx)(file)
    names = _input_names(loaded)

    def forward(**features: Any) -> dict[str, Any]:
        import torch

        values = {name: features[name].numpy() for name in names}
        return {_OUTPUT: torch.from_numpy(run(values))}

    transformer.forward = forward
    cosine = _lowest_cosine(expected, encode())
    (folder / "proof.json").write_text(json.dumps({"cosine": cosine}), "utf-8")
    return cosine


def run_on_torch(loaded: Any) -> None:
    """Undo `run_on_backend`."""
    del loaded[0].model.forward


def _lowest_cosine(expected: Any, found: Any) -> float:
    import numpy as np

    left, right = (np.asarray(vectors, dtype=np.float64) for vectors in (expected, found))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / lengths).min())


def _input_names(loaded: Any) -> list[str]:
    features = loaded[0].tokenizer(["a text"])
    return [name for name in _INPUTS if name in features]


def _export(loaded: Any, model: Model, backend: str, file: Path) -> None:
    """Export into a folder beside the final one, so that an export that is killed leaves nothing that counts."""
    import torch

    names = _input_names(loaded)
    features = loaded[0].tokenizer(["a text", "another, longer text"], padding=True, return_tensors="pt")

    class Exported(torch.nn.Module):
        def __init__(self, transformer: Any) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, *values: Any) -> Any:
            return self.transformer(**dict(zip(names, values, strict=True)))[_OUTPUT]

    file.parent.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="export_", dir=file.parent.parent) as folder, _quiet(), torch.no_grad():
        wrapped, values = Exported(loaded[0].model).eval(), tuple(features[name] for name in names)
        try:
            _write(wrapped, names, values, backend, Path(folder) / file.name)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ServiceError(
                f"the model {model.name!r} cannot be exported to {backend}: {reason}; set RAG_ASSETS_BACKEND=torch."
            ) from error
        file.parent.mkdir(exist_ok=True)
        # The file that is looked for comes last.
        for part in sorted(Path(folder).iterdir(), key=lambda part: part.name == file.name):
            part.replace(file.parent / part.name)


def _write(wrapped: Any, names: list[str], values: tuple[Any, ...], backend: str, file: Path) -> None:
    if backend == "openvino":
        import openvino

        shape = openvino.PartialShape([-1, -1])
        inputs = [(shape, openvino.Type.i64)] * len(names)
        converted = openvino.convert_model(wrapped, example_input=values, input=inputs)
        for name, port in zip(names, converted.inputs, strict=True):
            port.get_tensor().set_names({name})
        openvino.save_model(converted, file, compress_to_fp16=False)
        return
    import torch

    axes = {name: {0: "texts", 1: "tokens"} for name in (*names, _OUTPUT)}
    torch.onnx.export(
        wrapped,
        values,
        str(file),
        input_names=names,
        output_names=[_OUTPUT],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def _open_openvino(file: Path) -> Run:
    import openvino
    import torch

    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.Core().compile_model(file, "CPU", options)
    # A request serves one thread.
    own = threading.local()

    def run(values: Mapping[str, Any]) -> Any:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        # Copied: the next call writes to the same memory.
        return own.request.infer(dict(values), share_inputs=True)[0].copy()

    return run


def _open_onnx(file: Path) -> Run:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda values: session.run(None, dict(values))[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracers' warnings about shapes that they take for constants: the sample proves what came of them."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
