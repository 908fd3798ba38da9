"""What `dg scaffold defs rag_assets.RagPipeline` writes."""

import re
from typing import Any

from dagster.components import Scaffolder, ScaffoldRequest

_IN_YAML = """\
type: {type_name}

attributes:
  key_prefix: {prefix}
  group_name: {prefix}
  settings:
    # Setting names in lower case; what is not set here comes from the environment (RAG_ASSETS_…).
    # For your own PostgreSQL: database_url: "{{{{ env.DATABASE_URL }}}}"
    state_dir: "{{{{ context.project_root }}}}/.rag_assets/{prefix}"
  # projects:
  #   handbook:
  #     source: "{{{{ context.project_root }}}}/handbook"
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
