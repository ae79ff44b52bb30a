"""Constraints: each gives the reason why a cell is unsupported, which tables print, or None."""

from dissect.cells.cell_id import NO_NAME
from dissect.cells.engines import engine_facts
from dissect.cells.frameworks import framework
from dissect.cells.runners import runners
from dissect.cells.spec import ServeWorkload
from dissect.config.architecture import ModelArchitecture
from dissect.config.environment import Environment
from dissect.config.kinds import OPERATORS_OF_A_MODEL, DType
from dissect.config.knobs import Knobs
from dissect.config.overrides import given
from dissect.config.platform import Platform


def runner_constraint(stage: str, framework: str) -> str | None:
    """Reason if no runner measures the stage with this framework."""
    stages = [known for known, name in runners() if name == framework]
    if stage in stages:
        return None
    *others, last = stages
    known = f"stages {', '.join(others)} and {last}" if others else f"stage {last}"
    return f"{framework} is for the {known}, not for {stage}"


def stage_constraint(stage: str, name: str, knobs: Knobs) -> str | None:
    """Reason if the stage or the framework does not support the knobs that the letters set."""
    if foreign := sorted(given(knobs).keys() - framework(name).knobs.model_fields.keys()):
        return f"{name} does not support {', '.join(foreign)}"
    if knobs.states and knobs.states not in (known := framework(name).states):
        return f"{framework(name).label} trains bf16 weights with states {' or '.join(known)} only"
    adapts = getattr(knobs, "adapter", None) is not None
    if stage == "finetune" and not adapts:
        return "fine-tuning needs an adapter: L, QL or PT"
    if stage != "finetune" and adapts:
        return "adapters are supported in fine-tuning only"
    return None


def shapes_constraint(operator: str, model: str) -> str | None:
    """Reason if an operator needs the shapes of a model and there is none."""
    missing = operator in OPERATORS_OF_A_MODEL and model == NO_NAME
    return f"{operator} needs the shapes of a model" if missing else None


def engine_constraint(
    name: str, platform: Platform, environment: Environment | None, workload: ServeWorkload, n_gpus: int
) -> str | None:
    """Reason if the platform lacks the engine, or the engine does not support the platform or the workload."""
    engine = engine_facts(name)
    if platform.device not in engine.devices:
        return f"{name} runs on GPUs only"
    if environment is None:
        return f"the platform declares no environment for {name}"
    if not engine.python_package and environment.starts_python:
        return f"{engine.label} is not a Python package: the platform must declare its command, container or url"
    if platform.memory_budget_gib and "memory_share" not in engine.adjustable:
        return f"{engine.label} cannot be held to less memory than a GPU has"
    if not engine.splits_models and n_gpus > 1:
        return f"{engine.label} does not support tensor parallelism"
    if workload.dtype not in engine.dtypes:
        return f"{engine.label} does not support {workload.dtype}"
    if workload.calibrate and not (engine.calibrates and environment.starts_python):
        return "calibration needs vLLM's load generator, which this environment lacks"
    return None


def heads_constraint(model: ModelArchitecture, n_gpus: int) -> str | None:
    """Reason if tensor parallelism cannot split the query heads evenly; key-value heads may be copied."""
    if model.num_attention_heads % n_gpus == 0:
        return None
    return f"{model.num_attention_heads} attention heads cannot be split over {n_gpus} GPUs"


def hardware_constraint(platform: Platform, n_gpus: int) -> str | None:
    """Reason if the platform lacks the GPUs, or cannot spread them evenly over its nodes."""
    total = platform.gpus_per_node * platform.nodes
    if n_gpus > total:
        return f"the platform has {total} GPU{'s' if total > 1 else ''}, not {n_gpus}"
    nodes = -(-n_gpus // platform.gpus_per_node)
    return f"{n_gpus} GPUs cannot be spread evenly over {nodes} nodes" if n_gpus % nodes else None


def kernel_constraint(platform: Platform, knobs: Knobs, dtype: DType) -> str | None:
    """Reason if a letter needs a FlashAttention kernel and the platform declares none, or none for the data type."""
    kernel = platform.kernels.flash_attention
    if knobs.flash_attention and kernel is None:
        return "the platform declares no FlashAttention kernel"
    on_gpus = knobs.flash_attention and platform.device != "cpu"
    return f"{kernel} has no fp32" if on_gpus and dtype == "fp32" else None


def prompts_constraint(workload: ServeWorkload, vocab_size: int) -> str | None:
    """Reason if the vocabulary has too few words for prompts that all begin with another one."""
    most = (vocab_size - 1 - workload.warmup_requests) // workload.bursts
    if workload.requests <= most:
        return None
    return f"prompts begin with different words of the vocabulary, so workload.requests may be at most {most}"


def sequence_constraint(positions: int, max_position_embeddings: int) -> str | None:
    """Reason if the sequence is longer than the model supports."""
    if positions <= max_position_embeddings:
        return None
    return f"a sequence of {positions} tokens exceeds the model's {max_position_embeddings} positions"
