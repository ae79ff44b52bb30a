"""What letters turn in DeepSpeed."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, PositiveInt, Tag

from dissect.base.model import Model, added
from dissect.config.kinds import Quantization, ZeroStage
from dissect.config.knobs import AdapterKnobs


class Stage3Sizes(Model):
    """Sizes of ZeRO-3 in elements, and how it gathers and reduces."""

    reduce_bucket: PositiveInt
    """Gradients that are reduced together (``reduce_bucket_size``)."""
    prefetch: PositiveInt
    """Parameters that are gathered ahead of their use (``stage3_prefetch_bucket_size``)."""
    persistence: PositiveInt
    """Parameters of a tensor below which it stays whole on every GPU (``stage3_param_persistence_threshold``)."""
    max_live: PositiveInt = added(1_000_000_000)
    """Gathered parameters that a GPU holds at most (``stage3_max_live_parameters``)."""
    max_reuse: PositiveInt = added(1_000_000_000)
    """Parameters that are used again within so many stay gathered (``stage3_max_reuse_distance``)."""
    whole_layers: bool = added(False)
    """Gather a decoder layer at once (a leaf module, ``leaf_module``), in place of each of its linear layers."""
    overlap_comm: bool = added(True)
    """Reduce gradients on a stream of their own (``overlap_comm``)."""
    contiguous_gradients: bool = added(True)
    """Copy gradients into one buffer before they are reduced (``contiguous_gradients``)."""


def _notation(choice: Any) -> str:
    """Which notation is meant, as errors are about no other; its name in parentheses stays out of their paths."""
    return "(sizes)" if isinstance(choice, (dict, Stage3Sizes)) else "(name)"


Stage3Choice = Annotated[
    Annotated[Literal["deepspeed", "authors"], Tag("(name)")] | Annotated[Stage3Sizes, Tag("(sizes)")],
    Discriminator(_notation),
]
"""DeepSpeed's defaults, those of the paper's authors (transformers' ``auto`` values), or sizes of one's own."""


Stage2Choice = Literal["deepspeed", "authors"]
"""DeepSpeed's defaults, which overlap nothing, or those of the paper's authors."""


class DeepSpeedKnobs(AdapterKnobs):
    """ZeRO, offloading and the 4-bit base."""

    zero_stage: ZeroStage | None = None
    """DeepSpeed ZeRO stage; 0 is plain data parallel."""
    offload_optimizer: bool | None = None
    """Keep optimizer states in host memory and step there."""
    offload_parameters: bool | None = None
    """Keep parameters in host memory."""
    stage3_sizes: Stage3Choice | None = None
    """Sizes of ZeRO-3: the paper's ``authors``', ``deepspeed``'s defaults, or a mapping; default: ``authors``."""
    stage2_settings: Stage2Choice | None = None
    """Buckets and overlap of ZeRO-2: the paper's ``authors``' or ``deepspeed``'s defaults; default: ``authors``."""
    quantization: Quantization | None = None
    """``nf4``: 4-bit base with double quantisation."""


KNOBS = DeepSpeedKnobs
