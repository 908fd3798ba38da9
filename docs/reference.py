"""Writes docs/pages/reference from the code: `python docs/reference.py`, or `--check` to compare only.

The pages are committed, so that they can be read without a build; a test fails when they are out of date.
"""

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

FOLDER = Path(__file__).parent / "pages" / "reference"

# Each group of settings begins with the named one and goes on to the next group, in the order of the class.
SETTING_GROUPS = {
    "database_url": "Database",
    "pool_min": "Connection pools, timeouts and retries",
    "embedding_url": "Models over HTTP",
    "state_dir": "Installation and parsing",
    "chunk_tokens": "Chunks and embeddings",
    "index_build_memory_mb": "Index",
    "reranker": "Reranking",
    "serve_anonymous": "Serving",
    "owners": "Checks and promotion",
    "maintenance_cron": "Maintenance",
    "messages_since": "Messages",
    "projects": "Projects, schedules and sensors",
}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    # Outside of backticks, an asterisk or a bracket is a character, not markup.
    parts = " ".join(str(value).split()).replace("|", "\\|").split("`")
    return "`".join(re.sub(r"([*<])", r"\\\1", part) if n % 2 == 0 else part for n, part in enumerate(parts))


def settings_page() -> str:
    from rag_assets.projects.settings import ProjectSettings
    from rag_assets.settings.settings import Settings

    fields = Settings.model_fields
    if missing := SETTING_GROUPS.keys() - fields.keys():
        raise SystemExit(f"docs/reference.py: SETTING_GROUPS names {', '.join(missing)}, which Settings lacks")
    groups: dict[str, list[Sequence[object]]] = {}
    for name, field in fields.items():
        if name in SETTING_GROUPS:
            rows = groups.setdefault(SETTING_GROUPS[name], [])
        rows.append((f"`{name.upper()}`", _default(field.default), field.description or ""))
    parts = [
        "# Settings",
        (
            "Environment variables with the prefix `RAG_ASSETS_`, or lines of a file `.env` in the working directory; "
            "in Python, the fields of `rag_assets.Settings` in small letters. The environment overrides the file. "
            "A value that is not allowed is one error that names its variable."
        ),
    ]
    for title, rows in groups.items():
        parts += [f"## {title}", table(("RAG_ASSETS_…", "default", ""), rows)]
    parts += [
        "## Settings of one project",
        (
            "Set with `rag-assets projects add NAME SOURCE --set key=value`, or under `settings:` in `projects.yaml` "
            "([Projects and schedules](../guides/projects.md))."
        ),
        table(
            ("key", "default", ""),
            (
                (f"`{name}`", _default(field.get_default(call_default_factory=True)), field.description)
                for name, field in ProjectSettings.model_fields.items()
                if field.description
            ),
        ),
    ]
    return "\n\n".join(parts)


def _default(value: object) -> str:
    return "" if value is None or value in ((), {}) else f"`{value}`"


def cli_page() -> str:
    import typer

    from rag_assets.cli.main import app

    parts = [
        "# Command line",
        "`rag-assets --help` and `rag-assets COMMAND --help` print the same.",
        "With `--json`, stdout is one JSON object and nothing else. Errors are one line on stderr.",
        "## Exit codes",
        table(("code", "meaning"), _exit_codes()),
    ]
    parts += _commands("rag-assets", typer.main.get_command(app))
    return "\n\n".join(filter(None, parts))


def _exit_codes() -> Iterator[tuple[object, object]]:
    from rag_assets.errors import RagAssetsError, RunInterruptedError, ServiceError, UsageError

    yield 0, "success"
    yield RagAssetsError.exit_code, "a check of severity ERROR failed, or a run did not succeed"
    yield UsageError.exit_code, "wrong usage: an unknown option or name, a value that is not allowed"
    yield ServiceError.exit_code, "a service (database, model) is not available"
    yield RunInterruptedError.exit_code, "interrupted (Ctrl-C); what was committed stays"


def _commands(path: str, command: Any, level: int = 2) -> Iterator[str]:
    """The command's section, or those of a group's commands, each group under a heading of its own."""
    yield f"{'#' * level} {path}" if path != "rag-assets" else "## Commands"
    if hasattr(command, "commands"):
        yield (command.help or "") if path != "rag-assets" else ""
        for name, sub in sorted(command.commands.items(), key=lambda item: (hasattr(item[1], "commands"), item[0])):
            yield from _commands(f"{path} {name}", sub, level + 1)
        return
    yield _paragraphs(command.help or "")
    parameters = [one for one in command.params if one.name != "help" and not one.hidden]
    yield "```text\n" + "\n".join(_wrap([path, *map(_usage, parameters)])) + "\n```"
    if parameters:
        rows = ((f"`{_name(one)}`", f"`{_type(one)}`", _default_of(one), one.help or "") for one in parameters)
        yield table(("argument or option", "type", "default", ""), rows)


