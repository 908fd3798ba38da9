"""Private members of other libraries: which modules use them, and whether the installed versions have them."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import rag_assets
from rag_assets.orchestration.storage.sqlite_storage import TESTED_VERSIONS

PACKAGE = Path(rag_assets.__file__).parent
PROJECT = PACKAGE.parent
ROOMS = sorted(one.name for one in PACKAGE.iterdir() if one.suffix == ".py" or (one / "__init__.py").exists())
LIBRARIES = ("sqlalchemy", "dagster", "psycopg", "dagster_postgres", "dagster_celery")

EVENT_LOG = "dagster._core.storage.event_log.sqlite.sqlite_event_log"

# MODULE:NAME; functions that are called or overridden are listed with their parameters.
PRIVATE_MEMBERS = {
    "db/connections/sqlalchemy_internals.py": [
        "sqlalchemy.util:await_(awaitable)",
        "sqlalchemy.util:greenlet_spawn(fn, args, _require_await, kwargs)",
        "sqlalchemy.util.queue:Empty",
        "sqlalchemy.util.queue:Full",
        "sqlalchemy.util.queue:QueueCommon",
        "sqlalchemy:QueuePool._queue_class",
        "sqlalchemy:QueuePool._create_connection(self)",
        "sqlalchemy:QueuePool._dec_overflow(self)",
        "sqlalchemy:QueuePool._do_get(self)",
        "sqlalchemy:QueuePool._do_return_conn(self, record)",
        "sqlalchemy:QueuePool._inc_overflow(self)",
        "sqlalchemy:QueuePool._invalidate(self, connection, exception, _checkin)",
        "sqlalchemy:QueuePool._invalidate_time",
        "sqlalchemy:QueuePool._max_overflow",
        "sqlalchemy:QueuePool._pool",
        "sqlalchemy:QueuePool._pre_ping",
        "sqlalchemy:Connection._has_events",
        "sqlalchemy:Engine._has_events",
        "sqlalchemy:ColumnElement._generate_cache_key(self)",
        # No underscore, but members of a private class.
        "sqlalchemy.pool.base:_ConnectionRecord.get_connection(self)",
        "sqlalchemy.pool.base:_ConnectionRecord.starttime",
    ],
    "orchestration/storage/dagster_internals.py": [
        "dagster._core.definitions.unresolved_asset_job_definition:UnresolvedAssetJobDefinition",
        "dagster._utils.interrupts:check_captured_interrupt()",
        "dagster._utils.interrupts:pop_captured_interrupt()",
        "dagster:OutputContext._asset_partitions_subset",
        "dagster._core.execution.context.system:StepExecutionContext._metadata_accumulator",
        "dagster._core.execution.context.output:OutputContext.step_context",
        "dagster._core.storage.event_log:EventLogStorage",
        "dagster._utils.concurrency:ConcurrencyClaimStatus",
        "dagster._utils.concurrency:ConcurrencyClaimStatus.with_sleep_interval(self, interval)",
    ],
    "orchestration/storage/dagster_sqlite.py": [
        "dagster._core.storage.sqlite_storage:DagsterSqliteStorage",
        "dagster._core.storage.sqlite_storage:DagsterSqliteStorage._event_log_storage",
        "dagster._core.storage.sqlite_storage:DagsterSqliteStorage._run_storage",
        "dagster._core.storage.runs.sqlite.sqlite_run_storage:SqliteRunStorage",
        "dagster._core.storage.runs.sqlite.sqlite_run_storage:SqliteRunStorage._conn_string",
        f"{EVENT_LOG}:INDEX_SHARD_NAME",
        f"{EVENT_LOG}:SqliteEventLogStorage",
        f"{EVENT_LOG}:SqliteEventLogStorage._base_dir",
        f"{EVENT_LOG}:SqliteEventLogStorage._initialized_dbs",
        f"{EVENT_LOG}:SqliteEventLogStorage._connect(self, shard)",
        f"{EVENT_LOG}:SqliteEventLogStorage._has_asset_key_col_on_connection(self, conn, column_name)",
        f"{EVENT_LOG}:SqliteEventLogStorage._initdb(self, engine, for_index_shard)",
        f"{EVENT_LOG}:SqliteEventLogStorage._instance",
        f"{EVENT_LOG}:SqliteEventLogStorage._store_asset_event(self, conn, event, event_id)",
        f"{EVENT_LOG}:SqliteEventLogStorageWatchdog",
        f"{EVENT_LOG}:SqliteEventLogStorageWatchdog._process_log(self)",
    ],
    "orchestration/storage/dagster_postgres.py": [
        "dagster_postgres.storage:DagsterPostgresStorage._event_log_storage",
        "dagster_postgres.storage:DagsterPostgresStorage._run_storage",
        "dagster_postgres.storage:DagsterPostgresStorage._schedule_storage",
        "dagster_postgres.event_log:PostgresEventLogStorage._engine",
        "dagster_postgres.event_log:PostgresEventLogStorage._instance",
        "dagster_postgres.run_storage:PostgresRunStorage._engine",
        "dagster_postgres.schedule_storage:PostgresScheduleStorage._engine",
    ],
    "orchestration/workers/dagster_launcher.py": [
        "dagster._core.launcher:CheckRunHealthResult",
        "dagster._core.launcher:LaunchRunContext",
        "dagster._core.launcher:WorkerStatus",
        "dagster_celery.launcher:CeleryRunLauncher._instance",
    ],
}

# Public in spite of their underscores: documented members of SQLAlchemy's Row and of named tuples.
PUBLIC = {"_asdict", "_fields", "_make", "_mapping", "_replace"}
# Private members of libraries other than the three.
ELSEWHERE = {("documents/sources/remote.py", "_find")}


def find_problem(member: str) -> str | None:
    """Describe how the installed version differs from the listed member; None if it has the member."""
    parts = re.fullmatch(r"([\w.]+):([\w.]+?)(?:\((.*)\))?", member)
    assert parts is not None
    module, name, parameters = parts.groups()
    library = module.partition(".")[0]
    installed = f"{library} {version(library)}"
    try:
        found: Any = import_module(module)
    except ImportError:
        return f"{installed} has no module {module}, where {name} is expected"
    for part in name.split("."):
        if not hasattr(found, part) and not assigns(found, part):
            return f"{installed} has no {module}:{name}"
        found = getattr(found, part, None)
    if parameters is not None and (actual := ", ".join(inspect.signature(found).parameters)) != parameters:
        return f"{installed} has {module}:{name}({actual}), where ({parameters}) is expected"
    return None


def assigns(owner: object, name: str) -> bool:
    """Whether a method of the class or of its bases sets the attribute."""
    classes = owner.__mro__[:-1] if isinstance(owner, type) else ()
    return any(re.search(rf"\bself\.{name}\b.*=", source_of(cls)) for cls in classes)


@cache
def source_of(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return ""


@pytest.mark.parametrize("member", [member for members in PRIVATE_MEMBERS.values() for member in members])
def test_the_installed_version_has_the_member(member: str) -> None:
    is_storage_member = member in PRIVATE_MEMBERS["orchestration/storage/dagster_sqlite.py"]
    if is_storage_member and Version(version("dagster")) < Version(TESTED_VERSIONS[0]):
        pytest.skip("this version uses Dagster's own storage")
    assert find_problem(member) is None


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        ("sqlalchemy:QueuePool._do_borrow(self)", r"no sqlalchemy:QueuePool\._do_borrow"),
        ("sqlalchemy.pools:QueuePool", r"no module sqlalchemy\.pools"),
        ("sqlalchemy:QueuePool._do_get(self, timeout)", r"QueuePool\._do_get\(self\), where \(self, timeout\)"),
    ],
)
def test_the_problem_of_a_missing_member_names_the_installed_version(member: str, problem: str) -> None:
    assert re.search(rf"sqlalchemy {re.escape(version('sqlalchemy'))} has .*{problem}", str(find_problem(member)))


@pytest.mark.parametrize("module", PRIVATE_MEMBERS)
def test_every_private_member_of_a_module_is_listed(module: str) -> None:
    tree = ast.parse((PACKAGE / module).read_text())
    used = {name for _, name in private_attributes(tree)} | overridden_methods(tree)
    used |= {name for library, name in imports(tree) if is_private_import(library, name)}
    listed = {re.split(r"[.:]", member.partition("(")[0])[-1] for member in PRIVATE_MEMBERS[module]}
    assert used <= listed


@pytest.mark.parametrize("library", ["sqlalchemy", "psycopg", "dagster"])
def test_the_dependency_has_an_upper_bound_that_includes_the_installed_version(library: str) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    [dependency] = [one for one in map(Requirement, project["dependencies"]) if one.name == library]
    assert any(bound.operator == "<" for bound in dependency.specifier)
    assert dependency.specifier.contains(version(library), prereleases=True)


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_module_uses_private_members(room: str) -> None:
    found = []
    for path, tree in modules(room):
        if path in PRIVATE_MEMBERS:
            continue
        found += [f"{path} imports {of}.{name}" for of, name in imports(tree) if is_private_import(of, name)]
        own = names_defined(tree) | PUBLIC
        found += [
            f"{path}:{line} uses {name}"
            for line, name in private_attributes(tree)
            if name not in own and (path, name) not in ELSEWHERE
        ]
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_class_uses_or_overrides_private_members_of_its_bases(room: str) -> None:
    found = []
    for path, tree in modules(room):
        if path in PRIVATE_MEMBERS or not any(isinstance(node, ast.ClassDef) for node in ast.walk(tree)):
            continue
        module = import_module(".".join(("rag_assets", *Path(path).with_suffix("").parts)))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                used = {one for one in own_names(node) if is_private(one)}
                inherited = private_names_of_libraries(getattr(module, node.name))
                found += [f"{path}: {node.name} uses {name}" for name in sorted(used & inherited)]
    assert found == []


def modules(room: str) -> Iterator[tuple[str, ast.Module]]:
    of_room = PACKAGE / room
    for one in sorted(of_room.rglob("*.py") if of_room.is_dir() else [of_room]):
        path = one.relative_to(PACKAGE).as_posix()
        if path != "db/server/run_as.py":  # a script
            yield path, ast.parse(one.read_text())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def is_private_import(module: str, name: str) -> bool:
    parts = module.split(".")
    if parts[0] not in (*LIBRARIES, "dagster_shared", "psycopg_pool"):
        return False
    return any(map(is_private, (*parts, name))) or module.startswith("sqlalchemy.util")


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def private_attributes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each private attribute of an object other than `self`, `cls` and `os`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            of = node.value
            if isinstance(of, ast.Name) and of.id in ("self", "cls", "os"):
                continue
            yield node.lineno, node.attr


def names_defined(tree: ast.AST) -> set[str]:
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return names | {one for one in own_names(tree) if is_private(one)}


def overridden_methods(tree: ast.Module) -> set[str]:
    methods = (node for cls in tree.body if isinstance(cls, ast.ClassDef) for node in ast.walk(cls))
    return {one.name for one in methods if isinstance(one, ast.FunctionDef) and is_private(one.name)} | {
        name for name in own_names(tree) if is_private(name)
    }


def own_names(tree: ast.AST) -> set[str]:
    """Names of attributes of `self`, `cls` and `super()`, and names that classes define."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of = node.value
            is_super = isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"
            if is_super or (isinstance(of, ast.Name) and of.id in ("self", "cls")):
                names.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def private_names_of_libraries(cls: type) -> set[str]:
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in LIBRARIES:
            names |= set(vars(base)) | set(re.findall(r"\bself\.(_\w+)", source_of(base)))
    return {name for name in names if is_private(name)}
