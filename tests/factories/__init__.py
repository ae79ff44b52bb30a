"""Specs, results and manifests with realistic content, for any test that needs some."""

from factories.manifests import PLATFORMS, manifest, platform_facts, published_cell, unsupported_cell
from factories.metrics import (
    inspect_metrics,
    operator_metrics,
    profile_metrics,
    sample_lines_of,
    serving_metrics,
    training_metrics,
)
from factories.results import ended_result, gpu, ok_result, provenance
from factories.runs import SPREAD, cell_runs, in_rounds, serving_runs, training_runs
from factories.specs import (
    GIB,
    LLAMA_7B,
    LLAMA_13B,
    LLAMA_70B,
    finetune_spec,
    hardware,
    inspect_spec,
    key_of,
    megatron_spec,
    operator_spec,
    pretrain_spec,
    profile_spec,
    serve_spec,
)

__all__ = [
    "GIB",
    "LLAMA_7B",
    "LLAMA_13B",
    "LLAMA_70B",
    "PLATFORMS",
    "SPREAD",
    "cell_runs",
    "ended_result",
    "finetune_spec",
    "gpu",
    "hardware",
    "in_rounds",
    "inspect_metrics",
    "inspect_spec",
    "key_of",
    "manifest",
    "megatron_spec",
    "ok_result",
    "operator_metrics",
    "operator_spec",
    "platform_facts",
    "pretrain_spec",
    "profile_metrics",
    "profile_spec",
    "provenance",
    "published_cell",
    "sample_lines_of",
    "serve_spec",
    "serving_metrics",
    "serving_runs",
    "training_metrics",
    "training_runs",
    "unsupported_cell",
]