def _wrap(words: Sequence[str], width: int = 100) -> Iterator[str]:
    line = words[0]
    for word in words[1:]:
        if len(line) + 1 + len(word) > width:
            yield line
            line = " " * 4 + word
        else:
            line += " " + word
    yield line


def _name(parameter: Any) -> str:
    return ", ".join(parameter.opts) if parameter.param_type_name == "option" else (parameter.opts[0]).upper()


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _name(parameter) if parameter.required else f"[{_name(parameter)}]"
    value = "" if parameter.is_flag else f" {_type(parameter)}"
    return f"[{parameter.opts[0]}{value}]" + ("…" if parameter.multiple else "")


def _type(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return "flag" if kind is bool else str(kind.__name__).lower()


def _default_of(parameter: Any) -> str:
    return "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"


def checks_page() -> str:
    from rag_assets.definitions import defs

    specs = [spec for check in defs.asset_checks or [] for spec in check.check_specs]
    parts = [
        "# Checks",
        (
            "`rag-assets ingest` evaluates them after each asset; `rag-assets check` and the job `checks` evaluate "
            "them without materializing anything. A *blocking* check stops the run before the assets that follow. "
            "A check of severity ERROR makes the run and the command fail; one of severity WARN does not."
        ),
    ]
    for asset in dict.fromkeys(spec.asset_key.to_user_string() for spec in specs):
        parts.append(f"## {asset}")
        for spec in (spec for spec in specs if spec.asset_key.to_user_string() == asset):
            parts.append(f"### {spec.name}")
            severity = "WARN" if "When it warns" in (spec.description or "") else "ERROR"
            parts.append(f"Severity {severity}{', blocking' if spec.blocking else ''}. {spec.description}")
    return "\n\n".join(parts)


def dagster_page() -> str:
    import dagster as dg

    from rag_assets.definitions import defs

    parts = [
        "# Assets, jobs, schedules and sensors",
        (
            "What `rag_assets.definitions` shows in Dagster; with `build_definitions(key_prefix=…)` all names have the "
            "prefix ([Your own code location](../guides/code_location.md))."
        ),
        "## Assets",
    ]
    assets = [spec for one in defs.assets or [] if isinstance(one, dg.AssetsDefinition) for spec in one.specs]
    rows = []
    for spec in assets:
        upstream = ", ".join(f"`{dep.asset_key.to_user_string()}`" for dep in spec.deps)
        partitions = spec.partitions_def
        kind = "" if partitions is None else getattr(partitions, "name", None) or "daily"
        rows.append((f"`{spec.key.to_user_string()}`", upstream, kind, spec.description or ""))
    parts.append(table(("asset", "upstream", "partitions", ""), rows))
    jobs = [(f"`{job.name}`", job.description or "") for job in defs.jobs or []]
    parts += ["## Jobs", table(("job", ""), jobs)]
    schedules = [
        (f"`{one.name}`", f"`{one.cron_schedule}`")
        for one in defs.schedules or []
        if isinstance(one, dg.ScheduleDefinition)
    ]
    parts += ["## Schedules", table(("schedule", "cron by default"), schedules)]
    sensors = [f"`{one.name}`" for one in defs.sensors or [] if isinstance(one, dg.SensorDefinition)]
    parts += ["## Sensors", ", ".join(sensors)]
    parts.append(
        "Schedules and sensors are off until they are turned on in the UI, or by `RAG_ASSETS_AUTOMATION=true`. "
        "[Projects and schedules](../guides/projects.md#schedules-and-sensors) says what each does."
    )
    return "\n\n".join(parts)


def tables_page() -> str:
    from sqlalchemy.dialects import postgresql

    from rag_assets.db import models
    from rag_assets.db.models.base import Base
    from rag_assets.db.schema.live_view import LIVE_COLUMNS

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    described = {mapper.local_table: mapper.class_.__doc__ for mapper in Base.registry.mappers}
    assert models
    parts = [
        "# Tables and view",
        (
            "Everything is in the schema `rag`. `rag-assets db upgrade` brings it up to date, `rag-assets db check` "
            "compares it with the models. Read the view [live_chunks](#view-live_chunks) from other programs: it stays "
            "as it is while tables may change between versions."
        ),
        "## View live_chunks",
        "One row a chunk, with the vectors of the live space ([Other clients](../guides/other_clients.md)).",
        table(
            ("column", "type", ""), ((f"`{name}`", f"`{kind}`", text) for name, (kind, text) in LIVE_COLUMNS.items())
        ),
    ]
    for one in sorted(Base.metadata.tables.values(), key=lambda one: one.name):
        parts += [f"## {one.name}", _paragraphs(described.get(one) or "")]
        rows = []
        for column in one.columns:
            notes = [column.doc or ""]
            if column.primary_key:
                notes.append("Primary key.")
            notes += [f"References `{key.target_fullname.removeprefix('rag.')}`." for key in column.foreign_keys]
            kind = column.type.compile(dialect=dialect)
            rows.append(
                (f"`{column.name}`", f"`{kind}`", "yes" if column.nullable else "", " ".join(filter(None, notes)))
            )
        parts.append(table(("column", "type", "null", ""), rows))
    return "\n\n".join(part for part in parts if part)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def api_page() -> str:
    import rag_assets
    from rag_assets import Client, tables, testing
    from rag_assets.search.kinds.memories import MemoryOptions
    from rag_assets.search.kinds.messages import MessageOptions
    from rag_assets.search.request import Options

    errors = [name for name in rag_assets.__all__ if name.endswith("Error")]
    groups = {
        "Clients": ["Client", "AsyncClient"],
        "Dagster": ["build_definitions", "RagPipeline"],
        "Errors": sorted(errors, key=lambda name: (name != "RagAssetsError", name)),
    }
    groups["Values"] = [name for name in rag_assets.__all__ if not any(name in names for names in groups.values())]
    own = testing.__all__
    parts = [
        "# Python API",
        (
            "What stands here is importable from `rag_assets`, `rag_assets.testing` and `rag_assets.tables`, and "
            "stays. Every other module and name is private: it may move or change in any version."
        ),
    ]
    for title in ("Clients", "Values", "Dagster", "Errors"):
        parts.append(f"## {title}")
        parts += [f"::: rag_assets.{name}{API_OPTIONS.get(name, '')}" for name in groups[title]]
        if title == "Clients":
            parts.append("## Options of a search")
            for what, options in (("chunks", Options), ("messages", MessageOptions), ("memories", MemoryOptions)):
                parts += [f"### Of {what}", inspect.getdoc(options) or ""]
            parts += ["## Repositories", "`AsyncClient` has the same methods, to await."]
            for name, repository in _repositories(Client).items():
                parts += [
                    f"### client.{name}",
                    vars(repository).get("__doc__") or "",
                    table(("method", ""), _methods(repository)),
                ]
    parts.append("## rag_assets.testing")
    parts += [f"::: rag_assets.testing.{name}" for name in own if not name.startswith("_")]
    parts += [
        "## rag_assets.tables",
        "Mixins and the base for models of [your own tables](../guides/your_own_table.md), and what creates them: "
        + ", ".join(f"`{name}`" for name in tables.__all__ if name != "create_tables")
        + ", and",
        "::: rag_assets.tables.create_tables",
    ]
    return "\n\n".join(part for part in parts if part)


# Of a value, its fields matter, documented or not; of these two, other pages have the fields.
API_OPTIONS = dict.fromkeys(
    ("Answer", "Hit", "Filters"), "\n    options: {show_if_no_docstring: true}"
) | dict.fromkeys(("Settings", "RagPipeline"), "\n    options: {members: false}")


def _repositories(client: type) -> dict[str, type]:
    properties = {name: value for name, value in vars(client).items() if isinstance(value, property)}
    return {
        name: value.fget.__annotations__["return"]
        for name, value in properties.items()
        if not name.startswith("_") and value.fget is not None
    }


def _methods(repository: type) -> Iterator[tuple[str, str]]:
    for name, method in vars(repository).items():
        if name.startswith("_") or not callable(method):
            continue
        parameters = list(inspect.signature(method).parameters.values())[1:]
        star = any(one.kind is one.KEYWORD_ONLY for one in parameters)
        words = [f"{one.name}={one.default!r}" if one.default is not one.empty else one.name for one in parameters]
        if star:
            words.insert(next(n for n, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY), "*")
        documented = (inspect.getdoc(method) or "").split("\n\n")[0]
        yield f"`{name}({', '.join(words)})`", documented


PAGES: dict[str, Callable[[], str]] = {
    "api": api_page,
    "checks": checks_page,
    "cli": cli_page,
    "dagster": dagster_page,
    "settings": settings_page,
    "tables": tables_page,
}
NOTE = "<!-- Written by docs/reference.py from the code; do not edit. -->\n\n"


def render() -> dict[Path, str]:
    return {FOLDER / f"{name}.md": f"{NOTE}{make().strip()}\n" for name, make in PAGES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 and print the difference")
    mode: Literal["check", "write"] = "check" if parser.parse_args().check else "write"
    stale = False
    for path, text in render().items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        stale = True
        if mode == "write":
            path.write_text(text, encoding="utf-8")
        else:
            diff = difflib.unified_diff(old.splitlines(), text.splitlines(), path.name, "the code", n=0, lineterm="")
            sys.stdout.write("\n".join(diff) + "\n")
    sys.exit("docs/pages/reference is out of date; run: python docs/reference.py" if stale and mode == "check" else 0)


if __name__ == "__main__":
    main()
