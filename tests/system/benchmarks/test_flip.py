"""The flip's benchmark in small: nobody who searches notices a new space, or the way back."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.pipeline.audit import latency
from rag_assets.settings.settings import Settings
from tests.benchmarks.flip import measure


def test_nobody_notices_a_flip_or_the_way_back(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The proof measures searches at ten thousand vectors, which takes longer to build than all the rest.
    monkeypatch.setattr(latency, "MEASURED_VECTORS", 1_500)
    found = measure(engine.url, tmp_path, vectors=1_000, dimensions=64, clients=2, seconds=3)
    assert (found["errors"], found["mixed"], found["empty"], found["stale"]) == (0, 0, 0, 0), found
    assert min(found["by_space"].values()) > 20
    # Nearly every hit tells its space, or there would be nothing to see.
    assert found["ambiguous"] < found["searches"] / 10
    assert found["rollback_s"] < 1
    assert found["p99_ratio"] > 0 < found["build_s"]
