"""Why a cell cannot exist: each constraint gives a reason, so that tables can print it."""

from dissect.config.kinds import Framework, Stage
from dissect.config.methods import MethodKnobs
from dissect.config.platform import Platform
from dissect.runners import RUNNERS


def runner_constraint(stage: Stage, framework: Framework) -> str | None:
    """There must be a runner."""
    return None if (stage, framework) in RUNNERS else "not built yet"


def hardware_constraint(platform: Platform, n_gpus: int) -> str | None:
    """The platform must have the GPUs, and as many of them on each node."""
    total = platform.gpus_per_node * platform.nodes
    if n_gpus > total:
        return f"the platform has {total} GPUs, not {n_gpus}"
    nodes = -(-n_gpus // platform.gpus_per_node)
    return f"{n_gpus} GPUs cannot be spread evenly over {nodes} nodes" if n_gpus % nodes else None


def kernel_constraint(platform: Platform, knobs: MethodKnobs) -> str | None:
    """F needs a FlashAttention kernel."""
    missing = knobs.flash_attention and platform.kernels.flash_attention is None
    return "the platform names no FlashAttention kernel" if missing else None


def sequence_constraint(seq_len: int, max_position_embeddings: int) -> str | None:
    """The model must have positions for the sequence."""
    if seq_len <= max_position_embeddings:
        return None
    return f"a sequence of {seq_len} tokens exceeds the model's {max_position_embeddings} positions"
