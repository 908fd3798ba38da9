"""The component of a `defs.yaml`: how attributes are resolved, and which are refused."""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components import ScaffoldRequest
from dagster.components.testing import DefsFolderSandbox, create_defs_folder_sandbox
from dagster_shared.libraries import DagsterLibraryRegistry

from rag_assets import RagPipeline, Settings
from rag_assets.errors import UsageError
from rag_assets.orchestration.component.scaffolder import RagPipelineScaffolder
from tests.support.paths import PROJECTS

# Dagster loads a folder of components with functions that pydantic and Dagster themselves call deprecated or beta.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]


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


@pytest.fixture
def sandbox() -> Iterator[DefsFolderSandbox]:
    with create_defs_folder_sandbox() as found:
        yield found


def load(sandbox: DefsFolderSandbox, attributes: dict[str, Any], component: type = RagPipeline, **more: Any) -> Any:
    """Write a defs.yaml, load it as `dg` does, and return the graph of its assets."""
    contents = {"type": f"{component.__module__}.{component.__name__}", "attributes": attributes, **more}
    path = sandbox.scaffold_component(component_cls=component, defs_yaml_contents=contents)
    with sandbox.load_component_and_build_defs(defs_path=path) as (_, defs):
        return defs.resolve_asset_graph()


def parents(graph: Any, key: str) -> set[str]:
    return {found.to_user_string() for found in graph.get(dg.AssetKey(key.split("/"))).parent_keys}


def test_a_translation_changes_any_attribute_of_the_assets(sandbox: DefsFolderSandbox) -> None:
    translation = {
        "key": "library/{{ asset }}",
        "group_name": "lib",
        "tags": {"team": "search"},
        "owners": ["team:search"],
        "metadata": {"was": "{{ spec.key.to_user_string() }}"},
        "automation_condition": "{{ automation_condition.on_cron('@daily') }}",
    }
    processing = {"assets": [{"target": "key:library/chunks", "attributes": {"tags": {"tier": "gold"}}}]}
    graph = load(
        sandbox,
        {"key_prefix": "docs", "translation": translation, "deps": ["shop/pages"]},
        post_processing=processing,
    )
    ours = {key.to_user_string() for key in graph.get_all_asset_keys()} - {"shop/pages"}
    assert {key.partition("/")[0] for key in ours} == {"library"}
    assert len(ours) == 13
    chunks = graph.get(dg.AssetKey(["library", "chunks"]))
    assert (chunks.group_name, chunks.owners, chunks.metadata["was"]) == ("lib", ["team:search"], "docs/chunks")
    assert chunks.tags.items() >= {"team": "search", "tier": "gold"}.items()
    assert "on_cron" in chunks.automation_condition.get_label()
    assert parents(graph, "library/chunks") == {"library/raw_documents"}
    assert parents(graph, "library/raw_documents") == {"library/sources", "shop/pages"}
    assert "tier" not in graph.get(dg.AssetKey(["library", "embeddings"])).tags
    sources = graph.get(dg.AssetKey(["library", "sources"]))
    assert (sources.is_observable, sources.group_name, sources.tags["team"]) == (True, "lib", "search")
    assert {check.asset_key.path[0] for check in graph.asset_check_keys} == {"library"}


class TaggedPipeline(RagPipeline):
    """A component of a team's own."""

    def get_asset_spec(self, asset: str, spec: dg.AssetSpec) -> dg.AssetSpec:
        return super().get_asset_spec(asset, spec).merge_attributes(tags={"asset": asset})


def test_a_subclass_changes_specs_in_python(sandbox: DefsFolderSandbox) -> None:
    graph = load(sandbox, {"key_prefix": "docs", "observe_sources": False}, TaggedPipeline)
    assert graph.get(dg.AssetKey(["docs", "chunks"])).tags["asset"] == "chunks"
    assert parents(graph, "docs/raw_documents") == set()


def test_projects_and_settings_are_typed_and_take_templates(
    sandbox: DefsFolderSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = RagPipeline.get_model_cls()
    assert model is not None
    schema = model.model_json_schema()["$defs"]
    setting = schema["SettingsAttributes"]["properties"]
    assert setting["chunk_tokens"]["description"].startswith("Most tokens")
    assert {"enum": ["vector", "halfvec", "bit"], "type": "string"} in setting["index_storage"]["anyOf"]
    assert set(setting) == set(Settings.model_fields)
    assert schema["SettingsAttributes"]["additionalProperties"] is False
    assert schema["ProjectAttributes"]["required"] == ["source"]
    assert "shards" in schema["ProjectSettingsAttributes"]["properties"]
    load(
        sandbox,
        {
            "key_prefix": "docs",
            "projects": {"handbook": {"source": "handbook", "settings": {"include": ["*.md"]}}},
            "settings": {"chunk_tokens": "{{ 60 + 40 }}", "automation": True, "owners": ["team:docs"]},
        },
    )
    for projects, message in (
        ({"a b": {"source": "x"}}, "a b"),
        ({"ab": {"source": "x", "settings": {"shards": 0}}}, "project ab: shards 0"),
    ):
        with pytest.raises(UsageError, match=message):
            build(key_prefix="docs", projects=projects)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"settings": {"chunk_tokns": 5}}, "there is no setting 'chunk_tokns'; did you mean 'chunk_tokens'?"),
        ({"projects": {"ab": {"source": "x", "setings": {}}}}, "there is no key 'setings'; did you mean 'settings'?"),
        ({"projects": {"ab": {"source": "x", "settings": {"shard": 2}}}}, "did you mean 'shards'?"),
        ({"translation": {"key": "one"}}, "the translation gives the key one to several assets"),
        ({"deps": [""]}, "deps: '' is no asset key"),
    ],
)
def test_what_is_wrong_in_yaml_is_refused(sandbox: DefsFolderSandbox, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        load(sandbox, {"key_prefix": "docs", **attributes})
    chain: list[str] = []
    error: BaseException | None = raised.value
    while error is not None:
        chain.append(str(error))
        error = error.__cause__ or error.__context__
    assert message in "\n".join(chain)


def test_dagster_knows_the_component_and_the_library() -> None:
    spec = RagPipeline.get_spec()
    assert "PostgreSQL" in (spec.description or "")
    assert "rag" in spec.tags
    assert getattr(spec, "produces", ["asset"])[0] == "asset"
    assert DagsterLibraryRegistry.get()["rag_assets"] == version("rag_assets")
