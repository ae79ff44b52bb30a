"""Training with DeepSpeed in every stage: plain data parallel (ZeRO stage 0), ZeRO-2, ZeRO-3 and offloading."""

import multiprocessing
import os
import shlex
import sysconfig
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dissect.machine.device import Device
from dissect.machine.vendor import vendor_of
from dissect.stages.training.deepspeed.configuration import deepspeed_config
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec
from dissect.stages.training.llama_trainer import LlamaTrainer
from dissect.workloads.dtypes import torch_dtype
from dissect.workloads.llama import build_llama, build_nf4_llama, llama_config

if TYPE_CHECKING:
    import torch

_OPERATORS = {"deepspeed_fused_adam": "FusedAdamBuilder", "deepspeed_cpu_adam": "CPUAdamBuilder"}
"""Optimizer -> DeepSpeed's builder of the extension that the optimizer needs."""
LOAD_S = 30.0
"""More seconds than a rank needs to load an extension that is compiled."""


def import_libraries(spec: DeepSpeedSpec) -> None:
    """Import in the parent, once, what the ranks need.

    It must not touch CUDA, which does not survive a fork. So on ``cuda`` bitsandbytes, which does so when imported, is
    left to the ranks; what takes most of that time, torch's compiler, is not.
    """
    os.environ["DS_ACCELERATOR"] = vendor_of(spec.hardware).torch_type
    import deepspeed
    from transformers.integrations.deepspeed import initialize_weights_zero3  # noqa: F401
    from transformers.models.llama import modeling_llama  # noqa: F401

    if vendor_of(spec.hardware).torch_type == "cpu":
        # Compiled for two minutes, used for inference only. DeepSpeed keeps this table for its users to edit.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        if spec.method.quantization == "nf4":
            import bitsandbytes  # noqa: F401
    elif spec.method.quantization == "nf4":
        import_compiler()
    if spec.method.shards_states:  # ZeRO imports it in each rank, and with it torch's compiler
        with suppress(ImportError):  # earlier versions have no such module
            import deepspeed.runtime.zero.muon.muon_optimizer


def import_compiler() -> None:
    """Import what bitsandbytes imports: 1.9 of its 2.4 s. It asks NVML whether there is a GPU, and touches none."""
    import torch._inductor.compile_fx  # noqa: F401


def prepare(spec: DeepSpeedSpec) -> None:
    """Compile in the parent the extension that the optimizer needs.

    On ``cuda`` the compiler asks the GPU for its architecture, so it runs in a process of its own.

    Raises:
        RuntimeError: the extension does not compile.
    """
    if (builder := _OPERATORS.get(spec.method.optimizer)) is None:
        return
    if vendor_of(spec.hardware).torch_type == "cpu":
        compile_extension(builder)
        return
    compiler = multiprocessing.get_context("fork").Process(target=compile_extension, args=(builder,))
    compiler.start()
    compiler.join()
    if compiler.exitcode != 0:
        raise RuntimeError(f"DeepSpeed's {builder} could not compile its extension: see the log above")


def compile_extension(builder_name: str) -> None:
    """Compile and load one of DeepSpeed's extensions; one process per extensions folder at a time.

    torch marks a build by a file ``lock``, which outlives a killed process and would block all later builds. The holder
    of our lock knows that no build is under way, and removes that file unless a rank of a cell beside may have it.
    """
    import torch
    from deepspeed.ops import op_builder
    from filelock import FileLock
    from torch.utils import cpp_extension

    # The one path that torch hands to the linker unquoted; the project's folder may have a space in its name.
    cpp_extension.TORCH_LIB_PATH = shlex.quote(str(Path(torch.__file__).parent / "lib"))
    # The environment's own ninja first: another version of it would not trust the log of this one, and start over.
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root())
    folder.mkdir(parents=True, exist_ok=True)
    builder = getattr(op_builder, builder_name)()
    with FileLock(folder / f"{builder.name}.lock"):
        for stale in (*folder.glob(f"{builder.name}/lock"), *folder.glob(f"*/{builder.name}/lock")):
            remove_left_lock(stale)
        builder.load(verbose=False)


