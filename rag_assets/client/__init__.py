"""The front door for applications: search, and what an application stores, over one database.

from rag_assets import Client

with Client() as client:
    for hit in client.search("How do I close a file?", k=5).hits:
        print(hit.score, hit.file_path, hit.text)
"""

from rag_assets.client.async_client import AsyncClient
from rag_assets.client.client import Client

__all__ = ["AsyncClient", "Client"]
