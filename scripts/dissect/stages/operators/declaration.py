"""Declarations of the families of operators: labels, runners, and where an operator is unsupported."""

from dissect.cells.operator_families import OperatorFamily
from dissect.config.kinds import DType
from dissect.config.registered import Device

_GPU_KERNELS = {"sdpa_efficient", "flash_attention_2"}


def _collective_constraint(_operator: str, n_gpus: int, _device: Device, _dtype: DType) -> str | None:
    """Why a collective is unsupported: it needs several ranks."""
    return "a collective needs at least two GPUs" if n_gpus == 1 else None


def _one_gpu_constraint(operator: str, n_gpus: int, _device: Device, _dtype: DType) -> str | None:
    """Why any other operator is unsupported: it runs on one GPU."""
    return f"{operator} is measured on one GPU" if n_gpus > 1 else None


def _copy_constraint(operator: str, n_gpus: int, device: Device, dtype: DType) -> str | None:
    """Why a copy is unsupported: copies to a device need one with its own memory."""
    if device == "cpu" and n_gpus == 1 and "device" in operator:
        return f"{operator} needs a device with its own memory"
    return _one_gpu_constraint(operator, n_gpus, device, dtype)


def _kernel_constraint(operator: str, n_gpus: int, device: Device, dtype: DType) -> str | None:
    """Why an attention kernel is unsupported: it needs its own kinds of device and dtype."""
    if n_gpus == 1 and device == "cpu" and operator in _GPU_KERNELS:
        return f"{operator} runs on GPUs only"
    if n_gpus == 1 and operator == "flash_attention_2" and dtype == "fp32":
        return "flash_attention_2 has no fp32"
    return _one_gpu_constraint(operator, n_gpus, device, dtype)


FAMILIES = {
    "gemm": OperatorFamily("matrix products", "dissect.stages.operators.gemm", 1, _one_gpu_constraint),
    "memcpy": OperatorFamily("copies", "dissect.stages.operators.memcpy", 1, _copy_constraint),
    "collectives": OperatorFamily("collectives", "dissect.stages.operators.collectives", 1, _collective_constraint),
    "attention": OperatorFamily("attention", "dissect.stages.operators.attention", 1, _kernel_constraint),
}
