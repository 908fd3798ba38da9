"""Ask the running server of an installation: it has loaded its model, which takes a command seconds."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rag_assets.errors import NotFoundError, UsageError
from rag_assets.search.results import Answer, ChunkCopy, Degraded, Hit
from rag_assets.serve.address import read_address, settings_digest
from rag_assets.settings.settings import Settings

HEALTH_TIMEOUT_S = 0.5
# Beyond the longest time that the server takes, so that it is the one who says so.
MARGIN_S = 5.0


def ask_running_server(settings: Settings, query: str, options: Mapping[str, Any]) -> Answer | None:
    """The answer of the server of this installation; None where none is ready, or it has other settings.

    Raises UsageError for a query or an option that the server refuses.
    """
    address = read_address(settings.state_dir)
    if address is None or address.settings != settings_digest(settings, address.token):
        return None
    parts = urlsplit(address.url)
    if parts.hostname is None:
        return None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        ready = connection.getresponse()
        ready.read()
        if ready.status != 200:
            return None
        if connection.sock is not None:
            connection.sock.settimeout(settings.serve_timeout_s + MARGIN_S)
        headers = {"authorization": f"Bearer {address.token}", "content-type": "application/json"}
        connection.request("POST", "/v1/search", json.dumps({"query": query, **options}), headers)
        response = connection.getresponse()
        found = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    match response.status:
        case 200:
            return _answer(found)
        case 404:
            raise NotFoundError(found["detail"])
        case 422:
            raise UsageError(found["detail"])
        case _:
            return None


def _answer(found: dict[str, Any]) -> Answer:
    hits = [
        Hit(**{**hit, "copies": [ChunkCopy(**copy) for copy in hit.get("copies", ())]}) for hit in found.pop("hits")
    ]
    degraded = found.pop("degraded")
    return Answer(**found, hits=hits, degraded=None if degraded is None else Degraded(**degraded))
