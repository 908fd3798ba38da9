"""The address of an embedding server, and what the key may do."""

import logging
import subprocess
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest

from rag_assets.embedding.batches import PartlyEncodedError
from rag_assets.embedding.remote.endpoint import resolve_endpoint
from rag_assets.errors import RefusedError, UsageError
from rag_assets.settings.settings import Settings, load_settings
from tests.support.embedding_server.behaviours import fail
from tests.support.embedding_server.messages import Answer
from tests.support.embedding_server.server import EmbeddingServer, running_embedding_server
from tests.unit.embedding.remote.conftest import KEY, MakeEncoder


@pytest.mark.parametrize(
    ("dialect", "given", "url"),
    [
        ("openai", None, "https://api.openai.com/v1/embeddings"),
        ("voyage", None, "https://api.voyageai.com/v1/embeddings"),
        ("cohere", None, "https://api.cohere.com/v2/embed"),
        ("openai", "http://localhost:11434", "http://localhost:11434/v1/embeddings"),
        ("openai", "http://localhost:11434/", "http://localhost:11434/v1/embeddings"),
        ("openai", " http://[::1]:80/api/v1/ ", "http://[::1]:80/api/v1/embeddings"),
        ("openai", "https://x.example/v1/embeddings?version=2", "https://x.example/v1/embeddings?version=2"),
        ("cohere", "https://x.example", "https://x.example/v2/embed"),
    ],
)
def test_the_address_of_requests(dialect: str, given: str | None, url: str) -> None:
    assert resolve_endpoint(dialect, Settings(embedding_url=given, embedding_api_key="k")).url == url


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "api.openai.com needs a key; set RAG_ASSETS_EMBEDDING_API_KEY"),
        ({"URL": "ftp://x"}, r"RAG_ASSETS_EMBEDDING_URL: no address that begins with http"),
        ({"URL": "http://"}, "RAG_ASSETS_EMBEDDING_URL is no address"),
        ({"URL": "http://x:port/"}, "RAG_ASSETS_EMBEDDING_URL is no address"),
        ({"URL": "http://[::1/"}, "RAG_ASSETS_EMBEDDING_URL is no address"),
        ({"API_KEY_FILE": "/nowhere/key"}, r"/nowhere/key cannot be read \(No such file"),
        ({"API_KEY_FILE": "/dev/null"}, "/dev/null is empty"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"RAG_ASSETS_EMBEDDING_{name}", value)
    with pytest.raises(UsageError, match=message):
        resolve_endpoint("openai", load_settings())


def test_the_key_may_be_in_a_file(server: EmbeddingServer, make_encoder: MakeEncoder, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    make_encoder(embedding_api_key=None, embedding_api_key_file=file).encode(["one"])
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_credentials_of_the_address_are_sent_and_not_shown(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    url = server.url.replace("://", "://ada:s%40cret@")
    encoder = make_encoder(embedding_url=url, embedding_api_key=None)
    encoder.encode(["one"])
    assert server.requests[0].headers["Authorization"] == "Basic YWRhOnNAY3JldA=="
    server.misbehave(fail(404))
    with pytest.raises(PartlyEncodedError) as caught:
        encoder.encode(["two"])
    assert "ada" not in str(caught.value.stopped)


@pytest.mark.parametrize("key", ["zwölf", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused(make_encoder: MakeEncoder, key: str) -> None:
    with pytest.raises(PartlyEncodedError) as caught:
        make_encoder(embedding_api_key=key).encode(["one"])
    assert isinstance(caught.value.stopped, UsageError)
    assert key not in str(caught.value.stopped)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(server: EmbeddingServer, make_encoder: MakeEncoder, status: int) -> None:
    with running_embedding_server() as elsewhere:
        server.misbehave(lambda _: Answer(status, b"", {"Location": f"{elsewhere.url}/embeddings"}))
        with pytest.raises(RefusedError, match=f"redirects to {elsewhere.url}/embeddings"):
            make_encoder().encode_query("one")
        assert not elsewhere.requests


def test_the_key_is_in_no_log(
    server: EmbeddingServer, make_encoder: MakeEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rag_assets")
    encoder = make_encoder()
    server.misbehave(fail(503, f"busy for {KEY}"), times=1)
    encoder.encode(["one"])
    assert "status 503: busy for …; repeated in" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(encoder.endpoint)
    assert KEY not in repr(load_settings())


def test_no_secure_connection(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(embedding_url=server.url.replace("http://", "https://"))
    with pytest.raises(RefusedError, match=r"no secure connection to https://127.0.0.1.*RAG_ASSETS_EMBEDDING_URL"):
        encoder.encode_query("one")


def test_a_certificate_of_an_unknown_authority(
    make_encoder: MakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files: list[Any] = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with running_embedding_server(tls=tls) as secure:
        with pytest.raises(RefusedError, match="SSL_CERT_FILE to the certificates of its authority"):
            make_encoder(embedding_url=secure.url).encode_query("one")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert make_encoder(embedding_url=secure.url).encode_query("one").shape == (8,)
        assert len(secure.requests) == 1
