"""Time the attention module of Llama2-7B with transformers and PyTorch alone, to check profiles of this project by.

    python tests/plain_attention.py > tests/data/plain_attention_h200.csv

Each setting is captured in CUDA graphs, so the launches of a slow host do not count. A row has the milliseconds of the
forward and of the backward pass of all layers: the time of one layer, times their number.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

from plain_rows import write_rows

WIDTH, HEADS, LAYERS, TOKENS = 4096, 32, 32, 350
SETTINGS = (("eager", 1), ("flash_attention_2", 1), ("eager", 32))
"""Kernel of attention, by transformers' names, and sequences."""
HEAD = ("kernel", "batch", "forward_ms", "backward_ms")
WARMUP, REPLAYS = 5, 200


def captured(work: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """The graph of ``work``, after it ran a few times on a stream of its own, as graphs need."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARMUP):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def milliseconds(graph: torch.cuda.CUDAGraph) -> float:
    """Median of the time that one replay takes on the GPU."""
    times = []
    for _ in range(REPLAYS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return median(times)


def measure(kernel: str, batch: int) -> tuple[str, int, float, float]:
    """A row of the table. The backward pass is what the graph of both takes longer than that of the first."""
    config = LlamaConfig(
        hidden_size=WIDTH, num_attention_heads=HEADS, num_key_value_heads=HEADS, attn_implementation=kernel
    )
    with torch.device("cuda"):
        attention = LlamaAttention(config, layer_idx=0).train()
        rotary = LlamaRotaryEmbedding(config)
        hidden = torch.randn(batch, TOKENS, WIDTH, requires_grad=True)
        gradient = torch.randn(batch, TOKENS, WIDTH)
        lowest = torch.finfo(hidden.dtype).min
        mask = torch.full((TOKENS, TOKENS), lowest).triu(1)[None, None] if kernel == "eager" else None
        positions = rotary(hidden, torch.arange(TOKENS)[None])

    def forward() -> Any:
        return attention(hidden, position_embeddings=positions, attention_mask=mask)[0]

    def both() -> None:
        forward().backward(gradient)
        hidden.grad = None
        for parameter in attention.parameters():
            parameter.grad = None

    first, whole = milliseconds(captured(forward)), milliseconds(captured(both))
    return kernel, batch, round(first * LAYERS, 2), round((whole - first) * LAYERS, 2)


if __name__ == "__main__":
    write_rows(HEAD, SETTINGS, measure)
