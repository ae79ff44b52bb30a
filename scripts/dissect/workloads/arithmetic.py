"""Parameters, FLOPs and bytes of a training step of a Llama-like decoder, from its architecture alone.

FLOPs count matrix products only, 2mnk for (m x k) by (k x n). Attention is counted over the full square, as a kernel
without a causal shortcut computes it.
"""

from dataclasses import dataclass
from math import prod

from dissect.cells.spec import ModelArchitecture, TrainingSpec
from dissect.config.architecture import linear_sizes
from dissect.workloads import finetuning
from dissect.workloads.dtypes import BYTES

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""Bits per NF4 weight: 4, an 8-bit scale per 64 weights, an fp32 scale per 256 scales (double quantisation)."""


@dataclass(frozen=True)
class ParameterGroups:
    """Numbers of parameters by group; only linear layers of the decoder can be quantised."""

    decoder_linear: int
    """Number of weights of the q, k, v, o, gate, up and down projections over all layers."""
    head: int
    embedding: int
    norms: int

    @property
    def total(self) -> int:
        """Number of parameters in all groups."""
        return self.decoder_linear + self.unquantized

    @property
    def unquantized(self) -> int:
        """Number of parameters that the method Q leaves in full precision and trains."""
        return self.head + self.embedding + self.norms


def parameter_groups(arch: ModelArchitecture) -> ParameterGroups:
    """Numbers of parameters by group; embedding and head are not tied, no layer has a bias."""
    return ParameterGroups(
        decoder_linear=arch.num_hidden_layers * sum(map(prod, linear_sizes(arch).values())),
        head=arch.vocab_size * arch.hidden_size,
        embedding=arch.vocab_size * arch.hidden_size,
        norms=(2 * arch.num_hidden_layers + 1) * arch.hidden_size,
    )


def count_parameters(arch: ModelArchitecture) -> int:
    """Number of parameters of the model."""
    return parameter_groups(arch).total


def count_all(spec: TrainingSpec) -> int:
    """Number of parameters of the cell: those of the model and of an adapter."""
    adapter = spec.method.trained_adapter
    return count_parameters(spec.model) + (adapter.parameters(spec.model) if adapter else 0)


def count_trainable(spec: TrainingSpec) -> int:
    """Number of parameters that the optimizer updates: all, those that Q leaves unquantised, or those of an adapter."""
    groups = parameter_groups(spec.model)
    if adapter := spec.method.trained_adapter:
        return adapter.parameters(spec.model)
    return groups.unquantized if spec.method.is_quantized else groups.total


def model_flops(spec: TrainingSpec, batch: int) -> int:
    """FLOPs of one optimizer step over all GPUs, with ``batch`` sequences on each: the numerator of MFU.

    The backward pass needs twice the forward's: one product for the gradient of each operand. A frozen weight needs
    no gradient, so its layer's backward costs one forward, or none where nothing before it trains.
    """
    if adapter := spec.method.trained_adapter:
        return batch * spec.hardware.n_gpus * finetuning.model_flops(spec, adapter)
    linear, head, attention = _forward_flops(spec)
    linear_passes = 2 if spec.method.is_quantized else 3
    return batch * spec.hardware.n_gpus * (linear_passes * linear + 3 * head + 3 * attention)


def hardware_flops(spec: TrainingSpec, batch: int) -> int:
    """FLOPs of one optimizer step over all GPUs, recomputation included: the numerator of HFU.

    Selective recomputation runs attention's products once more. The other kind runs the forward pass of the decoder
    layers: whole with Megatron-LM, with ZeRO-3 and where they are compiled, else but for the last product of each, the
    down projection, since ``torch.utils.checkpoint`` stops once everything that the backward pass needs is there.
    """
    if spec.method.recomputes_attention_alone:
        _, _, attention = _forward_flops(spec)
        return model_flops(spec, batch) + batch * spec.hardware.n_gpus * attention
    if not spec.method.recompute:
        return model_flops(spec, batch)
    if adapter := spec.method.trained_adapter:
        return batch * spec.hardware.n_gpus * finetuning.recomputing_flops(spec, adapter)
    linear, _, attention = _forward_flops(spec)
    arch = spec.model
    down_projection = 2 * spec.workload.seq_len * arch.num_hidden_layers * prod(linear_sizes(arch)["down_proj"])
    recomputed = linear + attention - (0 if spec.method.repeats_last_product(arch) else down_projection)
    return model_flops(spec, batch) + batch * spec.hardware.n_gpus * recomputed


def optimizer_state_width(spec: TrainingSpec) -> int:
    """Bytes of optimizer states per trained parameter: Adam's two moments and fp32 master weights beside bf16 ones.

    With bf16 states the moments are bf16, and there are no master weights.
    """
    if spec.workload.dtype == "fp32":
        return 2 * BYTES["fp32"]
    return 2 * BYTES["bf16"] if spec.method.states == "bf16" else 3 * BYTES["fp32"]


def frozen_bytes(spec: TrainingSpec) -> float:
    """Bytes of the frozen parameters."""
    groups, width = parameter_groups(spec.model), BYTES[spec.workload.dtype]
    linear = groups.decoder_linear * (NF4_BITS / 8 if spec.method.is_quantized else width)
    if spec.method.trained_adapter:
        return linear + groups.unquantized * width
    return linear if spec.method.is_quantized else 0.0


def _forward_flops(spec: TrainingSpec) -> tuple[int, int, int]:
    """Forward FLOPs of one sequence: (linear layers of the decoder, head, attention products)."""
    arch, seq_len = spec.model, spec.workload.seq_len
    groups = parameter_groups(arch)
    attention = 2 * 2 * seq_len * seq_len * arch.hidden_size * arch.num_hidden_layers
    return 2 * seq_len * groups.decoder_linear, 2 * seq_len * groups.head, attention
