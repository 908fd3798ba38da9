"""Build and install the wheel once per session."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest

from tests.support.installation.wheel_install import ProjectFolder, build_wheel, install_wheel

PROJECTS = Path(__file__).parent


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the wheel is installed."""
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    return install_wheel(build_wheel(folder), folder / "site")


@pytest.fixture
def make_project(site: Path, tmp_path: Path) -> Iterator[Callable[..., ProjectFolder]]:
    """Create a copy of a sample project, or an empty folder; embedded servers below it are stopped at the end."""

    def make(project: str | None = None, **environ: str) -> ProjectFolder:
        folder = tmp_path / "project"
        if project is None:
            folder.mkdir()
        else:
            copytree(PROJECTS / project, folder)
        return ProjectFolder(site, folder, environ)

    yield make
    for data in tmp_path.rglob("postgres/data"):
        from rag_assets.db.server.server import EmbeddedServer

        EmbeddedServer.at(data.parents[1]).stop()
