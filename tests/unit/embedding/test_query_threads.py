"""A query is embedded by one thread where the processors are busy, and by all of torch's where they are idle."""

import os

import pytest
import torch

from rag_assets.embedding.encoder import _one_thread_where_processors_are_busy


@pytest.mark.parametrize(("load", "threads"), [(0.0, 3), (1_000.0, 1)])
def test_threads_follow_the_load_of_the_machine(monkeypatch: pytest.MonkeyPatch, load: float, threads: int) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    torch.set_num_threads(3)
    try:
        with _one_thread_where_processors_are_busy():
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
