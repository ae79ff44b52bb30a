"""Pre-training with DeepSpeed: all parameters train, or with Q those that stay unquantised."""

from dissect.machine.device import Device
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec, PretrainSpec
from dissect.stages.training.deepspeed.trainer import DeepSpeedTrainer, build_model, connect, start_engine
from dissect.stages.training.deepspeed.trainer import import_libraries as import_libraries
from dissect.stages.training.deepspeed.trainer import prepare as prepare
from dissect.stages.training.rank import run_training_rank

LEARNING_RATE = 1e-5


def run_rank(spec: PretrainSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell, in a process forked after ``prepare``."""
    return run_training_rank(spec, context, connect, build_trainer)


def build_trainer(spec: DeepSpeedSpec, device: Device) -> DeepSpeedTrainer:
    """Build model, optimizer and engine of the spec on the device."""
    return start_engine(spec, build_model(spec, device), LEARNING_RATE)
