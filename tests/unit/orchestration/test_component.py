"""The component of a `defs.yaml`: how attributes are resolved, and which are refused."""

import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components import ScaffoldRequest

from rag_assets import RagPipeline
from rag_assets.errors import UsageError
from rag_assets.orchestration.component import RagPipelineScaffolder
from tests.support.paths import PROJECTS


def build(**attributes: Any) -> dg.Definitions:
    return RagPipeline(**attributes).build_defs(dg.ComponentTree.for_test().load_context)


@pytest.fixture
def desk_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECTS / "component")
    for name in [name for name in sys.modules if name.partition(".")[0] == "desk"]:
        monkeypatch.delitem(sys.modules, name)


def test_resources_are_given_as_module_and_name(desk_project: None) -> None:
    found = build(key_prefix="docs", resources={"embedder": "desk.embedding:OurEmbedder"}).resources or {}
    assert type(found["docs_embedder"]).__name__ == "OurEmbedder"
    assert set(found) == {"docs_postgres", "docs_embedder", "docs_tables"}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"settings": {"database_url": None}}, "settings: database_url is empty; set the environment variable"),
        ({"settings": {"database_url": ""}}, "settings: database_url is empty"),
        ({"settings": {"databse_url": "x"}}, "there is no setting 'databse_url'; did you mean 'database_url'"),
        ({"resources": {"embedder": "desk.embedding"}}, "embedder: 'desk.embedding' cannot be imported"),
        ({"resources": {"embedder": "desk.embedding:Theirs"}}, "'desk.embedding:Theirs' cannot be imported"),
        ({"resources": {"embedder": "nobody.has.this:It"}}, "name one as `package.module:name`"),
        ({"key_prefix": ["docs", "a-b"]}, "key_prefix 'a-b' is not a name"),
    ],
)
def test_invalid_attributes_are_refused_with_a_remedy(
    desk_project: None, attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(**attributes)


@pytest.mark.parametrize(
    ("folder", "prefix"), [("docs", "docs"), ("my-docs", "my_docs"), ("2nd", "_2nd"), ("ü b", "__b")]
)
def test_a_scaffolded_pipeline_is_named_after_its_folder(tmp_path: Path, folder: str, prefix: str) -> None:
    (tmp_path / folder).mkdir()
    RagPipelineScaffolder().scaffold(
        ScaffoldRequest("rag_assets.RagPipeline", tmp_path / folder, "yaml", tmp_path, {}, append=False)
    )
    assert f"key_prefix: {prefix}\n" in (tmp_path / folder / "defs.yaml").read_text()
