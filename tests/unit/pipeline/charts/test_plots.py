"""Charts are pictures in Markdown; the tests read their content back from the SVG."""

import re
from base64 import b64decode
from xml.etree import ElementTree

import pytest

from rag_assets.pipeline.charts import check_charts
from rag_assets.pipeline.charts.canvas import HEIGHT, WIDTH, round_numbers
from rag_assets.pipeline.charts.plots import bars, binned, curve, histogram, scatter

SVG = "{http://www.w3.org/2000/svg}"


def parse_svg(markdown: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[[^\]\n]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found is not None
    return ElementTree.fromstring(b64decode(found[1]))


def texts(svg: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in svg.iter(f"{SVG}text")]


def heights(svg: ElementTree.Element) -> list[float]:
    return [float(one.attrib["height"]) for one in list(svg.iter(f"{SVG}rect"))[1:]]


def test_bins_contain_every_value_once() -> None:
    values = [0.1 * number for number in range(100)] + [9.9] * 7
    found = binned(values)
    assert sum(count for _, _, count in found) == len(values)
    assert found[0][0] == 0.0
    assert found[-1][1] == pytest.approx(9.9)
    assert binned([3.0, 3.0]) == [(3.0, 4.0, 2)]
    assert binned([]) == []


def test_a_histogram_has_a_bar_per_bin_and_labelled_limits() -> None:
    svg = parse_svg(histogram("Lengths", "tokens", [(0, 10, 4), (10, 20, 2)], limits={"window 30": 30}))
    first, second = heights(svg)
    assert first == pytest.approx(2 * second, rel=0.01)
    assert {"Lengths", "tokens", "window 30"} <= set(texts(svg))


def test_bars_stack_the_parts_of_their_group() -> None:
    svg = parse_svg(bars("Documents", "number", {"md": {"ready": 3, "failed": 1}, "pdf": {"ready": 2}}))
    ready, failed, pdf = heights(svg)[:3]
    assert ready == pytest.approx(3 * failed, rel=0.02)
    assert pdf == pytest.approx(2 * failed, rel=0.02)
    assert {"md", "pdf", "ready", "failed"} <= set(texts(svg))


def test_a_curve_has_a_line_a_label_and_a_dot_per_point_within_its_frame() -> None:
    lines = {"stored": [(1.0, 0.9), (2.0, 0.99)], "asked": [(1.0, 0.8), (2.0, 0.95)]}
    svg = parse_svg(curve("Recall", "ms", "recall", lines, limit=("limit 0.95", 0.95)))
    assert len(list(svg.iter(f"{SVG}polyline"))) == 2
    dots = [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in svg.iter(f"{SVG}circle")]
    assert len(dots) == 4
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in dots)
    assert "limit 0.95" in texts(svg)


def test_groups_beyond_the_number_of_colours_share_the_last_one() -> None:
    svg = parse_svg(scatter("Map", {f"p{number}": [(number, 0.0), (0.0, number)] for number in range(12)}))
    assert len(list(svg.iter(f"{SVG}circle"))) == 24
    assert "others" in texts(svg)


@pytest.mark.parametrize("number", [1, 3, 8, 30])
def test_group_labels_are_within_the_picture_and_do_not_overlap(number: int) -> None:
    names = [f"handbook-of-department-{place}" for place in range(number)]
    svg = parse_svg(scatter("Texts by project", {name: [(0.0, 1.0), (1.0, 0.0)] for name in names}))
    boxes = {
        (one.text or ""): (float(one.attrib["x"]), float(one.attrib["y"]))
        for one in svg.iter(f"{SVG}text")
        if (one.text or "").startswith(("Texts", "handbook", "others"))
    }
    assert set(names[:8]) <= set(boxes)
    assert float(svg.attrib["height"]) > max(y for _, y in boxes.values())
    # A letter is at least half as wide as it is high.
    ends = {name: x + 5.5 * len(name) for name, (x, _) in boxes.items()}
    assert max(ends.values()) <= WIDTH
    for name, (x, y) in boxes.items():
        right = [other for other, place in boxes.items() if place[1] == y and place[0] > x]
        assert all(boxes[other][0] > ends[name] for other in right)


def test_markup_in_names_is_escaped() -> None:
    svg = parse_svg(bars("a ](x) <b>", "n", {"<script>alert(1)</script>": {"a&b": 1}}))
    assert not list(svg.iter(f"{SVG}script"))
    assert "a&b" in texts(svg)


def test_charts_without_data_are_valid() -> None:
    for markdown in (histogram("t", "x", []), bars("t", "y", {}), curve("t", "x", "y", {}), scatter("t", {})):
        assert "t" in texts(parse_svg(markdown))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 7), (0.93, 1.0), (-5, 5), (0, 1e6), (3.2, 3.3)])
def test_axes_have_marks_at_round_numbers(low: float, high: float) -> None:
    marks = round_numbers(low, high)
    assert 2 <= len(marks) <= 6
    assert all(low - 1e-9 <= one <= high + 1e-9 for one in marks)


def test_the_rarest_of_many_file_types_are_combined() -> None:
    counts = {f"type{number}": {"ready": 20 - number, "failed": 1} for number in range(12)}
    svg = parse_svg(check_charts.documents_by_type(counts))
    assert "others" in texts(svg)
    assert "type11" not in texts(svg)


def test_a_limit_far_from_the_latencies_is_not_shown() -> None:
    assert "limit 100 ms" not in texts(parse_svg(check_charts.latencies([1.0, 1.1, 1.3], 1.3, 100)))
    assert "limit 2 ms" in texts(parse_svg(check_charts.latencies([1.0, 1.1, 1.3], 1.3, 2)))


@pytest.mark.parametrize(("longest", "beyond"), [(254, False), (255, True)])
def test_only_chunks_longer_than_the_window_are_beyond_its_line(longest: int, beyond: bool) -> None:
    svg = parse_svg(check_charts.chunk_lengths({9: 1, 100: 5, longest: 3}, 254))
    [line] = [float(one.attrib["x1"]) for one in svg.iter(f"{SVG}line") if "stroke-dasharray" in one.attrib]
    ends = [float(one.attrib["x"]) + float(one.attrib["width"]) for one in list(svg.iter(f"{SVG}rect"))[1:]]
    assert len(ends) == 3
    assert (max(ends) > line) is beyond
