"""The checks of a first step find parameters that train, or do not, against the spec."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dissect.stages.training.first_step import GradientWatch, check_states  # noqa: E402
from forked_ranks import in_fork  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]


def two_layers() -> Any:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 1))
    model[0].requires_grad_(False)
    return model


def test_a_parameter_out_of_reach_is_an_error() -> None:
    def watch() -> str:
        model = two_layers()
        watch = GradientWatch(model)
        model[1].weight.sum().backward()
        with pytest.raises(RuntimeError) as caught:
            watch.check()
        return str(caught.value)

    assert in_fork(watch) == "no gradient reached 1 parameters that should train, such as 1.bias"


def test_a_frozen_parameter_that_trains_is_an_error() -> None:
    def watch() -> str:
        model = two_layers()
        watch = GradientWatch(model)
        model[0].weight.requires_grad_(True)
        model(torch.ones(1, 3)).backward()
        with pytest.raises(RuntimeError) as caught:
            watch.check()
        return str(caught.value)

    assert in_fork(watch) == "the frozen parameter 0.weight takes a gradient"


def test_states_of_more_than_what_trains_are_an_error() -> None:
    def step() -> str:
        model = two_layers().requires_grad_(True)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.ones(1, 3)).backward()
        optimizer.step()
        check_states(optimizer, 16, 1, 4)
        with pytest.raises(RuntimeError) as caught:
            check_states(optimizer, 4, 1, 2)
        return str(caught.value)

    assert in_fork(step) == "the optimizer keeps states of 16 parameters, of which 4 train on this rank"
