"""`rag-assets db psql` with real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

from rag_assets.settings.settings import Settings

COMMAND = Path(sys.executable).with_name("rag-assets")


def run_psql(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "db", "psql", *arguments], capture_output=True, text=True, env=os.environ | env, check=False
    )


def test_psql_queries_the_database_and_its_exit_code_is_passed_on(settings: Settings, database: URL) -> None:
    result = run_psql("-Atc", "SELECT current_database()")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{database.database}\n", "")
    assert run_psql("-c", "SELECT nonsense").returncode == 1


def test_the_password_is_in_no_argument(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "psql"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "$@"\nls -l "$PGSERVICEFILE" | cut -c1-10\ncat "$PGSERVICEFILE"\n')
    fake.chmod(0o755)
    result = run_psql(
        "-l",
        PATH=f"{fake.parent}{os.pathsep}{os.environ['PATH']}",
        RAG_ASSETS_DATABASE_URL="postgresql://ada:a%3Ab%5Cc@db.example:5433/docs?sslmode=require",
    )
    shown, mode, *lines = result.stdout.splitlines()
    assert (shown, mode) == ("service=rag_assets -l", "-rw-------")
    assert lines == [
        *(
            "[rag_assets]",
            "host=db.example",
            "port=5433",
            "dbname=docs",
            "user=ada",
            r"password=a:b\c",
            "sslmode=require",
        )
    ]
