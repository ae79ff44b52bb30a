"""The answer to a question, from its candidates alone: ranked settings with ties, and all that is not known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

from dissect.base.outcome import Status
from dissect.config.question import HIGHER_IS_BETTER, Objective, Question, names
from dissect.present.recommend.against import UNTOLD, Told, Verdicts, has_interval
from dissect.present.recommend.candidates import LARGEST, NOT_MEASURED, OWN_RATE, UNSUPPORTED
from dissect.present.recommend.standing import Standing
from dissect.present.tables.columns import NO_ENERGY

Row = Mapping[str, Any]
OUT_OF_MEMORY = (Status.OOM, Status.SKIPPED_OOM)
NEAREST = 3


@dataclass(frozen=True)
class Limit:
    """One bound of a question on a column of the candidates."""

    column: str
    most: float | None = None
    least: float | None = None

    def excess(self, row: Row) -> float:
        """Value over the bound, or bound over the value for a lower bound; above 1 the row is beyond the bound."""
        value: float = row[self.column]
        return value / self.most if self.most else (self.least or 0.0) / max(value, 1e-300)

    def is_close(self, row: Row) -> bool:
        """Whether the bound lies within the interval of the row's number, or the number has none.

        The largest run, such as of memory, is what it is: within its limit or beyond it.
        """
        if self.column in LARGEST:
            return False
        low, high = row[f"{self.column}_low"], row[f"{self.column}_high"]
        bound = self.most or self.least or 0.0
        return low is None or high is None or low < bound < high


@dataclass(frozen=True)
class Standings:
    """One cell of the answer with its standing."""

    row: Row
    standing: Standing
    reason: str = ""
    """Reason why it is beyond a limit, does not fit, or is not known."""
    excess: float = 0.0
    """Largest excess over a limit, as a multiple of that limit."""
    close: tuple[str, ...] = ()
    """Columns whose limit lies within the interval of the number, or that have none: noise could decide."""
    told: str = ""
    """What the verdict against the best rests on."""
    is_on_device: bool = False
    """Whether device times decide that verdict, since wall times do not."""

    def judged(self, told: Told) -> Self:
        """The same cell with what is told of it against the best."""
        return replace(self, standing=told.standing, told=told.words, is_on_device=told.is_on_device)


@dataclass(frozen=True)
class Ranking:
    """Settings that do the same work, best first."""

    work: str
    stand_in: str | None
    """Model that ran in place of the one in the question; None if that one ran."""
    found: Sequence[Standings]
    over: Sequence[Standings]
    """Settings beyond a limit, nearest first."""


@dataclass(frozen=True)
class Answer:
    """Everything known about a question, and what is not."""

    question: Question
    column: str
    """Column that settings are ranked by."""
    rankings: Sequence[Ranking]
    """Rankings by work; those of the model itself come before those of models that stand in for it."""
    out_of_memory: Sequence[Standings]
    """Cells that ran out of memory."""
    unknown: Sequence[Standings]
    impossible: Sequence[Standings]
    never_planned: Sequence[str]
    """Globs over settings that no table plans, though each of their parts is planned elsewhere."""
    elsewhere: Mapping[str, Sequence[str]]
    """Platform of the question without numbers -> those that have some: its relatives, or all if it has none.

    Those with most measured cells come first.
    """

    @property
    def standings(self) -> list[Standings]:
        """All cells that match the question."""
        ranked = [cell for ranking in self.rankings for cell in (*ranking.found, *ranking.over)]
        return [*ranked, *self.out_of_memory, *self.unknown, *self.impossible]


def column_of(question: Question) -> str:
    """The column of the candidates that a question ranks by."""
    serves = question.stage == "serve"
    columns: dict[Objective, str] = {
        "throughput": "tokens_per_s_per_gpu",
        "time": f"latency_{question.percentile}_s" if serves else "seconds_per_million_tokens",
        "cost": "cost_per_million_tokens",
        "energy": "joules_per_token",
        "memory": "memory_gib",
    }
    return columns[question.objective]


def limits_of(question: Question) -> list[Limit]:
    """All bounds of the question."""
    most = {"memory_gib": question.memory_gb} | {
        f"{time}_{question.percentile}_s": getattr(question, f"max_{time}_s") for time in ("ttft", "tpot", "latency")
    }
    limits = [Limit(column, most=bound) for column, bound in most.items() if bound is not None]
    least = question.min_tokens_per_s
    return limits + ([Limit("tokens_per_s", least=least)] if least is not None else [])


def answer(question: Question, rows: Sequence[Row]) -> Answer:
    """Rank measured cells under the question's limits; stage and model must be given, prices comparable."""
    asked = [row for row in rows if _is_asked(question, row)]
    column, limits = column_of(question), limits_of(question)
    placed = [_place(row, column, limits) for row in asked]
    of = {standing: [cell for cell in placed if cell.standing is standing] for standing in Standing}
    works = dict.fromkeys((_stand_in(question, cell.row) or "", cell.row["work"]) for cell in placed if _measured(cell))
    verdicts = Verdicts(rows, column, question.objective)
    rankings = []
    for stand_in, work in sorted(works, key=lambda pair: bool(pair[0])):
        same = [c for c in placed if c.row["work"] == work and (_stand_in(question, c.row) or "") == stand_in]
        found = [cell for cell in same if cell.standing is Standing.BEST]
        over = sorted((cell for cell in same if cell.standing is Standing.OVER), key=lambda cell: cell.excess)
        rankings.append(Ranking(work, stand_in or None, _ranked(found, question, column, verdicts), over))
    never = _never_planned(question, [row for row in rows if row["stage"] == question.stage], asked)
    unknown, impossible = of[Standing.UNKNOWN], of[Standing.IMPOSSIBLE]
    elsewhere = _elsewhere(question, rows)
    return Answer(question, column, rankings, of[Standing.OUT_OF_MEMORY], unknown, impossible, never, elsewhere)


