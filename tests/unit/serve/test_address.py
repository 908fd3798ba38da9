"""The file with the address of the running server."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from rag_assets.serve.address import FILE_NAME, ServerAddress, read_address, settings_digest
from rag_assets.settings.settings import Settings

URL = "http://127.0.0.1:8000"


def test_only_its_user_may_read_it(tmp_path: Path) -> None:
    address = ServerAddress.new(URL, Settings(), "secret")
    address.write(tmp_path)
    file = tmp_path / FILE_NAME
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_address(tmp_path) == address
    assert "secret" not in repr(address)
    assert [one.name for one in tmp_path.iterdir()] == [FILE_NAME]
    file.chmod(0o644)
    assert read_address(tmp_path) is None
    # A server that ends does not remove the file of the one that came after it.
    ServerAddress.new(URL, Settings(), "next").write(tmp_path)
    address.remove(tmp_path)
    assert file.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": "x"}', '{"url": 1, "nope": 2}'])
def test_a_damaged_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    (tmp_path / FILE_NAME).chmod(0o600)
    assert read_address(tmp_path) is None
    assert read_address(tmp_path / "none") is None


def test_the_digest_depends_on_what_searches_depend_on() -> None:
    settings = Settings()
    digests = {
        settings_digest(settings.model_copy(update=changes), "token")
        for changes in (
            {},
            {"serve_queue": 1},
            {"database_url": SecretStr("postgresql://a:b@c/d")},
            {"database_url": SecretStr("postgresql://a:x@c/d")},
            {"reranker": "cross-encoder"},
        )
    }
    assert len(digests) == 4
