"""The pipeline as a Dagster component, for a `defs.yaml`: `type: rag_assets.RagPipeline`."""

import re
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster.components import Scaffolder, ScaffoldRequest
from pydantic import Field

from rag_assets.errors import UsageError
from rag_assets.orchestration.build import build_definitions
from rag_assets.settings.entry_points import import_object

_IN_YAML = """\
type: {type_name}

attributes:
  key_prefix: {prefix}
  group_name: {prefix}
  settings:
    # Setting names in lower case; what is not set here comes from the environment (RAG_ASSETS_…).
    # For your own PostgreSQL: database_url: "{{{{ env.DATABASE_URL }}}}"
    state_dir: "{{{{ context.project_root }}}}/.rag_assets/{prefix}"
"""


_IN_PYTHON = """\
import dagster as dg
from rag_assets import RagPipeline


@dg.component_instance
def load(context: dg.ComponentLoadContext) -> RagPipeline:
    return RagPipeline(
        key_prefix="{prefix}",
        group_name="{prefix}",
        # Setting names in lower case; what is not set here comes from the environment (RAG_ASSETS_…).
        settings={{"state_dir": context.project_root / ".rag_assets" / "{prefix}"}},
    )
"""


class RagPipelineScaffolder(Scaffolder):
    """Writes a pipeline named after its folder, with its own state folder; it loads without further edits."""

    def scaffold(self, request: ScaffoldRequest[Any]) -> None:
        name = re.sub(r"\W", "_", request.target_path.stem, flags=re.ASCII)
        prefix = f"_{name}" if name[0].isdigit() else name
        if request.scaffold_format == "python":
            (request.target_path / "component.py").write_text(_IN_PYTHON.format(prefix=prefix), encoding="utf-8")
            return
        text = _IN_YAML.format(type_name=request.type_name, prefix=prefix)
        if request.append:
            with request.target_path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}")
        else:
            (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


@dg.scaffold_with(RagPipelineScaffolder)
class RagPipeline(dg.Component, dg.Model, dg.Resolvable):
    """Documents kept searchable in PostgreSQL: assets, checks, jobs, schedules and sensors.

    Several in one project each need a prefix, and a database or a state folder.
    """

    key_prefix: str | list[str] | None = Field(
        None, description="Prefix of the asset keys and of all other names.", examples=["docs"]
    )
    group_name: str | None = Field(None, description="Group of the assets; unset: named after the prefix.")
    settings: dict[str, Any] = Field(
        {},
        description="Settings by their names in lower case; what is not set comes from the environment.",
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

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        # A template for an unset variable gives None. Without this check, data would silently go into an embedded
        # database when the variable of database_url is missing.
        empty = next((name for name, value in self.settings.items() if value in (None, "")), None)
        if empty is not None:
            raise UsageError(
                f"settings: {empty} is empty; set the environment variable that it is read from, or remove it."
            )
        return build_definitions(
            key_prefix=self.key_prefix,
            group_name=self.group_name,
            settings=self.settings or None,
            resources=_import_resources(self.resources),
            upstream=self.upstream,
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