def _elsewhere(question: Question, rows: Sequence[Row]) -> dict[str, list[str]]:
    anywhere = question.model_copy(update={"platform": None})
    asked = [row for row in rows if ended_of(row) is None and _is_asked(anywhere, row)]
    measured = {row["platform"] for row in asked}
    counts = Counter(row["platform"] for row in asked if row["model"] == question.model)
    having = [name for name, _ in counts.most_common()]
    without = [name for name in names(question.platform) if name not in measured]
    relatives = {name: [other for other in having if _family(other) == _family(name)] for name in without}
    return {name: relatives[name] or having for name in without}


def _family(platform: str) -> str:
    """The part of a name that its numbers of GPUs and variants share: ``h200`` of ``h200-x2``."""
    return platform.partition("-")[0]


def _is_asked(question: Question, row: Row) -> bool:
    chosen = all(
        not (wanted := names(getattr(question, axis))) or row[axis] in wanted
        for axis in ("platform", "framework", "method")
    )
    model = row["model"] == question.model or row["stand_in"]
    gpus = question.n_gpus in (None, row["n_gpus"])
    return row["stage"] == question.stage and bool(model) and chosen and gpus


def _stand_in(question: Question, row: Row) -> str | None:
    return None if row["model"] == question.model else str(row["model"])


def _measured(cell: Standings) -> bool:
    return cell.standing in (Standing.BEST, Standing.OVER)


def _place(row: Row, column: str, limits: Sequence[Limit]) -> Standings:
    """The cell's standing: within the limits (``BEST`` until ranked), beyond one of them, or not known."""
    if ended := ended_of(row):
        return Standings(row, *ended)
    if lacking := [name for name in (column, *(limit.column for limit in limits)) if row[name] is None]:
        return Standings(row, Standing.UNKNOWN, why_without(lacking[0], row["objective_ttft_s"] is not None))
    close = tuple(limit.column for limit in limits if limit.is_close(row))
    worst = max(limits, key=lambda limit: limit.excess(row), default=None)
    if worst and worst.excess(row) > 1:
        bound = worst.most or worst.least
        reason = f"{worst.column} is {row[worst.column]:.4g}, the limit is {bound:g}"
        return Standings(row, Standing.OVER, reason, worst.excess(row), close)
    return Standings(row, Standing.BEST, close=close)


def ended_of(row: Row) -> tuple[Standing, str] | None:
    """Standing and reason of a cell without numbers; None for one with."""
    match row["status"]:
        case Status.OK if row["memory_is_held"]:
            return Standing.UNKNOWN, "it runs, but memory is held, so that the speed is that of no card"
        case Status.OK:
            return None
        case status if status in OUT_OF_MEMORY:
            return Standing.OUT_OF_MEMORY, f"{row['reason']}"
        case status if status == UNSUPPORTED:
            return Standing.IMPOSSIBLE, f"{row['reason']}"
        case status:
            return Standing.UNKNOWN, f"{status}: {row['reason']}" if row["reason"] else NOT_MEASURED


def why_without(column: str, searches: bool = False) -> str:
    """Why a measured cell may lack the number of a column; one that ``searches`` a rate has reasons of its own."""
    reason = "a search for a rate found only bounds" if searches else "answers are not streamed"
    if column == "cost_per_million_tokens":
        reason = "its platform has no price"
    elif searches and column in OWN_RATE:
        reason = "a search has a rate of its own: maximise=throughput"
    elif column == "joules_per_token":
        reason = NO_ENERGY
    return f"has no {column}: {reason}"


def _ranked(found: Sequence[Standings], question: Question, column: str, verdicts: Verdicts) -> list[Standings]:
    """Cells by their values; each is told from the best of those that can be: with intervals, and limits that hold."""
    sign = -1 if question.objective in HIGHER_IS_BETTER else 1
    ordered = sorted(found, key=lambda cell: sign * cell.row[column])
    best = next((cell for cell in ordered if has_interval(cell.row, column) and not cell.close), None)
    if best is None:
        return [cell.judged(UNTOLD) for cell in ordered]
    told = {id(cell): verdicts.against(best.row, cell.row) for cell in ordered if cell is not best}
    clear = all(each.standing is not Standing.UNTOLD for each in told.values())
    told[id(best)] = Told(Standing.BEST if clear else Standing.AHEAD)
    return [cell.judged(told[id(cell)]) for cell in ordered]


def _never_planned(question: Question, of_stage: Sequence[Row], asked: Sequence[Row]) -> list[str]:
    """Settings whose every part is planned somewhere in this stage, though no table plans them for this question."""
    platforms = names(question.platform) or list(dict.fromkeys(row["platform"] for row in of_stage))
    wanted = names(question.method), names(question.framework)
    settings = [
        (row["framework"], row["method"])
        for row in of_stage
        if (not wanted[0] or row["method"] in wanted[0]) and (not wanted[1] or row["framework"] in wanted[1])
    ]
    planned = {(row["platform"], row["framework"], row["method"]) for row in asked}
    models = {row["platform"]: row["model"] for row in asked}
    n_gpus = f"*-n{question.n_gpus}" if question.n_gpus else "*"
    return [
        f"{question.stage}/{platform}/{models.get(platform, question.model)}/{framework}/{method}/{n_gpus}"
        for platform, (framework, method) in product(platforms, dict.fromkeys(settings))
        if (platform, framework, method) not in planned
    ]
