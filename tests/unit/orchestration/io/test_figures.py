"""Figures as metadata: identifiers and constants are not plotted, and histories of version 0.1 are readable."""

from typing import Any

import dagster as dg
import pytest

from rag_assets.orchestration.io.metadata import LastPromotion, figures_metadata, last_promotion

LIVE = dg.AssetKey("live_space")


def test_identifiers_are_text_and_counts_are_numbers() -> None:
    figures = {"space": 2, "dimensions": 384, "held_back_space": 3, "pool_maximum": 20, "vectors": 7, "promoted": True}
    assert figures_metadata(figures) == {
        "space": "2",
        "dimensions": "384",
        "held_back_space": "3",
        "pool_maximum": "20",
        "vectors": 7,
        "promoted": True,
    }


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, LastPromotion()),
        ({"space": 2, "taken_back_from": 3}, LastPromotion(2, 3)),
        ({"space": "2"}, LastPromotion(2)),
        ({"space": "2", "taken_back_from_space": "3"}, LastPromotion(2, 3)),
    ],
    ids=["without", "version 0.1", "now", "taken back"],
)
def test_last_promotion_reads_histories_of_both_versions(metadata: dict[str, Any], expected: LastPromotion) -> None:
    @dg.asset
    def live_space() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata=metadata)

    with dg.DagsterInstance.ephemeral() as instance:
        assert last_promotion(instance, LIVE) == LastPromotion()
        dg.materialize([live_space], instance=instance)
        assert last_promotion(instance, LIVE) == expected
