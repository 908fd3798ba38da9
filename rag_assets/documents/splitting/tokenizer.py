"""The tokenizer of an embedding model, and the size of the model's window."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase, Normalizer
from tokenizers.normalizers import Sequence as NormalizerSequence

from rag_assets.errors import ServiceError

# For a tokenizer without a limit. transformers has 1e30, which does not fit an integer column.
NO_LIMIT = 2**31 - 1

# sentence-transformers reads the first of these that exists.
TRANSFORMER_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

# An Encoding takes some 100 bytes for each token, so a large file is not encoded in one call.
ENCODE_BATCH = 1024


def load_tokenizer(model_dir: Path) -> Tokenizer:
    """The model's own tokenizer, without the truncation and padding that its file may set.

    The file of all-MiniLM truncates at 128 tokens, so that longer texts would count as 128. Raises ServiceError when
    the folder has no readable tokenizer.json.
    """
    path = _transformer_dir(model_dir) / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The Rust library raises plain Exception for every reason.
        raise ServiceError(
            f"the tokenizer {path} cannot be read ({error}); check that the folder holds a complete "
            "sentence-transformers model"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if _transformer_config(model_dir).get("do_lower_case"):
        _add_lowercase(tokenizer)
    return tokenizer


def model_window(model_dir: Path) -> int:
    """The most tokens that the model reads, with special ones: `SentenceTransformer(...).max_seq_length`.

    As in sentence-transformers 6.2, it is the value in the Transformer module's own file, else the smaller of the
    tokenizer's limit and the number of positions, else NO_LIMIT.
    """
    config = _transformer_config(model_dir)
    processor = config.get("processor_kwargs") or config.get("tokenizer_args") or {}
    stated = processor.get("model_max_length", config.get("max_seq_length"))
    if stated is not None:
        return min(int(stated), NO_LIMIT)
    folder = _transformer_dir(model_dir)
    limits = [NO_LIMIT]
    if (tokenizer_limit := _read_json(folder / "tokenizer_config.json").get("model_max_length")) is not None:
        limits.append(int(tokenizer_limit))
    # XLNet has -1 for no limit.
    if (positions := _read_json(folder / "config.json").get("max_position_embeddings", -1)) != -1:
        limits.append(int(positions))
    return min(limits)


def special_token_count(tokenizer: Tokenizer) -> int:
    """How many tokens of the window the model's special tokens take, such as [CLS] and [SEP]."""
    return int(tokenizer.num_special_tokens_to_add(is_pair=False))


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """The number of tokens of each text, without special ones."""
    counts = distinct_token_counts(tokenizer, texts)
    return [counts[text] for text in texts]


def distinct_token_counts(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, int]:
    """The number of tokens of each distinct text, without special ones. The texts may be a stream.

    Raises ServiceError where the tokenizer fails.
    """
    counts = dict.fromkeys(texts, 0)
    distinct = iter(list(counts))
    while batch := list(islice(distinct, ENCODE_BATCH)):
        try:
            encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        except BaseException as error:
            # Rust's panics are no Exception. Without its message, which may quote the text.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise ServiceError(
                f"the tokenizer failed with {type(error).__name__} on texts of up to {max(map(len, batch)):,} "
                "characters; set RAG_ASSETS_MODEL to another model"
            ) from None
        counts.update(zip(batch, map(len, encodings), strict=True))
    return counts


def _transformer_dir(model_dir: Path) -> Path:
    """Older models have the Transformer module in a folder of its own, such as 0_Transformer."""
    modules = _read_json(model_dir / "modules.json") or [{}]
    return model_dir / str(modules[0].get("path", ""))


def _transformer_config(model_dir: Path) -> dict[str, Any]:
    folder = _transformer_dir(model_dir)
    return next((config for name in TRANSFORMER_CONFIGS if (config := _read_json(folder / name))), {})


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ServiceError(f"{path} cannot be read ({error}); install or download the model again") from error


def _add_lowercase(tokenizer: Tokenizer) -> None:
    """Lower the text as sentence-transformers does for `do_lower_case`, so that counts equal the model's."""
    present: Normalizer | None = tokenizer.normalizer
    tokenizer.normalizer = NormalizerSequence([Lowercase(), *([present] if present else [])])
