"""A password of the database is in no output and no log, wherever an address has it and whatever is wrong with it."""

import logging

import pytest

from rag_assets.cli import main
from rag_assets.settings.settings import load_settings

PASSWORD = "s3cr3t-of-the-db"
ADDRESSES = (
    f"postgresql://u:{PASSWORD}@127.0.0.1:1/db",
    f"postgresql://u@127.0.0.1:1/db?password={PASSWORD}",
    f"postgresql://127.0.0.1:1/db?user=u&password={PASSWORD}&nosuch=1",
    f"postgresql://u:{PASSWORD}@127.0.0.1:notaport/db",
    f"postgresql://u:{PASSWORD}@/db?host=/nowhere",
    f"postgresql://u:{PASSWORD}%zz@127.0.0.1:1/db",
    f"postgresql://u:p@ss{PASSWORD}#x@127.0.0.1:1/db",
    f"postgresql://u@127.0.0.1:1/db?sslpassword={PASSWORD}",
    f"mysql://u:{PASSWORD}@127.0.0.1/db",
    f"host=127.0.0.1 port=1 password={PASSWORD} dbname=x",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_command_shows_a_password(
    address: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"DATABASE_URL": address, "RETRY_S": "0", "CONNECT_TIMEOUT_S": "2"}.items():
        monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    monkeypatch.setattr("sys.argv", ["rag-assets", "db", "upgrade"])
    with caplog.at_level(logging.DEBUG), pytest.raises(SystemExit) as ended:
        main.main()
    said = capfd.readouterr()
    assert ended.value.code in (2, 3)
    assert said.err.startswith("rag-assets: ")
    assert said.err.count("\n") == 1
    shown = f"{said.out}{said.err}{caplog.text}{load_settings()!r}{load_settings().model_dump_json()}"
    assert PASSWORD not in shown
