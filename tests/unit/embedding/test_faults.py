"""Errors of models are told without the words of the texts on which they failed."""

import pytest

from rag_assets.embedding.faults import describe_fault, is_fault, withhold_words

TEXT = "The password of Zoë is hunter2, account 4111 1111; 機密文件 on Größe-Straße."


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("index out of range in self", "index out of range in self"),
        ("CUDA out of memory. Tried to allocate 20.00 MiB", "CUDA out of memory. Tried to allocate 20.00 MiB"),
        (f"cannot read {TEXT!r}", "cannot read 'The … of … is … on ….'"),
        ("no token for HUNTER2", "no token for …"),
        ("unknown piece '##unter2'", "unknown piece '##…'"),
        ("bad: \\u6a5f\\u5bc6 and 4111", "bad: … and …"),
        ("at 機密文件です", "at …"),
        ("Gr\\xf6\\xdfe is odd", "… is odd"),
        ("two\nlines\x1b[31m", r"two lines\x1b[31m"),
        ("", ""),
    ],
)
def test_words_of_the_text_are_left_out(message: str, shown: str) -> None:
    assert withhold_words(message, [TEXT]) == shown


def test_a_long_message_is_cut_off() -> None:
    assert len(withhold_words("why " * 1_000, [TEXT])) == 300


def test_a_fault_has_its_type() -> None:
    assert describe_fault(ValueError("odd"), [TEXT]) == "ValueError: odd"
    assert describe_fault(KeyError(), []) == "KeyError"
    assert is_fault(ValueError())
    assert not is_fault(KeyboardInterrupt())
