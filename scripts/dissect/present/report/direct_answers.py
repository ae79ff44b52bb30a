"""Five questions that users ask first, each answered by two settings side by side, with ratio, interval and verdict."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from dissect.base.outcome import Status
from dissect.config.kinds import Suite
from dissect.config.methods import NAIVE
from dissect.present.recommend.against import Row, basis_of, judge_rows
from dissect.present.recommend.answer import OUT_OF_MEMORY
from dissect.present.recommend.answer_text import number_text, own_marks, setting_name
from dissect.present.remeasure_command import MORE, command_for
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.on_device import LABEL
from dissect.statistics.judge import Judgement, RatioVerdict
from dissect.statistics.numbers import Number

SMALL, LARGE = "llama2-7b", "llama2-13b"
GIB_LIMIT = 24
TTFT_S = (1, 2, 5, 10)
"""Limits of the 99th percentile of TTFT that are tried, in seconds."""
SHOWN = 3
"""Comparisons of an answer that are open from the start."""
MOST = 24
"""Comparisons of an answer that the page has."""
_RATE = "tokens_per_s"
_DEFAULTS = {"Z2", "Z3", "ZD", "ZT"}
"""Letters of ZeRO and of its sizes."""
_WHOLE = ("deepspeed", "ddp")
"""Frameworks that shard nothing unless a letter of ZeRO says so."""


@dataclass(frozen=True)
class ShownSide:
    """One of two settings."""

    title: str
    """What tells it from the other."""
    name: str
    key: str | None
    numbers: Sequence[str]
    """Throughput, and what else counts; the outcome in place of them where it has none."""


@dataclass(frozen=True)
class Versus:
    """Two settings side by side."""

    platform: str
    work: str
    """What both do."""
    left: ShownSide
    right: ShownSide
    verdict: str
    """Of the right side against the left one, in words."""
    told: bool
    ratio: str
    basis: str
    command: str
    """What would tell them apart, where nothing does yet."""


@dataclass(frozen=True)
class DirectAnswer:
    """A question with all comparisons that answer it."""

    name: str
    question: str
    what: str
    """What is held against what."""
    pairs: Sequence[Versus]
    left_out: int
    """Comparisons that the page does not have."""
    command: str
    """What measures such a pair, where none is measured."""

    @property
    def short(self) -> str:
        """The first verdict, and where it holds."""
        return f"{self.pairs[0].verdict}, {self.pairs[0].platform}" if self.pairs else "not measured"

    @property
    def told(self) -> bool:
        """Whether the first verdict is one."""
        return bool(self.pairs) and self.pairs[0].told


@dataclass(frozen=True)
class _Pair:
    names: tuple[str, str]
    """What tells the sides apart."""
    left: Row
    right: Row
    is_shown: bool = True
    """Others are of the same family: the best was chosen among all of them."""
    limit: str = ""
    """What the right side keeps within."""
    keeps: bool | None = True
    """Whether the left one does too; None where noise could decide that for a side."""


@dataclass(frozen=True)
class _Asked:
    name: str
    question: str
    what: str
    find: Callable[[Sequence[Row]], Iterable[_Pair]]
    select: str
    """Cells that would answer it."""


def direct_answers(rows: Sequence[Row], suite: Suite) -> list[DirectAnswer]:
    """All five, from the candidates of ``recommend``; those of each answer are one family of verdicts.

    ``suite`` is that of own cells, for the commands that would tell.
    """
    return [_answer(asked, rows, suite) for asked in _ASKED]


def _answer(asked: _Asked, rows: Sequence[Row], suite: Suite) -> DirectAnswer:
    pairs = list(asked.find([row for row in rows if row["status"] in (Status.OK, *OUT_OF_MEMORY)]))
    both = [pair for pair in pairs if _has_rate(pair.left) and _has_rate(pair.right)]
    judged = dict(zip(map(id, both), judge_rows([(each.left, each.right) for each in both], _RATE), strict=True))
    seen = [pair for pair in pairs if pair.is_shown and (_has_rate(pair.left) or _has_rate(pair.right))]
    shown = [_versus(pair, judged.get(id(pair)), suite) for pair in seen]
    gpus = dict.fromkeys(row["platform"] for row in rows if row["device"] == "cuda")
    command = (
        f"snakemake cells --config platforms=[{next(iter(gpus), 'h200-x4')}] suite=full runs={MORE} "
        f"select='{asked.select}'"
    )
    ordered = _telling_first(shown)
    return DirectAnswer(
        asked.name, asked.question, asked.what, ordered[:MOST], len(ordered[MOST:]), "" if ordered else command
    )  # fmt: skip


def _telling_first(pairs: Sequence[Versus]) -> list[Versus]:
    """Verdicts on ratios, then what one side alone can do, then what cannot be told; the first of each kind ahead."""
    ordered = sorted(pairs, key=lambda each: (not each.told, not each.ratio))
    kinds = {(each.left.title, each.told, bool(each.ratio)): each for each in reversed(ordered)}
    return sorted(ordered, key=lambda each: all(each is not first for first in kinds.values()))


def _has_rate(row: Row) -> bool:
    return row["status"] == Status.OK and row[_RATE] is not None


def _versus(pair: _Pair, judged: Judgement | None, suite: Suite) -> Versus:
    left, right = pair.left, pair.right
    work = [left["work"].partition(" (")[0]]
    if left["model"] == right["model"]:
        work.insert(0, left["model"])
    sides = (
        right["platform_label"],
        ", ".join(work),
        _side(pair.names[0], left, right),
        _side(pair.names[1], right, left),
    )
    if judged is None:
        alone = pair.names[0] if _has_rate(left) else pair.names[1]
        return Versus(*sides, f"only {alone} fits", True, "", "", "")
    ratio, basis = Number(judged.ratio, judged.low, judged.high).show("×", bound=1), basis_of(judged, judged.contrast)
    if pair.limit and pair.keeps is False:
        return Versus(*sides, f"only {pair.names[1]} keeps within {pair.limit}", True, ratio, basis, "")
    told = judged.told and pair.keeps is not None
    verdict = f"{pair.names[1]}: {_words(judged)}" if told else "cannot tell"
    within = f", within {pair.limit}" if pair.limit else ""
    command = "" if told else command_for((left, right), suite)
    return Versus(*sides, verdict + within, told, ratio, basis, command)


def _words(judged: Judgement) -> str:
    """The sign in words."""
    where = f" {LABEL}" if judged.before else ""
    if judged.verdict is RatioVerdict.SAME:
        return f"no difference{where}"
    percent = 100 * abs(judged.ratio - 1)
    return f"{percent:.{0 if percent >= 10 else 1}f} % {'faster' if judged.ratio > 1 else 'slower'}{where}"


def _side(title: str, row: Row, other: Row) -> ShownSide:
    numbers = [f"{number_text(row, _RATE)} tokens/s" if _has_rate(row) else "out of memory"]
    if row["memory_gib"] is not None:
        numbers.append(f"{row['memory_gib']:.1f} GiB by {row['memory_source']}")
    if row["stage"] == "serve" and row["ttft_p99_s"] is not None:
        numbers.append(f"TTFT p99 {number_text(row, 'ttft_p99_s')} s")
    if row["held_rate_per_s"] is not None:
        numbers.append(f"{number_text(row, 'held_rate_per_s')} requests/s hold")
    model = [row["model"]] if row["model"] != other["model"] else []
    marks = [mark.replace("_", " ") for mark in own_marks(row) if not mark.startswith("reference ")]
    return ShownSide(title, ", ".join([*model, setting_name(row), *marks]), row["key"], numbers)


def _letters(row: Row) -> frozenset[str]:
    return frozenset() if row["method"] == NAIVE else frozenset(row["method"].split("+"))


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> list[list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def _training(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["stage"] != "serve"]


def _with_most_runs(names: tuple[str, str], lefts: Iterable[Row], rights: Iterable[Row]) -> Iterator[_Pair]:
    """Of several results of the same two settings the pair that tells most: a rate on both sides, then most runs."""
    found = list(product(lefts, rights))
    if found:
        best = max(found, key=lambda two: (all(map(_has_rate, two)), min(row["runs"] or 0 for row in two)))
        yield _Pair(names, *best)


def _by_letter(rows: Sequence[Row]) -> Iterator[_Pair]:
    """FlashAttention against none, all else equal."""

    def key(row: Row) -> Any:
        axes = ("stage", "platform", "model", "framework", "n_gpus", "work")
        return *(row[axis] for axis in axes), _letters(row) - {"F"}

    for same in _grouped(_training(rows), key):
        sides = ([row for row in same if ("F" in _letters(row)) is has] for has in (False, True))
        yield from _with_most_runs(("no FlashAttention", "FlashAttention"), *sides)


def _by_sharding(rows: Sequence[Row]) -> Iterator[_Pair]:
    """ZeRO-3 against ZeRO-2 and against no sharding, with the same other letters."""

    def key(row: Row) -> Any:
        axes = ("stage", "platform", "model", "n_gpus", "work", "states")
        return *(row[axis] for axis in axes), _letters(row) - _DEFAULTS

    for same in _grouped(_training(rows), key):
        sharded = [row for row in same if "Z3" in _letters(row)]
        others = [row for row in same if "Z3" not in _letters(row) and row["framework"] in _WHOLE]
        settings = (_grouped(each, lambda row: (row["framework"], row["method"])) for each in (others, sharded))
        for lefts, rights in product(*settings):
            whole = f"{framework_labels()[lefts[0]['framework']]} without ZeRO"
            less = "ZeRO-2" if "Z2" in _letters(lefts[0]) else whole
            yield from _with_most_runs((less, "ZeRO-3"), lefts, rights)


def _by_model(rows: Sequence[Row]) -> Iterator[_Pair]:
    """13B against 7B, all else equal."""

    def key(row: Row) -> Any:
        return tuple(row[axis] for axis in ("stage", "platform", "framework", "method", "n_gpus", "work"))

    for same in _grouped(rows, key):
        sides = ([row for row in same if row["model"] == model] for model in (SMALL, LARGE))
        yield from _with_most_runs(("7B", "13B"), *sides)


def _by_engine(rows: Sequence[Row]) -> Iterator[_Pair]:
    """The fastest engine under a limit against the next one; the rates that hold come before the bursts.

    The limit of a search is its own objective, which each engine keeps at the rate that its numbers are of. That of
    another load is the shortest which any engine keeps; where none keeps any, the load answers nothing.
    """
    servers = [row for row in rows if row["stage"] == "serve" and _has_rate(row) and row["ttft_p99_s"] is not None]
    loads = _grouped(servers, lambda row: tuple(row[axis] for axis in ("platform", "model", "n_gpus", "work")))
    for same in sorted(loads, key=lambda same: same[0]["objective_ttft_s"] is None):
        limit = objective = same[0]["objective_ttft_s"]
        if objective is None:
            limit = next((limit for limit in TTFT_S if any(row["ttft_p99_s"] <= limit for row in same)), None)
        if limit is None:
            continue
        kept = {row["number"]: objective is not None or _keeps(row, limit) for row in same}
        yield from _first_and_next(same, kept, f"TTFT p99 of {limit:g} s", ("framework",))


def _keeps(row: Row, limit: float) -> bool | None:
    """Whether a server keeps a limit of TTFT; None where noise could decide, as it could any single run."""
    low, high = row["ttft_p99_s_low"], row["ttft_p99_s_high"]
    if high is not None and high <= limit:
        return True
    return False if low is not None and low > limit else None


def _by_memory(rows: Sequence[Row]) -> Iterator[_Pair]:
    """The fastest ways to fine-tune the larger model within the limit, of those that train the same."""
    found = [row for row in rows if row["stage"] == "finetune" and row["model"] == LARGE and _has_rate(row)]
    known = [row for row in found if row["memory_gib"] is not None]
    for same in _grouped(known, lambda row: row["work"]):
        kept = {row["number"]: row["memory_gib"] <= GIB_LIMIT for row in same}
        if any(kept.values()):
            setting = ("platform", "framework", "method", "n_gpus", "batch")
            yield from _first_and_next(same, kept, f"{GIB_LIMIT} GiB", setting)


def _first_and_next(
    same: Sequence[Row], kept: Mapping[int, bool | None], limit: str, setting: Sequence[str]
) -> Iterator[_Pair]:
    """The fastest of those that keep the limit, and the next other setting; all their pairs are one family."""
    ordered = sorted(same, key=lambda row: (kept[row["number"]] is False, -row[_RATE]))
    first = ordered[0]
    other = next((row for row in ordered if any(row[axis] != first[axis] for axis in setting)), None)
    for one, two in combinations(ordered, 2):
        names = [
            framework_labels()[row["framework"]] if row["stage"] == "serve" else row["method"] for row in (two, one)
        ]
        keeps = kept[two["number"]] if kept[one["number"]] else None
        yield _Pair((names[0], names[1]), two, one, one is first and two is other, limit, keeps)


def _both(one: str, other: str) -> str:
    return f"[{one},{other}]"


_PRETRAIN, _FINETUNE = "pretrain/*/{}/deepspeed/{}/*", "finetune/*/{}/deepspeed/{}/*"
_ASKED = (
    _Asked(
        "flash-attention", "What does FlashAttention buy here?",
        "The same training without it (left) and with it (right).", _by_letter,
        _both(_PRETRAIN.format(SMALL, "Z2"), _PRETRAIN.format(SMALL, "F+Z2")),
    ),
    _Asked(
        "zero-3", "Is ZeRO-3 worth it, and against what?",
        "The same training without it, with ZeRO-2 or nothing sharded (left), and with it (right).", _by_sharding,
        _both(_PRETRAIN.format(SMALL, "Z2"), _PRETRAIN.format(SMALL, "Z3")),
    ),
    _Asked(
        "13b-7b", "What does 13B cost against 7B?", "7B (left) and 13B (right), all else equal.", _by_model,
        _both(_FINETUNE.format(SMALL, "L"), _FINETUNE.format(LARGE, "L")),
    ),
    _Asked(
        "engine-ttft", "Which engine under a TTFT?",
        "The fastest engine (right) and the next one (left): at the largest rate at which each keeps its objective, "
        "or of a burst within the shortest of 1, 2, 5 and 10 s that any keeps with 99 % of the requests.", _by_engine,
        f"serve/*/{SMALL}/*/*/*-holds*",
    ),
    _Asked(
        "13b-24gb", f"What is the fastest way to fine-tune 13B in {GIB_LIMIT} GB?",
        "The fastest setting within it (right), and the next one that trains the same (left).", _by_memory,
        f"finetune/*/{LARGE}/*/*/*",
    ),
)  # fmt: skip
