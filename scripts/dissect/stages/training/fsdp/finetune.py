"""Parameter-efficient fine-tuning with PyTorch FSDP2 and PEFT: an adapter trains on a frozen, sharded base."""

from functools import partial

from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.training.fsdp.sharded_trainer import build_trainer, connect
from dissect.stages.training.fsdp.sharded_trainer import import_libraries as import_libraries
from dissect.stages.training.fsdp.sharded_trainer import prepare as prepare
from dissect.stages.training.fsdp.spec import FsdpFinetuneSpec
from dissect.stages.training.rank import run_training_rank

LEARNING_RATE = 2e-4


def run_rank(spec: FsdpFinetuneSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell, in a process forked after ``prepare``."""
    return run_training_rank(spec, context, connect, partial(build_trainer, learning_rate=LEARNING_RATE))
