"""For applications' own tests: a deterministic encoder, a database to throw away, and the tests of a source.

from rag_assets import Client
from rag_assets.testing import HashEncoder, temporary_database

with temporary_database() as url, Client(url, encoder=HashEncoder()) as client:
    ada = client.users.create("ada@example.com", display_name="Ada")
"""

from rag_assets.testing.database import temporary_database
from rag_assets.testing.encoder import HashEncoder
from rag_assets.testing.source_conformance import SourceConformance

__all__ = ["HashEncoder", "SourceConformance", "temporary_database"]
