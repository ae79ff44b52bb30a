"""Annotated ranges of a profiled step, which give the trace its structure.

Ranges go around modules of transformers' Llama by their place in the model, and around the functions inside that are no
modules: RoPE, the attention function, the loss. They call the originals, so what is computed stays the same.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from dissect.base.outcome import Phase
from dissect.machine.device import Device
from dissect.ranks.steps import Trainer
from dissect.stages.profile.range_names import GRADIENTS, STEP, phase_range, region_range

if TYPE_CHECKING:
    import torch

_LAYER = {
    "": "decoder_layer",
    "input_layernorm": "rms_norm",
    "post_attention_layernorm": "rms_norm",
    "self_attn": "attention",
    "self_attn.q_proj": "qkv",
    "self_attn.k_proj": "qkv",
    "self_attn.v_proj": "qkv",
    "self_attn.o_proj": "output_projection",
    "mlp": "mlp",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.act_fn": "silu",
    "mlp.down_proj": "down",
}
"""Module of a decoder layer -> region."""
_MODEL = {
    "": "causal_model",
    "model": "model",
    "model.embed_tokens": "embedding",
    "model.rotary_emb": "rope",
    "model.norm": "rms_norm",
    "lm_head": "head",
}
"""Module of the whole model -> region."""


class AnnotatedTrainer:
    """A trainer that records a range around each step, and one around each phase within it."""

    def __init__(self, trainer: Trainer, device: Device) -> None:
        self._trainer, self._device = trainer, device

    def train_step(self, tokens: "torch.Tensor", enter: Callable[[Phase], None]) -> "torch.Tensor":
        """Train one step and wait until the device is idle, so that the step's range ends there; returns the loss."""
        from torch.profiler import record_function

        with record_function(STEP), ExitStack() as current:

            def annotate(phase: Phase) -> None:
                enter(phase)
                current.close()
                current.enter_context(record_function(phase_range(phase)))

            loss = self._trainer.train_step(tokens, annotate)
            self._device.synchronize()
        return loss


@contextmanager
def annotated(model: Any, gradient_work: Iterable[tuple[Any, str]]) -> Iterator[None]:
    """Context with ranges around all modules of a model and around functions that reduce gradients outside of autograd.

    The functions are given by owner and name.
    """
    with ExitStack() as stack:
        for name, region in _MODEL.items():
            stack.enter_context(_around_module(model.get_submodule(name), region))
        for layer in model.model.layers:
            for name, region in _LAYER.items():
                stack.enter_context(_around_module(layer.get_submodule(name), region))
        stack.enter_context(_around_functions(model))
        for owner, name in gradient_work:
            stack.enter_context(_replaced(owner, name, _in_range(getattr(owner, name), GRADIENTS)))
        yield


@contextmanager
def _around_module(module: Any, region: str) -> Iterator[None]:
    """Put a range around the module's forward pass and all its other hooks.

    A recomputed forward pass ends by an exception once everything needed is there, hence ``always_call``.
    """
    from torch.profiler import record_function

    entered: list[Any] = []

    def before(*_: Any) -> None:
        entered.append(record_function(region_range(region)))
        entered[-1].__enter__()

    def after(*_: Any) -> None:
        entered.pop().__exit__(None, None, None)

    handles = [
        module.register_forward_pre_hook(before, prepend=True),
        module.register_forward_hook(after, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _around_functions(model: Any) -> Iterator[None]:
    """Put ranges around RoPE and the attention function, where the attention module finds them, and around the loss."""
    from transformers.models.llama import modeling_llama as llama

    name, functions = model.config._attn_implementation, llama.ALL_ATTENTION_FUNCTIONS
    attention = functions.get_interface(name, llama.eager_attention_forward)
    with _replaced(llama, "apply_rotary_pos_emb", _in_range(llama.apply_rotary_pos_emb, "rope")):
        loss, functions[name] = model.loss_function, _in_range(attention, "attention_function")
        model.loss_function = _in_range(loss, "loss")
        try:
            yield
        finally:
            model.loss_function = loss
            del functions[name]


def _in_range(function: Callable[..., Any], region: str) -> Callable[..., Any]:
    from torch.profiler import record_function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(region_range(region)):
            return function(*args, **kwargs)

    return call


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
