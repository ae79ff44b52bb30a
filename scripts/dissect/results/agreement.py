"""Whether the samples of a run can be read, and agree with the numbers of its result."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Annotated, Any, Never, TypeVar

from annotated_types import MinLen
from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    ValidationError,
)

from dissect.base.text import controls, without_controls
from dissect.cells.spec import ServeSpec
from dissect.config.arrival import RateSearch
from dissect.metrics.operators import AttentionMetrics, CollectiveMetrics, GemmMetrics, MemcpyMetrics, OperatorMetrics
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.serving import LATE_S, RateProbe, ServingMetrics, count_kept
from dissect.metrics.training import TrainingMetrics
from dissect.results.archives import unpacked
from dissect.results.result import Result
from dissect.results.run_files import KERNELS, REQUESTS, STEPS
from dissect.statistics.estimate import Estimate

TOLERANCE = 1e-4
"""Relative difference that rounding explains."""
LARGEST_BYTES = 256 * 2**20
"""Largest size of an unpacked file of a run."""
_OPERATORS = (GemmMetrics, MemcpyMetrics, CollectiveMetrics, AttentionMetrics)


class SampleLine(BaseModel):
    """What every line of ``steps.jsonl`` has; lines of operators also say which size was measured."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    seconds: Annotated[list[PositiveFloat], MinLen(1)]
    """Of one step or call on each rank."""
    part: str | None = None
    loss: FiniteFloat | None = None


