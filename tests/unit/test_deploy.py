"""What can be said of deploy/ without Docker: schemas, names that must agree, and the packages of the images."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rag_assets.cli.runtime.installation import HOMES
from rag_assets.settings.settings import Settings
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
requirements = runpy.run_path(str(DEPLOY / "requirements.py"))["requirements"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("compose-spec", [DEPLOY / "compose.yaml"]),
        ("github-workflows", sorted((ROOT / ".github" / "workflows").glob("*.yml"))),
    ],
    ids=["compose", "workflows"],
)
def test_files_follow_their_schemas(schema: str, files: list[Path]) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(set(COMPOSE["services"]) - {"db"}))
def test_our_processes_have_no_rights_and_no_disk(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)


def test_every_setting_of_the_compose_file_exists() -> None:
    names = {f"RAG_ASSETS_{name.upper()}" for name in Settings.model_fields} | {"DAGSTER_HOME"}
    assert set(COMPOSE["x-rag"]["environment"]) <= names


def test_the_dagster_home_of_the_images_is_the_shipped_one() -> None:
    version, path = re.fullmatch(
        r"/opt/rag/lib/python([\d.]+)/site-packages/(.+)", COMPOSE["x-rag"]["environment"]["DAGSTER_HOME"]
    ).groups()  # type: ignore[union-attr]
    assert f"ARG PYTHON={version}\n" in DOCKERFILE
    assert ROOT / path == HOMES / "workers"


def test_the_workspace_is_the_code_location() -> None:
    [entry] = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    server = entry["grpc_server"]
    assert str(server["port"]) in COMPOSE["services"][server["host"]]["command"]
    # Schedules that were turned on elsewhere stay on.
    assert server["location_name"] == "rag_assets"


def test_the_server_is_healthy_before_anything_is_ingested() -> None:
    # Otherwise `compose up --wait` fails.
    assert "healthcheck" not in COMPOSE["services"]["serve"]
    assert re.findall(r"127\.0\.0\.1:8000/\w+", DOCKERFILE) == ["127.0.0.1:8000/healthz"]


def test_an_image_can_leave_torch_out() -> None:
    names = {canonicalize_name(Requirement(one).name) for one in requirements(["celery"], ["sentence-transformers"])}
    assert {"dagster-postgres", "dagster-celery", "psycopg", "tokenizers"} <= names
    assert not names & {"sentence-transformers", "torch", "rag-assets"}
    assert "sentence-transformers" in {canonicalize_name(Requirement(one).name) for one in requirements([], [])}


def test_what_the_image_copies_is_not_ignored() -> None:
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")}
    copied = {
        one for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for one in line.split()
    }
    assert copied == kept
    assert all((ROOT / one).exists() for one in copied)