def remove_left_lock(lock: Path) -> None:
    """Remove torch's lock once no rank can have it any more; one that loads an extension takes and removes it itself.

    It would fail where the file is gone, and wait for ever where it stays. The clock of a file server may be ahead of
    this one's, so a lock is also old that has been seen for long enough.
    """
    with suppress(FileNotFoundError):
        made, until = lock.stat().st_mtime, time.monotonic() + LOAD_S
        while time.time() - made < LOAD_S and time.monotonic() < until:
            time.sleep(0.1)
            if (now := lock.stat().st_mtime) != made:  # another rank took it
                made, until = now, time.monotonic() + LOAD_S
        lock.unlink()


class DeepSpeedTrainer(LlamaTrainer):
    """DeepSpeed's engine with the interface that the measured loop needs."""

    def __init__(self, engine: Any, spec: DeepSpeedSpec) -> None:
        shards = spec.hardware.n_gpus if spec.method.zero_stage else 1
        super().__init__(spec, engine.module, engine, engine.basic_optimizer, shards)
        # What reduces, once autograd is through, the gradients that DeepSpeed's hooks have not.
        self.gradient_work = [(engine, "_backward_epilogue")]

    def _backward(self, loss: "torch.Tensor") -> None:
        self._called.backward(loss)

    def _update(self) -> None:
        self._called.step()


def connect() -> None:
    """Make DeepSpeed use torch's process group, and clone it as its engine would do later."""
    import deepspeed
    from deepspeed.utils import groups

    deepspeed.init_distributed()
    groups._get_data_parallel_group()


def start_engine(spec: DeepSpeedSpec, model: Any, learning_rate: float) -> DeepSpeedTrainer:
    """Start the engine with an optimizer for those parameters of the model that require a gradient."""
    import deepspeed

    if spec.method.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=_build_optimizer(spec, trainable, learning_rate),
        model_parameters=trainable,
        config=deepspeed_config(spec),
    )
    return DeepSpeedTrainer(engine, spec)


def build_model(spec: DeepSpeedSpec, device: Device) -> Any:
    """The model on the device: whole, in 4 bits, or (ZeRO-3) sharded while built. Equal seeds give equal weights."""
    llama, workload = llama_config(spec.model, spec.method.attention), spec.workload
    sharded = spec.method.zero_stage == 3
    if not spec.method.is_quantized:
        if sharded:
            return _build_sharded_llama(llama, deepspeed_config(spec), workload.seed)
        return build_llama(llama, workload.dtype, device.torch_device, workload.seed)
    build = partial(build_nf4_llama, llama, workload.dtype, device.torch_device, workload.seed)
    if not sharded:
        return build()
    from dissect.stages.training.deepspeed.sharded_nf4 import shard_nf4

    # ZeRO-3 gathers in one dtype, so the packed weights are stored in that of the others.
    return build(storage=torch_dtype(workload.dtype), built=partial(shard_nf4, deepspeed_config(spec)))


def _build_sharded_llama(llama: Any, config: dict[str, Any], seed: int) -> Any:
    """Build the model under ZeRO-3: shard each parameter once allocated, then gather it once to initialise."""
    import deepspeed
    import torch
    from transformers import LlamaForCausalLM
    from transformers.initialization import no_init_weights
    from transformers.integrations.deepspeed import initialize_weights_zero3

    torch.manual_seed(seed)
    with no_init_weights(), deepspeed.zero.Init(config_dict_or_path=config):
        model = LlamaForCausalLM(llama)
    initialize_weights_zero3(model)
    return model


def _build_optimizer(spec: DeepSpeedSpec, parameters: Iterable["torch.nn.Parameter"], learning_rate: float) -> Any:
    """AdamW in the implementation that the spec names; PyTorch's is the fused one, a single kernel per group."""
    import torch
    from deepspeed.ops.adam import DeepSpeedCPUAdam, FusedAdam

    match spec.method.optimizer:
        case "torch_adamw":
            return torch.optim.AdamW(parameters, lr=learning_rate, fused=True)
        case "deepspeed_fused_adam":
            return FusedAdam(parameters, lr=learning_rate, adam_w_mode=True)
        case "deepspeed_cpu_adam":
            moments = {"fp32_optimizer_states": False} if spec.method.states == "bf16" else {}
            return DeepSpeedCPUAdam(parameters, lr=learning_rate, adamw_mode=True, **moments)
