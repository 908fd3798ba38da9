"""Settings of what a document goes through: parsing, splitting, embedding, indexing, reranking."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from rag_assets.settings.remote_embedding import RemoteEmbeddingSettings


class EmbeddingSettings(RemoteEmbeddingSettings):
    state_dir: Path = Field(
        Path(".rag_assets"),
        description="Folder of the installation: data of the embedded server, DAGSTER_HOME, caches.",
    )
    parse_timeout_s: float = Field(60, gt=0, description="Longest time to parse one document, in seconds.")
    parse_memory_mb: int = Field(2048, ge=256, description="Memory limit of a parser process, in MB.")
    parse_workers: int = Field(2, ge=1, description="Parser processes at a time.")
    max_document_mb: int = Field(
        100, ge=1, description="Largest document, in MB. A larger one is recorded as failed and not read."
    )
    follow_links: bool = Field(
        False,
        description="Read symbolic links to files that are outside of their source. Otherwise, the document of such a "
        "link is empty, and `status` gives the reason.",
    )
    mail_attachments: bool = Field(
        True,
        description="Read the attachments of mails as documents of their own, named `mail.eml!/report.pdf`.",
    )

    max_chunks: int = Field(
        30_000,
        ge=1000,
        multiple_of=1000,
        description="Most chunks of one document, in thousands: some 30 MB of prose, or 15 MB of a table. The text "
        "beyond them is not searchable, and `status` names the document.",
    )
    chunk_tokens: int | None = Field(
        None,
        ge=16,
        description="Most tokens of a chunk, without the model's special tokens. Unset: as many as the model's window "
        "holds, since smaller chunks did not improve results in our measurements.",
    )
    overlap_tokens: int = Field(
        0,
        ge=0,
        description="Tokens that a chunk repeats from the one before it. 0, since an overlap did not improve results "
        "in our measurements.",
    )

    chunk_fill: Literal["full", "short"] = Field(
        "short",
        description="`full`: short sections that follow each other share a chunk, and a chunk takes 60% of its tokens "
        "or more where the text has them. `short`: a section of a quarter chunk or more has a chunk of its own.",
    )

    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="The embedding model. Of sentence-transformers: its name on the hub, or a folder. Over HTTP: "
        "`openai:NAME`, `voyage:NAME` or `cohere:NAME`.",
    )
    model_revision: str | None = Field(
        None,
        description="Commit of the model on the hub. Unset: the newest one. Over HTTP: any name of yours; another one "
        "asks for another space.",
    )
    dimensions: int | None = Field(
        None,
        ge=1,
        description="Leading dimensions of each vector to keep, for models trained for it (Matryoshka). Unset: all. "
        "Over HTTP: the dimensions of the model's vectors, needed for a model that is not known.",
    )
    document_prompt: str | None = Field(
        None, description="Text put before each text that is embedded. Unset: the model's own prompt. `-`: none."
    )
    query_prompt: str | None = Field(
        None, description="Text put before each query. Unset: the model's own prompt. `-`: none."
    )
    normalize: bool = Field(True, description="Scale vectors to length 1.")
    distance: Literal["cosine", "l2", "ip"] | None = Field(
        None, description="Distance between vectors. Unset: the one that the model names, else cosine."
    )
    device: str | None = Field(None, description="Device of the model: cpu, cuda or mps. Unset: the fastest available.")
    backend: Literal["torch", "onnx", "openvino"] = Field(
        "torch",
        description="Library that runs a sentence-transformers model on processors; `onnx` and `openvino` need the "
        "extra of that name. Where its vectors are not those of torch, it asks for another space.",
    )
    allow_pickle: bool = Field(
        False,
        description="Load models whose weights are pickles (`pytorch_model.bin` without a safetensors file). "
        "A pickle can run any code when it is loaded.",
    )
    batch_tokens: int = Field(
        2048, ge=64, description="Most tokens of a batch through the model, padding included. It bounds the memory."
    )

    index_build_memory_mb: int = Field(
        2048, ge=64, description="Most memory for an index build on the server (maintenance_work_mem), in MB."
    )
    index_build_workers: int | None = Field(
        None, ge=0, description="Parallel workers of an index build. Unset: as many as the server allows."
    )
    index_dead_share_limit: float = Field(
        0.5, gt=0, lt=1, description="Share of deleted vectors in an index above which it is rebuilt."
    )
    index_method: Literal["hnsw", "ivfflat"] = Field(
        "hnsw",
        description="Kind of index: hnsw finds more and answers faster, ivfflat is built in a fraction of the time.",
    )
    index_storage: Literal["vector", "halfvec", "bit"] = Field(
        "vector", description="What the index stores of each dimension: 4 bytes (vector), 2 bytes (halfvec) or 1 bit."
    )
    index_parts: int = Field(
        1,
        ge=1,
        le=64,
        description="Parts of an index, each with a graph of its own: for so many vectors that one graph does not fit "
        "into the memory of a build. rag-assets plan recommends a number.",
    )
    oversampling: int = Field(
        16,
        ge=1,
        le=100,
        description="With INDEX_STORAGE=bit: candidates for each wanted hit, which are compared again by their full "
        "vectors.",
    )
    hnsw_m: int = Field(16, ge=2, le=100, description="Links of each vector in the HNSW graph. 16 is pgvector's own.")
    hnsw_ef_construction: int = Field(
        128,
        ge=4,
        le=1000,
        description="Candidates examined to insert a vector into the HNSW graph. At 100,000 vectors, 128 gave a "
        "recall@10 of 0.996 and a build of 29 s, pgvector's 64 gave 0.982 and 17 s.",
    )
    ef_search: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Candidates examined by a search, at least k. Unset: the value stored with the space, which "
        "`rag-assets tune` measures.",
    )

    reranker: str | None = Field(
        None, description="Cross-encoder for searches that ask for reranking: its name on the hub, or a folder."
    )
    reranker_revision: str | None = Field(
        None, description="Commit of the cross-encoder on the hub. Unset: the newest one."
    )
    rerank_candidates: int = Field(
        20, ge=1, le=1000, description="Hits that `rag-assets search --rerank` passes to the cross-encoder."
    )
