"""The code of the page "Your own table" is run as it stands there, in a copy of the installation."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

from rag_assets.db.schema import migrations
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "pages" / "guides" / "your_own_table.md").read_text()

# What the page tells its reader to do by hand; a process of its own, for models cannot be taken back.
FOLLOWED = """
import importlib.util, io, re, sys
from pathlib import Path
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url, text
from rag_assets.db.connections.engines import make_engine
from tests.support.migration_lint import revisions, undeclared
from tests.support.fakes import HashEncoder

root, url, model, use = sys.argv[1:]
spec = importlib.util.spec_from_file_location("rag_assets.db.models.notes", model)
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)

engine = make_engine(make_url(url))
migrations = Path(root)

def alembic(name, *args, **options):
    config = Config(stdout=io.StringIO(), output_buffer=io.StringIO())
    config.set_main_option("script_location", root)
    config.attributes["connection"] = engine
    return getattr(command, name)(config, *args, **options)

made = alembic("revision", "notes", autogenerate=True, rev_id="9001")
locked = undeclared(engine, migrations, revisions(migrations)[-1])
assert locked == set(), locked
alembic("check")
values = {"engine": engine, "encoder": HashEncoder(384)}
exec(compile(Path(use).read_text(), use, "exec"), values)
print("found", [note.title for note in values["found"]])
with engine.connect() as connection:
    index = connection.scalar(text("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_notes_embedding'"))
    print("index", index.partition("USING ")[2])
    print("hashed", connection.scalar(text("SELECT bool_and(content_hash = sha256(content::bytea)) FROM rag.notes")))
alembic("downgrade", "-1")
alembic("upgrade", "head")
alembic("check")
with engine.connect() as connection:
    print("left", connection.scalar(text("SELECT count(*) FROM rag.notes")))
engine.dispose()
"""


@pytest.fixture
def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_table_of_the_page_gets_a_migration_that_runs_and_an_index_that_is_as_written(
    database: URL, tmp_path: Path, blocks: list[str]
) -> None:
    model, use = blocks
    shutil.copytree(migrations.migrations_dir(), tmp_path / "migrations")
    (tmp_path / "notes.py").write_text(model)
    (tmp_path / "use.py").write_text(use)
    arguments = [tmp_path / "migrations", database.render_as_string(hide_password=False)]
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWED, *map(str, arguments), tmp_path / "notes.py", tmp_path / "use.py"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    # The first line is Alembic's, which file it wrote.
    assert done.stdout.splitlines()[1:] == [
        "found ['Whale', 'Tide']",
        "index hnsw (((embedding)::halfvec(384)) halfvec_cosine_ops) WITH (m='16', ef_construction='64')",
        "hashed True",
        "left 0",
    ]
