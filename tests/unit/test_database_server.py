"""The locks and digests that decide when the shared test server stops and a template database is reused."""

import fcntl
from pathlib import Path

from tests.support.database.database_server import file_lock, hash_files, try_exclusive_lock


def test_the_digest_follows_names_and_content_and_ignores_compiled_files(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    module = tmp_path / "package" / "module.py"
    module.write_text("x = 1\n")
    before = hash_files([tmp_path / "package"], "18")
    (tmp_path / "package" / "__pycache__").mkdir()
    (tmp_path / "package" / "__pycache__" / "module.pyc").write_bytes(b"x")
    assert hash_files([tmp_path / "package"], "18") == before
    assert hash_files([tmp_path / "package"], "17") != before
    renamed = module.rename(module.with_name("other.py"))
    assert hash_files([tmp_path / "package"], "18") != before
    renamed.rename(module)
    assert hash_files([tmp_path / "package"], "18") == before
    module.write_text("x = 2\n")
    assert hash_files([tmp_path / "package"], "18") != before


def test_only_the_last_holder_of_a_lock_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "users.lock"
    with file_lock(path, fcntl.LOCK_SH) as last:
        with file_lock(path, fcntl.LOCK_SH) as other:
            assert not try_exclusive_lock(other)
        assert try_exclusive_lock(last)
