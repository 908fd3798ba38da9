"""An embedding server with the interfaces of OpenAI, Voyage and Cohere, which misbehaves as told.

A behaviour is a function of a request. It returns an Answer, or None to leave the request to the next behaviour; the
last resort is to answer well. All texts of all requests are kept.
"""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rag_assets.testing import HashEncoder
from tests.support.embedding_server.batches import BatchInterface, read_upload
from tests.support.embedding_server.messages import Answer, Request

DIMENSIONS = 8


Behaviour = Callable[[Request], Answer | None]


class EmbeddingServer:
    """Answers with the vectors of a HashEncoder; `accepted` has the texts that were embedded, in order."""

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions
        self.behaviours: list[Behaviour] = []
        self.requests: list[Request] = []
        self.accepted: list[str] = []
        self.most_at_once = 0
        self.url = ""
        self._at_once = 0
        self._encoder = HashEncoder(dimensions)
        self._lock = threading.Lock()
        self.batches = BatchInterface(self.good_content)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of an installation whose model this server is."""
        return {
            "RAG_ASSETS_MODEL": "openai:nobody-knows",
            "RAG_ASSETS_DIMENSIONS": str(self.dimensions),
            "RAG_ASSETS_EMBEDDING_URL": self.url,
        }

    def misbehave(self, behaviour: Behaviour, times: int | None = None) -> None:
        """Ask this behaviour first, `times` times at most."""
        left = [times]

        def limited(request: Request) -> Answer | None:
            with self._lock:
                if left[0] == 0:
                    return None
            answer = behaviour(request)
            with self._lock:
                if answer is not None and left[0] is not None:
                    left[0] -= 1
            return answer

        self.behaviours.insert(0, limited)

    def handle(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            for behaviour in list(self.behaviours):
                answer = behaviour(request)
                if answer is not None:
                    return answer
            with self._lock:
                if request.step != "embed":
                    return self.batches.answer(request)
                self.accepted += request.texts
            return Answer(content=self.good_content(request))
        finally:
            with self._lock:
                self._at_once -= 1

    def vectors(self, request: Request) -> list[list[float]]:
        return [self._encoder.encode_query(text).tolist() for text in request.texts]

    def good_content(self, request: Request) -> dict[str, Any]:
        tokens = sum(len(text.split()) for text in request.texts)
        if request.path.endswith("/embed"):
            return {"embeddings": {"float": self.vectors(request)}, "meta": {"billed_units": {"input_tokens": tokens}}}
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(self.vectors(request))
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": request.body["model"], "usage": usage}


@contextmanager
def running_embedding_server(
    dimensions: int = DIMENSIONS, *, tls: ssl.SSLContext | None = None
) -> Iterator[EmbeddingServer]:
    server = EmbeddingServer(dimensions)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.respond({})

        def do_DELETE(self) -> None:
            self.respond({})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Type"].startswith("multipart/"):
                self.respond({}, read_upload(self.headers["Content-Type"], content))
            else:
                self.respond(json.loads(content))

        def respond(self, body: dict[str, Any], content: bytes | None = None) -> None:
            answer = server.handle(Request(self.path, dict(self.headers.items()), body, self.command, content))
            self.send(answer)

        def send(self, answer: Answer) -> None:
            if answer.reset:
                # Closing with this option resets the connection.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            content = answer.encoded
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if answer.cut is not None:
                content, self.close_connection = content[: answer.cut], True
            try:
                for byte in (content[at : at + 1] for at in range(len(content))) if answer.drip_s else (content,):
                    time.sleep(answer.drip_s)
                    self.wfile.write(byte)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        # A backlog for many requests at a time.
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    http = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
