"""The page to look with: three static files, which load nothing from elsewhere."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from rag_assets.serve.http.gate import GateLimits
from rag_assets.serve.http.responses import json_response

PAGE = Path(__file__).parents[1] / "page"
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def page_router(limits: GateLimits, ui_url: str | None) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    for path, (name, media_type) in _FILES.items():
        router.add_api_route(path, _file_route((PAGE / name).read_bytes(), media_type), methods=["GET"])

    @router.get("/v1/about")
    async def about() -> Response:
        """What the page needs to know."""
        return json_response({"ui_url": ui_url, "max_k": limits.max_k})

    return router


def _file_route(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def file() -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)

    return file
