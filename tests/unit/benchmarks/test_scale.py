from tests.benchmarks.scale import exponent


def test_the_exponent_is_the_slope_of_seconds_over_rows() -> None:
    sizes = [{"rows": rows, "chunks": {"seconds": 0.01 * rows**1.2}} for rows in (1_000, 10_000, 100_000)]
    assert exponent(sizes, "chunks") == 1.2
    assert exponent(sizes[:1], "chunks") is None
