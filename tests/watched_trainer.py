"""A trainer that counts the work of its steps and the bytes that it holds."""

import json
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dissect.base.outcome import Phase
from dissect.stages.training.torch_trainer import TorchTrainer
from forked_ranks import TINY


class WatchedTrainer(TorchTrainer):
    """Writes down what its latest step did, and what it holds in the midst of it; a base before the real trainer."""

    folder: Path

    def train_step(self, tokens: Any, enter: Callable[[Phase], None]) -> Any:
        from torch.utils.flop_counter import FlopCounterMode

        held: list[int] = []
        self.optimizer.register_step_post_hook(lambda *_: held.append(self.held_bytes()))
        with FlopCounterMode(display=False) as counter:
            loss = super().train_step(tokens, enter)
        # The angles of the rotary embedding come of an outer product, which nobody counts as work of the model.
        angles = TINY.hidden_size // TINY.num_attention_heads * tokens.shape[1]
        seen = {"flops": counter.get_total_flops() - angles, "held": held[-1]}
        (self.folder / str(torch.distributed.get_rank())).write_text(json.dumps(seen))
        return loss

    def moments(self) -> list[Any]:
        """Both moments of AdamW, of all parameters that have them."""
        return [state[name] for state in self.optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]

    @abstractmethod
    def held_bytes(self) -> int:
        """Bytes of parameters, gradients and moments, as the framework keeps them."""
