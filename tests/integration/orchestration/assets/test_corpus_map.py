"""The map of the corpus, drawn from the tables of an installation."""

import dagster as dg
import numpy as np
import pytest
from sqlalchemy import Engine, text

from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.pipeline.audit.corpus_map import map_corpus
from tests.support.pipeline.runs import fake_defs


def test_the_map_shows_each_distinct_text_once_under_a_project_that_has_it(built: Engine) -> None:
    with built.connect() as connection:
        space = get_live_space(connection)
        distinct = connection.scalar(text("SELECT count(DISTINCT content_hash) FROM rag.document_chunks"))
    assert space is not None
    found = map_corpus(built, space)
    assert sum(map(len, found.dots.values())) == distinct
    assert set(found.dots) == {"sea", "zoo"}
    assert 0 < found.explained[1] <= found.explained[0] < 1


def test_the_axes_are_the_first_principal_components(built: Engine) -> None:
    with built.connect() as connection:
        space = get_live_space(connection)
        stored = connection.scalars(text("SELECT embedding::float4[] FROM rag.embeddings ORDER BY content_hash")).all()
    assert space is not None
    found = map_corpus(built, space)
    places = np.array([dot for dots in found.dots.values() for dot in dots])
    spread = np.sort(np.linalg.eigvalsh(np.cov(np.array(stored, dtype=float).T)))[::-1]
    assert places.var(axis=0, ddof=1) == pytest.approx(spread[:2], rel=1e-4)
    assert places.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)


def test_the_sample_has_the_requested_size(built: Engine) -> None:
    with built.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    assert sum(map(len, map_corpus(built, space, most=2).dots.values())) == 2


def test_the_asset_shows_the_map_and_its_figures(built: Engine) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [one for one in fake_defs.assets or [] if isinstance(one, dg.AssetsDefinition)],
            selection=dg.AssetSelection.assets("corpus_map"),
            resources=fake_defs.resources,
            instance=instance,
        )
    [event] = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["projects"].value == 2
    picture = metadata["map"]
    assert isinstance(picture, dg.MarkdownMetadataValue)
    assert picture.md_str.startswith("![Texts by project")


def test_the_data_version_of_the_map_follows_the_live_space(built: Engine) -> None:
    assets = [one for one in fake_defs.assets or [] if isinstance(one, dg.AssetsDefinition)]

    def versions(instance: dg.DagsterInstance, *names: str) -> dict[str, str]:
        result = dg.materialize(
            assets,
            selection=dg.AssetSelection.assets(*names),
            resources=fake_defs.resources,
            instance=instance,
        )
        events = [event.materialization for event in result.get_asset_materialization_events()]
        return {event.asset_key.to_user_string(): (event.tags or {})["dagster/data_version"] for event in events}

    with dg.DagsterInstance.ephemeral() as instance:
        first = versions(instance, "live_space", "corpus_map")
        assert versions(instance, "corpus_map")["corpus_map"] == first["corpus_map"]
        second = versions(instance, "live_space", "corpus_map")
    assert all(first[name] != second[name] for name in first)
