"""What OpenDocument texts and presentations have in common: text in XML, shapes with text, charts."""

import re
from typing import Final

from rag_assets.documents.parsing.readers.office.package import PackageParts

SPACES: Final = re.compile(r"<text:s(?:\s[^>]*)?/>")
_TAG: Final = re.compile(r"<[^>]*>")
_SHAPE_NAMES: Final = "custom-shape|rect|ellipse|circle|polygon|polyline|path|line|connector|regular-polygon|caption"
_SHAPES: Final = re.compile(rf"</draw:(?:{_SHAPE_NAMES})>".encode())
# What is never closed ends at the next one, so that the search for its end stays short.
_SHAPE: Final = re.compile(
    rf"<draw:({_SHAPE_NAMES})\b[^<>]*(?<!/)>((?:(?!</?draw:(?:{_SHAPE_NAMES})\b).)*)</draw:\1>", re.DOTALL
)
_DRAWING: Final = re.compile(r"</?draw:[^<>]*>|<svg:(title|desc)(?:\s[^<>]*)?>[^<]*</svg:\1>")
_OBJECT: Final = re.compile(
    r"<draw:frame\b[^<>]*>\s*<draw:object\s[^<>]*?xlink:href=[\"'](?:\./)?([^\"'<>]+)[\"']"
    r"(?:(?!</?draw:frame\b).)*</draw:frame>",
    re.DOTALL,
)
_CHART_TITLE: Final = re.compile(
    r"<chart:(?:title|subtitle)(?:\s[^<>]*)?>((?:(?!</?chart:).)*)</chart:(?:title|subtitle)>", re.DOTALL
)
# xberg does not look into these.
_ROW_GROUP: Final = re.compile(r"</?table:table-(?:rows|header-rows|columns|header-columns)(?:\s[^<>]*)?>")
_CHART_TABLE: Final = re.compile(r"<table:table(?:\s[^<>]*)?>")
_TABLE_END: Final = "</table:table>"


def open_text(xml: str) -> str:
    """The text in XML, still escaped."""
    return " ".join(_TAG.sub("", re.sub(r"</text:[ph]>|<text:(?:tab|line-break)\b[^>]*/>", " ", xml)).split())


def has_shapes(xml: bytes) -> bool:
    return b"<draw:object " in xml or _SHAPES.search(xml) is not None


def shapes_to_boxes(xml: str, parts: PackageParts) -> str:
    """The part with text boxes for shapes that have text, which xberg leaves out, and for charts, which it garbles."""
    xml = _OBJECT.sub(lambda match: _chart(parts.content(f"{match[1]}/content.xml")) or match[0], xml)
    return _SHAPE.sub(lambda match: _box(_DRAWING.sub("", match[2])) if open_text(match[2]) else match[0], xml)


def _chart(content: bytes) -> str:
    """The title and the values of a chart; nothing for other objects, such as formulas."""
    if b"<chart:chart" not in content:
        return ""
    chart = content.decode()
    titles = "".join(f"<text:p>{open_text(match[1])}</text:p>" for match in _CHART_TITLE.finditer(chart))
    begin, end = _CHART_TABLE.search(chart), chart.rfind(_TABLE_END)
    table = chart[begin.start() : end + len(_TABLE_END)] if begin is not None and end > begin.start() else ""
    return _box(titles + _ROW_GROUP.sub("", table)) if titles or table else ""


def _box(text: str) -> str:
    return f"<draw:frame><draw:text-box>{text}</draw:text-box></draw:frame>"
