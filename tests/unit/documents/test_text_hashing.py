import hashlib
import subprocess
import sys

import pytest

from rag_assets.documents.text import content_hash, fingerprint


def test_content_hash_is_the_sha256_of_the_utf8_bytes() -> None:
    assert content_hash("naïve 🙂") == hashlib.sha256("naïve 🙂".encode()).digest()
    assert len(content_hash("")) == 32


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})


def test_different_values_have_different_fingerprints() -> None:
    values = [fingerprint(*parts) for parts in [(), (None,), (1,), ("1",), (1, 2), ([1, 2],), ("12",), (True,)]]
    assert len(set(values)) == len(values)


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    program = "from rag_assets.documents.text import fingerprint; print(fingerprint('a', {'é': 1.5, 'b': None}))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == fingerprint("a", {"é": 1.5, "b": None})


@pytest.mark.parametrize("unstable", [object(), {1, 2}, float("nan")])
def test_values_without_a_stable_representation_are_refused(unstable: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        fingerprint(unstable)
