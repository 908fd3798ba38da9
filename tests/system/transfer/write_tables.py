"""Write tables with langchain-postgres and LlamaIndex; runs in their own environment, as
`write_tables.py ADDRESS FILE`: a SQLAlchemy URL, and a JSON file with the vectors by text.
"""

import json
import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_postgres import PGEngine, PGVector
from langchain_postgres import PGVectorStore as LangChainStore
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.vector_stores.postgres import PGVectorStore as LlamaIndexStore

ADDRESS, FILE = sys.argv[1:]
VECTORS = json.loads(Path(FILE).read_text("utf-8"))
DIMENSIONS = len(next(iter(VECTORS.values())))
DOCUMENTS = [
    Document(id="lamp", page_content="A lamp for the desk, of brass.", metadata={"price": 40, "title": "Lamp"}),
    # A heading would begin another chunk.
    Document(id="chair", page_content="# Chairs\n\nA chair of oak.\n\n# Stools\n\nA stool of pine.\n", metadata={}),
]


class Known(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [VECTORS[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return VECTORS[text]


for collection in ("shop", "other"):
    PGVector(Known(), connection=ADDRESS, collection_name=collection, create_extension=False).add_documents(
        DOCUMENTS, ids=[f"{collection}-{one.id}" for one in DOCUMENTS]
    )

engine = PGEngine.from_connection_string(ADDRESS)
engine.init_vectorstore_table("lc_items", DIMENSIONS, id_column="langchain_id")
LangChainStore.create_sync(engine, Known(), "lc_items").add_documents(
    DOCUMENTS, ids=["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]
)

for table, mode, halfvec in (("plain", MetadataMode.NONE, True), ("notes", MetadataMode.EMBED, False)):
    nodes = [
        TextNode(
            id_=f"node-{at}",
            text=one.page_content,
            metadata={**one.metadata, "new": True, "file_size": 7},
            excluded_embed_metadata_keys=["file_size"],
        )
        for at, one in enumerate(DOCUMENTS)
    ]
    for node in nodes:
        node.embedding = VECTORS[node.get_content(mode)]
    LlamaIndexStore.from_params(
        connection_string=ADDRESS,
        async_connection_string=ADDRESS.replace("+psycopg", "+asyncpg"),
        table_name=table,
        embed_dim=DIMENSIONS,
        use_halfvec=halfvec,
    ).add(nodes)
