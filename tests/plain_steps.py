"""Train Llamas with transformers, PEFT and PyTorch alone, on one GPU, to check cells of this project by.

    python tests/plain_steps.py > tests/data/plain_steps_h200.csv

Prints the median step and the allocator's peak of each setting. The optimizer and the adapters are PyTorch's and PEFT's
defaults, so they differ from those of the cells.
"""

import time
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from plain_rows import write_rows

SIZES = {"llama2-7b": (4096, 11008, 32), "llama2-13b": (5120, 13824, 40)}
"""Model -> width, width of the MLP, and number of layers, which is that of the heads too."""
SETTINGS = (("llama2-7b", "all", 1), ("llama2-7b", "all", 8), ("llama2-7b", "lora", 1), ("llama2-13b", "lora", 1))
"""Model, what trains, and sequences in a step."""
HEAD = ("model", "trains", "batch", "step_s", "peak_gib", "trainable")
TOKENS, VOCABULARY, RANK = 350, 32000, 64
WARMUP, STEPS = 10, 20


def build(model: str, trains: str) -> Any:
    """The model with random weights in bf16, on the GPU."""
    width, mlp, layers = SIZES[model]
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=layers,
        num_key_value_heads=layers,
        max_position_embeddings=4096,
        use_cache=False,
        attn_implementation="eager",
    )
    with torch.device("cuda"):
        built: Any = LlamaForCausalLM(config)
    if trains == "lora":
        adapter = LoraConfig(
            r=RANK, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        built = get_peft_model(built, adapter)
    return built.train()


def measure(model: str, trains: str, batch: int) -> tuple[str, str, int, float, float, int]:
    """A row of the table: seconds of a step, and GiB."""
    built = build(model, trains)
    trained = [each for each in built.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    tokens = torch.randint(VOCABULARY, (batch, TOKENS), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(WARMUP + STEPS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        built(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    peak_gib = torch.cuda.max_memory_allocated() / 2**30
    sizes = sum(each.numel() for each in trained)
    return model, trains, batch, round(median(times[WARMUP:]), 4), round(peak_gib, 2), sizes


if __name__ == "__main__":
    write_rows(HEAD, SETTINGS, measure)
