"""The font of a character: its size and style."""

import ctypes
import math
from dataclasses import dataclass
from typing import Any

_FIXED_PITCH = 1
_BOLD_WEIGHT = 600


@dataclass(frozen=True, slots=True)
class CharacterFont:
    bold: bool
    monospaced: bool
    # In points.
    size: float


def read_font(textpage: Any, character: int) -> CharacterFont:
    import pypdfium2.raw as pdfium

    name = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFText_GetFontInfo(textpage.raw, character, name, 128, ctypes.byref(flags))
    pdfium.FPDFText_GetMatrix(textpage.raw, character, ctypes.byref(matrix))
    size = pdfium.FPDFText_GetFontSize(textpage.raw, character) * math.hypot(matrix.c, matrix.d)
    lower = name.value.lower()
    weight = pdfium.FPDFText_GetFontWeight(textpage.raw, character)
    return CharacterFont(
        bold=b"bold" in lower or b"black" in lower or weight >= _BOLD_WEIGHT,
        monospaced=bool(flags.value & _FIXED_PITCH) or b"mono" in lower or b"courier" in lower,
        size=size,
    )
