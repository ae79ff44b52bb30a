"""What the families of operators declare: labels, runners, and where an operator cannot be measured."""

from dissect.cells.globs import NO_NAME
from dissect.cells.operator_families import OperatorFamily
from dissect.cells.point import Point
from dissect.config.kinds import OPERATORS_OF_A_MODEL, DType
from dissect.config.platform import Platform

_GPU_KERNELS = {"sdpa_efficient", "flash_attention_2"}


def _collective_constraint(point: Point, _platform: Platform, _dtype: DType) -> str | None:
    """A collective needs several ranks."""
    return "a collective needs at least two GPUs" if point.n_gpus == 1 else None


def _one_gpu_constraint(point: Point, _platform: Platform, _dtype: DType) -> str | None:
    """Everything else runs on one GPU, and needs its model."""
    operator = point.method
    if operator in OPERATORS_OF_A_MODEL and point.model == NO_NAME:
        return f"{operator} needs the shapes of a model"
    return f"{operator} is measured on one GPU" if point.n_gpus > 1 else None


def _copy_constraint(point: Point, platform: Platform, dtype: DType) -> str | None:
    """Copies to a device need one with memory of its own."""
    if platform.device == "cpu" and "device" in point.method:
        return _one_gpu_constraint(point, platform, dtype) or f"{point.method} needs a device with its own memory"
    return _one_gpu_constraint(point, platform, dtype)


def _kernel_constraint(point: Point, platform: Platform, dtype: DType) -> str | None:
    """An attention kernel needs the device and the dtype that it was written for."""
    if reason := _one_gpu_constraint(point, platform, dtype):
        return reason
    if platform.device == "cpu" and point.method in _GPU_KERNELS:
        return f"{point.method} runs on GPUs only"
    if point.method == "flash_attention_2" and dtype == "fp32":
        return "flash_attention_2 has no fp32"
    return None


FAMILIES = {
    "gemm": OperatorFamily("matrix products", "dissect.stages.operators.gemm", 1, _one_gpu_constraint),
    "memcpy": OperatorFamily("copies", "dissect.stages.operators.memcpy", 1, _copy_constraint),
    "collectives": OperatorFamily("collectives", "dissect.stages.operators.collectives", 1, _collective_constraint),
    "attention": OperatorFamily("attention", "dissect.stages.operators.attention", 1, _kernel_constraint),
}