class RequestLine(BaseModel):
    """What is read of a line of ``requests.jsonl.gz``; other fields are for people."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    status: str = "ok"
    t_send_s: NonNegativeFloat | None
    late_s: NonNegativeFloat | None = None
    t_first_token_s: NonNegativeFloat | None = None
    t_end_s: NonNegativeFloat | None = None
    probe: NonNegativeInt | None = None
    prompt_tokens: NonNegativeInt | None = None
    completion_tokens: NonNegativeInt | None = None


Line = TypeVar("Line", SampleLine, RequestLine)


def check_samples(result: Result, files: Mapping[str, bytes]) -> None:
    """Check what is there of the files of a run.

    Raises:
        ValueError: one cannot be read, or disagrees with the result; says which and why.
    """
    checks = {STEPS: _check_steps, REQUESTS: _check_requests, KERNELS: _check_kernels}
    for name, check in checks.items():
        if name in files:
            try:
                check(result, files[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None


def sample_lines(data: bytes) -> list[dict[str, Any]]:
    """Lines of a ``steps.jsonl``, each with seconds.

    Raises:
        ValueError: a line is not such an object.
    """
    return [line.model_dump(exclude_unset=True) for line in _lines(data, SampleLine)]


def finite_json(data: bytes | str) -> Any:
    """JSON without NaN and infinity.

    Raises:
        ValueError: it is no JSON, or has such a number.
    """

    def refuse(constant: str) -> Never:
        raise ValueError(f"has the number {constant}")

    try:
        return json.loads(data, parse_constant=refuse)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def plain_json(data: bytes | str) -> Any:
    """Finite JSON without characters that steer a terminal.

    Raises:
        ValueError: it is no JSON, or has such a number or character.
    """
    value = finite_json(data)
    _refuse_controls(value)
    return value


def _refuse_controls(value: Any) -> None:
    if isinstance(value, str) and controls(value):
        raise ValueError(f"has a control character in {without_controls(value)[:60]!r}")
    if isinstance(value, dict | list):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            _refuse_controls(inner)


def _lines(data: bytes, model: type[Line]) -> list[Line]:
    found = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            found.append(model.model_validate(finite_json(line)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise ValueError(f"line {number}: {where}: {first['msg']}") from None
        except ValueError as error:
            raise ValueError(f"line {number}: is not a JSON object with finite numbers ({error})") from None
    return found


def _check_steps(result: Result, data: bytes) -> None:
    lines, metrics = _lines(data, SampleLine), result.metrics
    if isinstance(metrics, ProfileMetrics):
        metrics = metrics.training
    if isinstance(metrics, TrainingMetrics):
        measured = [max(line.seconds) for line in lines if line.part == "measured"]
        _check_estimate(metrics.step_time_s, measured, "measured steps")
        rate = metrics.tokens_per_step / median(measured)
        if not math.isclose(rate, metrics.tokens_per_s.median, rel_tol=TOLERANCE):
            raise ValueError(f"gives {rate:.6g} tokens/s, the result has {metrics.tokens_per_s.median:.6g}")
    elif isinstance(metrics, _OPERATORS):
        _check_points(metrics, lines)


def _check_points(metrics: OperatorMetrics, lines: Iterable[SampleLine]) -> None:
    samples: dict[str, list[float]] = {}
    for line in lines:
        facts = {name: value for name, value in (line.model_extra or {}).items() if name != "step"}
        samples.setdefault(json.dumps(facts, sort_keys=True), []).append(max(line.seconds))
    for point in metrics.points:
        facts = point.model_dump(mode="json", exclude={"status", "phase", "reason", "timing"})
        found = samples.pop(size := json.dumps(facts, sort_keys=True), [])
        if point.timing:
            _check_estimate(point.timing.call_time_s, found, f"samples of {size}")
    if samples:
        raise ValueError(f"has samples of {next(iter(samples))}, which the result does not have")


def _check_estimate(found: Estimate, samples: Sequence[float], of_what: str) -> None:
    if len(samples) != found.n:
        raise ValueError(f"has {len(samples)} {of_what}, the result has {found.n}")
    if not math.isclose(middle := median(samples), found.median, rel_tol=TOLERANCE):
        raise ValueError(f"the median of its {of_what} is {middle:.6g} s, that of the result {found.median:.6g} s")


def _check_requests(result: Result, data: bytes) -> None:
    lines, metrics = _lines(unpacked(data, LARGEST_BYTES), RequestLine), result.metrics
    if not isinstance(metrics, ServingMetrics):
        return
    if metrics.probes is not None:
        search = result.spec.workload.arrival.search if isinstance(result.spec, ServeSpec) else None
        if search is None:
            raise ValueError("has probes of a search, which its spec does not ask for")
        _check_probes(search, metrics.probes, lines)
        return
    counts = {
        "requests": (len(lines), metrics.requests),
        "prompt tokens": (sum(line.prompt_tokens or 0 for line in lines), metrics.prompt_tokens),
        "completion tokens": (sum(line.completion_tokens or 0 for line in lines), metrics.completion_tokens),
    }
    for what, (there, expected) in counts.items():
        if there != expected:
            raise ValueError(f"has {there} {what}, the result has {expected}")
    latencies = [(line.t_end_s or 0.0) - (line.t_send_s or 0.0) for line in lines]
    ours, wanted = median(latencies), median(metrics.samples.latency_s)
    if not math.isclose(ours, wanted, rel_tol=TOLERANCE, abs_tol=1e-5):
        raise ValueError(f"the median latency of its requests is {ours:.6g} s, that of the result {wanted:.6g} s")


def _check_probes(search: RateSearch, probes: Sequence[RateProbe], lines: Sequence[RequestLine]) -> None:
    """Check the times to the first token of every probe of a search, and how many requests kept its objective."""
    answered: dict[int | None, list[float]] = {}
    late = Counter(line.probe for line in lines if (line.late_s or 0.0) > LATE_S)
    for line in lines:
        if line.status == "ok":
            answered.setdefault(line.probe, []).append((line.t_first_token_s or 0.0) - (line.t_send_s or 0.0))
    for number, probe in enumerate(probes, start=1):
        found = answered.pop(number, [])
        if len(found) != len(probe.ttft_s):
            raise ValueError(f"has {len(found)} answers of probe {number}, the result has {len(probe.ttft_s)}")
        if len(found) != len(probe.tpot_s):
            raise ValueError(
                f"the result has {len(probe.tpot_s)} times per token of {len(found)} answers of probe {number}"
            )
        if not math.isclose(sum(found), sum(probe.ttft_s), rel_tol=TOLERANCE, abs_tol=1e-5 * len(found)):
            raise ValueError(f"the times to the first token of probe {number} are not those of the result")
        # A request that was sent late did not keep it; earlier results count it by its times.
        kept = count_kept(probe.ttft_s, probe.tpot_s, search)
        if not kept - late[number] <= probe.kept <= kept:
            raise ValueError(f"{kept} requests of probe {number} kept the objective, the result has {probe.kept}")
    if answered:
        raise ValueError(f"has answers of probe {next(iter(answered))}, which the result does not have")


def _check_kernels(_: Result, data: bytes) -> None:
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        counts = [(float(row["count"]), float(row["total_us"])) for row in rows if row["name"]]
    except (KeyError, TypeError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(f"is no table of kernels ({error!r})") from None
    if not all(map(math.isfinite, (number for pair in counts for number in pair))):
        raise ValueError("has a number that is not finite")
