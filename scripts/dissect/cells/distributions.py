"""Python distributions that only some cells use: they choose a cell's environment and the versions that it holds."""

from collections.abc import Collection
from functools import cache

from packaging.utils import canonicalize_name

from dissect.base.registry import FRAMEWORKS
from dissect.cells.frameworks import framework
from dissect.cells.spec import OperatorSpec, Spec, TrainingMethod, TrainingSpec

FLASH_ATTN = "flash-attn"
"""Compiled from source, so only the cells that use it wait for it."""
_KERNELS = {"flash_attention_2": FLASH_ATTN, "flash_attention_3": "flash-attn-3"}
"""Attention kernel -> its distribution."""
_QUANTIZATION, _ADAPTERS = "bitsandbytes", "peft"


def used_in_training(name: str, method: TrainingMethod) -> frozenset[str]:
    """Those of a training cell: its framework's, and those of kernel, 4-bit base and adapter."""
    return frozenset(framework(name).distributions) | _used_by(method)


def _used_by(method: TrainingMethod) -> set[str]:
    wanted = {
        _KERNELS.get(method.attention): True,
        _QUANTIZATION: method.is_quantized,
        _ADAPTERS: method.trained_adapter is not None,
    }
    return {each for each, used in wanted.items() if each and used}


def used_by_operator(operator: str) -> frozenset[str]:
    """Those of an operator; attention kernels are operators too."""
    return frozenset({_KERNELS[operator]} if operator in _KERNELS else ())


def distributions_of(spec: Spec) -> frozenset[str]:
    """Those without which a cell of training or an operator fails; of a server its start tells."""
    match spec:
        case TrainingSpec():
            own = framework(spec.framework).distributions[:1]
            return frozenset({"torch", "transformers", *own, *_used_by(spec.method)})
        case OperatorSpec():
            return used_by_operator(spec.operator) | {"torch"}
        case _:
            return frozenset()


@cache
def used_by_some() -> frozenset[str]:
    """All that some cell uses and another does not; every cell may use any other distribution."""
    own = (each for name in FRAMEWORKS for each in framework(name).distributions)
    return frozenset([*own, *_KERNELS.values(), _QUANTIZATION, _ADAPTERS])


def held(versions: Collection[str], used: Collection[str]) -> list[str]:
    """Names of the declared versions that a cell holds: all but those of distributions that only others use."""
    unused = used_by_some() - frozenset(used)
    return [name for name in versions if canonicalize_name(name) not in unused]
