"""The straight lines and rectangles that a page draws: the rules of tables are among them."""

import ctypes
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rag_assets.documents.parsing.readers.layout.geometry import Box

# A page with more objects, or a path with more points, is a map or a drawing.
_MAX_OBJECTS = 20_000
_MAX_POINTS = 2_000
_MAX_DEPTH = 3
_WHITE = 250
# Points: what is thinner is a line.
_THIN = 3.0

Matrix = tuple[float, float, float, float, float, float]


def drawn_boxes(page: Any) -> list[Box]:
    """(left, bottom, right, top) of lines and rectangles, on a page whose y grows upwards."""
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFPage_CountObjects(page.raw)
    if count > _MAX_OBJECTS:
        return []
    return list(_boxes((pdfium.FPDFPage_GetObject(page.raw, index) for index in range(count)), (), 0))


def has_drawing(page: Any, points: int) -> bool:
    """Whether visible lines and areas with so many points in all are drawn: letters that are no text, for example."""
    import pypdfium2.raw as pdfium

    left = points
    for path in islice(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_PATH], max_depth=_MAX_DEPTH), _MAX_OBJECTS):
        left -= pdfium.FPDFPath_CountSegments(path.raw) if _is_visible(path.raw) else 0
        if left <= 0:
            return True
    return False


def _boxes(objects: Iterator[Any], matrices: tuple[Matrix, ...], depth: int) -> Iterator[Box]:
    """`matrices` are those of the forms around, innermost first."""
    import pypdfium2.raw as pdfium

    for one in objects:
        kind = pdfium.FPDFPageObj_GetType(one)
        if kind == pdfium.FPDF_PAGEOBJ_PATH and _is_visible(one):
            for box in _straight_parts(one):
                yield _transform(box, matrices)
        elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _MAX_DEPTH:
            count = pdfium.FPDFFormObj_CountObjects(one)
            if 0 < count <= _MAX_OBJECTS:
                inner = (pdfium.FPDFFormObj_GetObject(one, index) for index in range(count))
                yield from _boxes(inner, (_matrix(one), *matrices), depth + 1)


def _is_visible(path: Any) -> bool:
    import pypdfium2.raw as pdfium

    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDFPath_GetDrawMode(path, ctypes.byref(fill), ctypes.byref(stroke))
    if stroke.value or not fill.value:
        return bool(stroke.value)
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    pdfium.FPDFPageObj_GetFillColor(path, *map(ctypes.byref, (red, green, blue, alpha)))
    return min(red.value, green.value, blue.value) < _WHITE


def _straight_parts(path: Any) -> Iterator[Box]:
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFPath_CountSegments(path)
    if count > _MAX_POINTS:
        return
    if count <= 5:
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        pdfium.FPDFPageObj_GetBounds(path, *map(ctypes.byref, (left, bottom, right, top)))
        box = left.value, bottom.value, right.value, top.value
        is_thin = min(box[2] - box[0], box[3] - box[1]) <= _THIN
        if is_thin or (count >= 4 and not _has_curves(path, count)):
            yield box
        return
    matrix = _matrix(path)
    points: list[tuple[float, float]] = []
    x, y = ctypes.c_float(), ctypes.c_float()
    start = (0.0, 0.0)
    for index in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(path, index)
        pdfium.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
        point = _apply(matrix, x.value, y.value)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            start = point
        elif kind == pdfium.FPDF_SEGMENT_LINETO and points:
            yield from _axis_parallel(points[-1], point)
        points.append(point)
        if pdfium.FPDFPathSegment_GetClose(segment):
            yield from _axis_parallel(point, start)


def _axis_parallel(one: tuple[float, float], other: tuple[float, float]) -> Iterator[Box]:
    box = min(one[0], other[0]), min(one[1], other[1]), max(one[0], other[0]), max(one[1], other[1])
    if min(box[2] - box[0], box[3] - box[1]) <= 0.5:
        yield box


def _has_curves(path: Any, count: int) -> bool:
    import pypdfium2.raw as pdfium

    kinds = (pdfium.FPDFPathSegment_GetType(pdfium.FPDFPath_GetPathSegment(path, index)) for index in range(count))
    return any(kind == pdfium.FPDF_SEGMENT_BEZIERTO for kind in kinds)


def _matrix(one: Any) -> Matrix:
    import pypdfium2.raw as pdfium

    found = pdfium.FS_MATRIX()
    if not pdfium.FPDFPageObj_GetMatrix(one, ctypes.byref(found)):
        return 1.0, 0.0, 0.0, 1.0, 0.0, 0.0
    return found.a, found.b, found.c, found.d, found.e, found.f


def _apply(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def _transform(box: Box, matrices: tuple[Matrix, ...]) -> Box:
    for matrix in matrices:
        corners = [_apply(matrix, x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        box = min(xs), min(ys), max(xs), max(ys)
    return box
