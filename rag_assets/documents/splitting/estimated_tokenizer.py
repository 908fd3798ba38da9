"""An estimate of tokens for models whose tokenizer is not at hand."""

from functools import cache

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

# Of a word: four Latin letters, two letters of other alphabets; of a number two digits; every other sign by itself, and
# so are letters of scripts without spaces. Real tokenizers need 0.6 to 1.0 of that for running text.
_PIECE = (
    r"[A-Za-z\u00c0-\u024f]{1,4}"
    r"|[0-9]{1,2}"
    r"|[\u0370-\u06ff\u0900-\u0dff\u10a0-\u10ff\uac00-\ud7a3]{1,2}"
    r"|[^\s]"
)


@cache
def estimated_tokenizer() -> Tokenizer:
    """A tokenizer that errs high, so that what it counts as fitting a window fits that of nearly every model."""
    # Not named like an unknown token: `unknown_share` would take all texts for unknown.
    tokenizer = Tokenizer(models.WordLevel({"estimate": 0}, unk_token="estimate"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.Split(Regex(_PIECE), "isolated"),
        ]
    )
    return tokenizer
