import re
from typing import Final

_EMBEDDED: Final = re.compile(r"data:[\w/+.;=-]{0,100};base64,(?:[A-Za-z0-9+/=]{40,}\n?)+")


def without_embedded_data(text: str) -> str:
    """The text without the bytes of pictures and files that stand in it in base64."""
    return _EMBEDDED.sub("", text) if ";base64," in text else text
