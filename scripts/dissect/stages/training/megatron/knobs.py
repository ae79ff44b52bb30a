"""What letters turn in Megatron-LM."""

from pydantic import PositiveInt

from dissect.config.knobs import Knobs


class MegatronKnobs(Knobs):
    """How the model is split over the GPUs."""

    tensor_parallel: PositiveInt | None = None
    """Megatron-LM: GPUs that share each layer; default: all of a node."""
    pipeline_parallel: PositiveInt | None = None
    """Megatron-LM: stages that share the layers; default: 1."""
    sequence_parallel: bool | None = None
    """Megatron-LM: split the norms' activations over the tensor-parallel GPUs as well."""
    distributed_optimizer: bool | None = None
    """Megatron-LM: shard optimizer states over the data-parallel GPUs."""


KNOBS = MegatronKnobs
