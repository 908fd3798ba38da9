"""The font of a character: its size and style."""

import ctypes
import functools
import math
from dataclasses import dataclass
from typing import Any

_FIXED_PITCH = 1
_BOLD_WEIGHT = 600
_NAME_BYTES = 128
# PDFium writes here; making room for each of the thousands of answers took half of the time. A parser has one thread.
_NAME = ctypes.create_string_buffer(_NAME_BYTES)
_FLAGS = ctypes.c_int()
_MATRIX = (ctypes.c_float * 6)()


@dataclass(frozen=True, slots=True)
class CharacterFont:
    bold: bool
    monospaced: bool
    # In points.
    size: float


def read_font(textpage: Any, character: int) -> CharacterFont:
    read_info, read_matrix, read_size, read_weight, flags_out, matrix_out = _functions()
    read_info(textpage.raw, character, _NAME, _NAME_BYTES, flags_out)
    read_matrix(textpage.raw, character, matrix_out)
    size = read_size(textpage.raw, character) * math.hypot(_MATRIX[2], _MATRIX[3])
    lower = _NAME.value.lower()
    return CharacterFont(
        bold=b"bold" in lower or b"black" in lower or read_weight(textpage.raw, character) >= _BOLD_WEIGHT,
        monospaced=bool(_FLAGS.value & _FIXED_PITCH) or b"mono" in lower or b"courier" in lower,
        size=size,
    )


@functools.cache
def _functions() -> tuple[Any, ...]:
    import pypdfium2.raw as pdfium

    return (
        pdfium.FPDFText_GetFontInfo,
        pdfium.FPDFText_GetMatrix,
        pdfium.FPDFText_GetFontSize,
        pdfium.FPDFText_GetFontWeight,
        ctypes.pointer(_FLAGS),
        ctypes.cast(_MATRIX, ctypes.POINTER(pdfium.FS_MATRIX)),
    )
