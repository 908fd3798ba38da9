import hashlib
import json


def content_hash(text: str) -> bytes:
    """The sha256 of the text's UTF-8, 32 bytes: vectors are stored under it, so it must never change."""
    return hashlib.sha256(text.encode()).digest()


def fingerprint(*parts: object) -> str:
    """16 hexadecimal digits that say what something was made of; the parts are JSON-able values.

    The order of a mapping's keys does not matter, every other difference does; what JSON cannot hold
    raises TypeError or ValueError, because a fingerprint that depends on a `repr` would not be stable.
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
