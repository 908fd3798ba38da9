"""A full disk below an installation: commands say so in one line, and go on when there is room again."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.worker import Command, Ended, Forker

DISK_MB = 190
LEFT_BYTES = 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk in memory, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    # The server runs as another user, who must be able to enter.
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def write_documents(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        parts = (f"# Part {part} of {number}\n\n" + f"word{part * number} " * 60 for part in range(10))
        (folder / f"{number}.md").write_text("\n\n".join(parts))
    return folder


def test_commands_say_that_the_disk_is_full_and_go_on_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    few, many = write_documents(tmp_path / "few", 1), write_documents(tmp_path / "many", 40)
    env = {"RAG_ASSETS_STATE_DIR": str(disk / "state"), "RAG_ASSETS_RETRY_S": "1"}
    folder = tmp_path / "run"
    folder.mkdir()
    forker = Forker()

    def run(*arguments: str) -> Ended:
        return forker.start(Command(arguments, env, str(folder))).wait()

    try:
        assert run("ingest", str(few)).code == 0
        filler = disk / "filler"
        filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - LEFT_BYTES))
        for command in (["ingest", str(many)], ["check"], ["maintain"]):
            ended = run(*command)
            said = [line for line in ended.err.splitlines() if line.startswith("rag-assets: ")]
            assert "Traceback" not in ended.err + ended.out
            assert (ended.code, len(said)) in ((0, 0), (3, 1)), (command, ended)
            assert all("make room" in line for line in said), said
            assert ended.code == 3 or command[0] != "ingest"
        unhealthy = run("status", "--health")
        assert unhealthy.code == 3
        assert "MB" in unhealthy.out or "GB" in unhealthy.out
        assert "make room" in unhealthy.out
        filler.unlink()
        assert run("ingest", str(many)).code == 0
        assert run("check").code == 0
        assert run("db", "stop").code == 0
    finally:
        forker.close()
