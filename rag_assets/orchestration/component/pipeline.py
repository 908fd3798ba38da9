"""The component: one class for all definitions of a pipeline."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import Field

from rag_assets.errors import UsageError
from rag_assets.orchestration.build import build_definitions
from rag_assets.orchestration.component.attributes import (
    ProjectAttributes,
    SettingsAttributes,
    fill_projects,
    fill_settings,
    without_template,
)
from rag_assets.orchestration.component.scaffolder import RagPipelineScaffolder
from rag_assets.settings.entry_points import import_object


@dg.scaffold_with(RagPipelineScaffolder)
class RagPipeline(dg.Component, dg.Model, dg.Resolvable):
    """Documents kept searchable in PostgreSQL: assets, checks, jobs, schedules and sensors.

    Several in one project each need a prefix, and a database or a state folder.
    """

    key_prefix: str | list[str] | None = Field(
        None, description="Prefix of the asset keys and of all other names.", examples=["docs"]
    )
    group_name: str | None = Field(None, description="Group of the assets; unset: named after the prefix.")
    projects: Annotated[
        dict[str, dict[str, Any]], dg.Resolver(fill_projects, model_field_type=dict[str, ProjectAttributes])
    ] = Field(
        {},
        description="Projects by name, each with its source; folders are relative to this file.",
        examples=[{"handbook": {"source": "handbook", "settings": {"include": ["*.md"]}}}],
    )
    settings: Annotated[dict[str, Any], dg.Resolver(fill_settings, model_field_type=SettingsAttributes)] = Field(
        {},
        description="Settings by their names in lower case; what is not set comes from the environment.",
        json_schema_extra=without_template,
        examples=[{"database_url": "{{ env.DATABASE_URL }}", "time_zone": "Europe/Berlin"}],
    )
    resources: dict[str, str] = Field(
        {},
        description="Replacements for the resources postgres, embedder or tables: `package.module:name` of an "
        "instance, or of a class to instantiate.",
        examples=[{"embedder": "my_project.embedding:OurEmbedder"}],
    )
    upstream: dict[str, str | dict[str, str]] = Field(
        {},
        description="Projects whose documents are the rows of an asset: its key, or `asset` with `partition`, `type`.",
        examples=[{"items": "shop/items", "items-de": {"asset": "shop/items", "partition": "de"}}],
    )
    deps: list[str] = Field(
        [], description="Keys of your assets that the documents depend on.", examples=[["shop/exported_pages"]]
    )
    observe_sources: bool = Field(
        True, description="Show the sources of all projects as an observable asset, upstream of the documents."
    )
    translation: Annotated[
        TranslationFn[str] | None,
        TranslationFnResolver(template_vars_for_translation_fn=lambda asset: {"asset": asset}),
    ] = Field(
        None,
        description="Attributes of the assets: key, group_name, tags, owners, metadata, automation_condition …; "
        "templates have `asset` (its plain name, like chunks) and `spec`.",
        examples=[{"tags": {"team": "search"}, "key": "library/{{ asset }}"}],
    )

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` and the picker of the UI show."""
        # Dagster before 1.13.5 does not ask for it.
        produces = ["asset", "asset_check", "job", "schedule", "sensor", "resource"]
        return dg.ComponentTypeSpec(
            description="Keeps documents searchable in PostgreSQL with pgvector: reads, splits, embeds, indexes, "
            "checks and serves them.",
            tags=["search", "rag", "postgres", "pgvector", "embeddings"],
            owners=["team:rag_assets"],
            metadata={},
            **({"produces": produces} if hasattr(dg.ComponentTypeSpec, "produces") else {}),
        )

    def get_asset_spec(self, asset: str, spec: dg.AssetSpec) -> dg.AssetSpec:
        """The spec of one of the assets, such as `chunks`; override it to change more than `translation` does.

        Key, group, tags, owners, metadata, automation condition and description may be changed.
        """
        return spec if self.translation is None else self.translation(spec, asset)

    def execute(self, context: dg.AssetExecutionContext, materialize: Callable[[], Any]) -> Any:  # noqa: ARG002
        """Materialize one asset; override it to do something before, or to look at what is returned.

        An asset of a table returns a stream of batches, which is written after this has returned; all others return a
        `MaterializeResult`.
        """
        return materialize()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        # A template for an unset variable gives None. Without this check, data would silently go into an embedded
        # database when the variable of database_url is missing.
        empty = next((name for name, value in self.settings.items() if value in (None, "")), None)
        if empty is not None:
            raise UsageError(
                f"settings: {empty} is empty; set the environment variable that it is read from, or remove it."
            )
        own = type(self)
        translates = self.translation is not None or own.get_asset_spec is not RagPipeline.get_asset_spec
        return build_definitions(
            key_prefix=self.key_prefix,
            group_name=self.group_name,
            settings=self.settings or None,
            resources=_import_resources(self.resources),
            upstream=self.upstream,
            projects=self.projects,
            projects_folder=Path(context.path),
            deps=self.deps,
            observe_sources=self.observe_sources,
            translate=self.get_asset_spec if translates else None,
            execute=self.execute if own.execute is not RagPipeline.execute else None,
        )


def _import_resources(resources: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for key, target in resources.items():
        try:
            resource = import_object(target)
        except (ImportError, AttributeError, ValueError) as error:
            raise UsageError(
                f"resources: {key}: {target!r} cannot be imported ({error}); name one as `package.module:name`."
            ) from error
        found[key] = resource() if isinstance(resource, type) else resource
    return found
