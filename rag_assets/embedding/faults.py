"""What may be said of an error of a model: never the words of the text on which it failed."""

import re
from collections.abc import Iterable

from rag_assets.errors import escape_line

_SHOWN_CHARS = 300
# Shorter words are hardly a quotation, and every message has some.
_SHORTEST_WORD = 4
_ESCAPED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_WORD = re.compile(r"\w+")
_LEFT_OUT = re.compile(r"…(?:[^\w…]*…)+")


def describe_fault(error: BaseException, texts: Iterable[str]) -> str:
    """The type and message of an error that was raised for these texts, without their words."""
    message = withhold_words(str(error), texts)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def withhold_words(message: str, texts: Iterable[str]) -> str:
    """The message on one line, with … for words of the texts: models and servers quote what they refuse."""
    known = "\n".join(texts).lower()

    def replace(found: re.Match[str]) -> str:
        word = found[0].lower()
        quoted = len(word) >= _SHORTEST_WORD and word in known
        # Other scripts may be written without spaces.
        pairs = (word[at : at + 2] for at in range(len(word) - 1))
        quoted = quoted or any(not pair.isascii() and pair in known for pair in pairs)
        return "…" if quoted else found[0]

    line = " ".join(_ESCAPED.sub(_unescape, message[: 20 * _SHOWN_CHARS]).split())
    line = _LEFT_OUT.sub("…", _WORD.sub(replace, line))
    return escape_line(line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…")


def is_fault(error: BaseException) -> bool:
    """Whether an error is one of a library, and not an interrupt: Rust's panics are no Exception in Python."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _unescape(found: re.Match[str]) -> str:
    number = int(found[1] or found[2] or found[3], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else found[0]
