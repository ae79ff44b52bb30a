"""An answer as lines for a terminal."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from dissect.base.outcome import Flag
from dissect.cells.cell_id import CellId
from dissect.config.catalog import Catalog
from dissect.config.kinds import LETTER_STAGES, Suite
from dissect.config.methods import NAIVE
from dissect.config.question import HIGHER_IS_BETTER, Objective, Question, names
from dissect.present.recommend.against import has_interval
from dissect.present.recommend.answer import Answer, Ranking, Row, Standings, limits_of
from dissect.present.recommend.candidates import NOT_MEASURED, RATES
from dissect.present.recommend.search_lines import OF_SEARCHES, is_search, search_lines
from dissect.present.recommend.standing import Standing
from dissect.present.remeasure_command import command_for
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.on_device import DEVICE_RATE, LABEL
from dissect.present.tables.remarks import origin
from dissect.statistics.judge import MARGIN
from dissect.statistics.numbers import Number, significant_decimals

VERBS = {"pretrain": "Pre-train", "finetune": "Fine-tune", "serve": "Serve"}
AIMS: dict[Objective, str] = {
    "cost": "lowest cost per token",
    "energy": "least energy per token",
    "time": "least time",
    "memory": "least memory",
    "throughput": "highest throughput per GPU",
}
MARKS = {
    Standing.BEST: "best",
    Standing.AHEAD: "ahead",
    Standing.TIED: "no difference",
    Standing.BEHIND: "behind",
    Standing.UNTOLD: "cannot tell",
    Standing.OVER: "beyond a limit",
}
BF16_STATES = "bf16 states"
GROWTH = (
    "growth of latency: median latency of the last quarter of the requests over that of the second; well above 1 they "
    "piled up, so the rate may not hold for longer."
)
MORE_GPUS = "Settings have different numbers of GPUs: maximise=throughput ranks by tokens/s per GPU."
TAKES_ALL = (
    "A server takes the share of its GPU's memory that its settings give it, whatever the model needs: a limit on "
    "memory leaves out larger cards, not models. platform=<name> predicts servers on another card."
)
NEAR_LIMIT = "within noise of its limit"
NO_INTERVAL = "has no interval to hold against its limit"
RANKINGS = 2
"""Most kinds of work whose settings are shown; the CSV has all."""
SHOWN = 3
"""Settings of a ranking that are shown, beside the first of each standing."""
ALWAYS = ("tokens_per_s", "memory_gib")
"""Columns that are shown beside the one that settings are ranked by."""
COST = "cost_per_million_tokens"
"""Column that is shown where there is a price."""
SHOWN_AS = {"seconds_per_million_tokens": "tokens_per_s", "joules_per_token": "tokens_per_joule"}
"""Column that settings are ranked by -> its inverse, which is shown in its place and so ends with the worst."""
REASON = 80
"""Longest reason, in characters."""
CSV = "results/recommend.csv"
"""Where a run of the question leaves all of it."""
_OPEN_BRACKET = re.compile(r"\s*\([^)]*$")


def answer_text(answer: Answer, catalog: Catalog) -> str:
    """The answer on one screen: the best settings, those that come next, and in a line each what is not known."""
    lines = [asked(answer.question), *_without_numbers(answer, catalog), *search_lines(answer)]
    lines += [TAKES_ALL, ""] if answer.question.stage == "serve" and answer.question.memory_gb else [""]
    ordered = sorted(answer.rankings, key=lambda each: (not each.found, bool(each.stand_in), -len(each.found)))
    shown = [ranking for ranking in ordered if ranking.found][:RANKINGS] or ordered[:1]
    for ranking in shown:
        lines += [*_ranking(answer, ranking, catalog.root.suite), ""]
    if not shown:
        is_planned = answer.standings or answer.never_planned
        none = "" if is_planned else f", and no table of the stage {answer.question.stage} has such settings"
        lines += [f"Nothing that fits the question was measured{none}.", ""]
    lines += [*_rest(answer, shown, ordered[len(shown) :]), *_remarks(shown, answer, catalog), *_not_ranked(answer)]
    return "\n".join(lines).rstrip() + "\n"


def _without_numbers(answer: Answer, catalog: Catalog) -> Iterator[str]:
    """What measures on a platform of the question that has no numbers, and which others have some."""
    gpu = {name: platform.gpu.model for name, platform in catalog.platforms.items()}
    for platform, others in answer.elsewhere.items():
        rows = [cell.row for cell in answer.unknown if cell.row["platform"] == platform]
        waiting = [row for row in rows if row["status"] == NOT_MEASURED and not row["memory_is_held"]]
        searches = [row for row in waiting if is_search(row)]
        suite = OF_SEARCHES if searches else catalog.root.suite
        measure = f" To measure: snakemake cells --config select='{_select(waiting)}' suite={suite}" if waiting else ""
        yield f"{platform} has no numbers.{measure}"
        if searches:
            plan = f"llm-dissect plan rates=true suite={suite} select='{_select(searches)}'"
            yield f"To predict the rates that hold: {plan}"
        if others:
            on = "" if gpu[platform] in (gpu[other] for other in others) else ", on other GPUs"
            yield f"There are some of {' and '.join(others)}{on}: platform={others[0]}."


def _select(rows: Iterable[Mapping[str, Any]]) -> str:
    """A glob over the ids of these cells: what they share, and a star for the rest."""
    parts = zip(*map(CellId.of, rows), strict=True)
    return "/".join(part[0] if len({*part}) == 1 else "*" for part in parts)


def _rest(answer: Answer, shown: Sequence[Ranking], others: Sequence[Ranking]) -> list[str]:
    """Kinds of work that are not shown, in one line; of training with their best value if none shown is as good."""
    if not others:
        return []
    within = sum(bool(ranking.found) for ranking in others)
    kept = f", {within} with settings within the limits" if any(ranking.over for ranking in others) else ""
    best = [_best(answer, rankings) for rankings in (shown, others)]
    better = all(best) and min(best, key=lambda row: _order(answer, row)) is best[1]
    told = f" The best value of all is among them: {_value(answer, best[1])}." if better else ""
    return [f"{counted(len(others), 'more kind', 's')} of work{kept}: {CSV} has all.{told}", ""]


def _best(answer: Answer, rankings: Iterable[Ranking]) -> Row:
    """The setting with the best value of any kind of training of the model itself; empty without any."""
    if answer.question.stage not in LETTER_STAGES:
        return {}
    rows = [cell.row for ranking in rankings if not ranking.stand_in for cell in ranking.found]
    return min(rows, key=lambda row: _order(answer, row), default={})


def _order(answer: Answer, row: Row) -> float:
    value: float = row[answer.column]
    return -value if answer.question.objective in HIGHER_IS_BETTER else value


def _value(answer: Answer, row: Row) -> str:
    """A setting with its work and the number that it is ranked by."""
    column = SHOWN_AS.get(answer.column, answer.column)
    headers = numbers_shown(answer.question.percentile, row["currency"])
    header = next(header for header, each in headers.items() if each == column)
    return f"{setting_name(row)}, {row['work']}, {header}: {number_text(row, column)}"


def _not_ranked(answer: Answer) -> Iterator[str]:
    """What is not known, a line for each kind of it."""
    if answer.unknown:
        reasons = Counter(_short(cell.reason) for cell in answer.unknown).most_common(3)
        number = f"{len(answer.unknown)}: " if len(reasons) > 1 else ""
        yield f"Not known: {number}{', '.join(f'{number} × {reason}' for reason, number in reasons)}."
    for title, cells in (("Out of memory", answer.out_of_memory), ("Unsupported", answer.impossible)):
        if cells:
            yield f"{title}: {len(cells)}, such as {CellId.of(cells[0].row)}: {_short(cells[0].reason, end='.')}"
    if answer.never_planned:
        yield f"Never planned: {len(answer.never_planned)}, such as {answer.never_planned[0]}."
    yield f"{CSV} has every setting, with its numbers or its reason."


def _short(reason: str, end: str = "") -> str:
    """It with its end, or whole words of its first ``REASON`` characters, without a bracket that would stay open."""
    if len(reason) <= REASON:
        return reason + end
    return f"{_OPEN_BRACKET.sub('', reason[:REASON].rpartition(' ')[0])}…"


def asked(question: Question) -> str:
    """The question as a sentence."""
    limits = {
        "memory per GPU up to {:g} GB": question.memory_gb,
        f"TTFT {question.percentile} up to {{:g}} s": question.max_ttft_s,
        f"TPOT {question.percentile} up to {{:g}} s": question.max_tpot_s,
        f"latency {question.percentile} up to {{:g}} s": question.max_latency_s,
        "at least {:g} tokens/s": question.min_tokens_per_s,
        "on {:g} GPU" + "s" * (question.n_gpus != 1): question.n_gpus,
    }
    chosen = [" or ".join(names(getattr(question, axis))) for axis in ("platform", "framework", "method")]
    given = [text.format(bound) for text, bound in limits.items() if bound is not None]
    aim = AIMS[question.objective]
    return ", ".join([f"{VERBS[str(question.stage)]} {question.model}", *filter(None, chosen), *given]) + f": {aim}."


def _ranking(answer: Answer, ranking: Ranking, suite: Suite) -> Iterator[str]:
    of = f", with {ranking.stand_in} in place of {answer.question.model}" if ranking.stand_in else ""
    measured = len(ranking.found) + len(ranking.over)
    within = "" if not ranking.over else f", {len(ranking.found)} of them within the limits"
    yield f"{ranking.work}{of}: {counted(measured, 'setting')} measured{within}."
    if ranking.found:
        shown = _telling(ranking.found)
        yield _table(answer, shown)
        hidden = Counter(MARKS[cell.standing] for cell in ranking.found if cell not in shown)
        if hidden:
            yield f"  and {', '.join(f'{number} more: {mark}' for mark, number in hidden.items())}"
        yield from (
            f"  {setting_name(c.row)}: {c.told}" for c in shown if has_interval(c.row, answer.column) and c.told
        )
        if command := _command(ranking, suite):
            yield f"  To tell: {command}"
    if ranking.over:
        nearest = ranking.over[0]
        begin = "Nearest beyond the limits" if ranking.found else "Nothing keeps within the limits; nearest to them"
        yield f"  {begin}: {setting_name(nearest.row)}: {nearest.reason}"


def _telling(found: Sequence[Standings]) -> list[Standings]:
    """The first settings, and the first of each standing."""
    first = {cell.standing: number for number, cell in reversed([*enumerate(found)])}
    return [cell for number, cell in enumerate(found) if number < SHOWN or number == first[cell.standing]]


def _command(ranking: Ranking, suite: Suite) -> str:
    """The command that measures what cannot be told with what it cannot be told from.

    Of one cell in several sets of references it tells nothing.
    """
    if all(cell.standing is not Standing.UNTOLD for cell in ranking.found):
        return ""
    leading = [cell.row for cell in ranking.found if cell.standing in (Standing.AHEAD, Standing.UNTOLD)]
    return command_for(leading, suite) if len({CellId.of(row) for row in leading}) > 1 else ""


def _table(answer: Answer, cells: Sequence[Standings]) -> str:
    """A table of aligned columns, without those that no cell has."""
    currencies = {cell.row["currency"] for cell in cells if cell.row["price_per_gpu_hour"]}
    money = currencies.pop() if len(currencies) == 1 else None
    rows = [_shown(answer, cell, money) for cell in cells]
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    # As a row of the body, since tabulate sets headers two characters wider.
    lines = [columns, *([row[name] for name in columns] for row in rows)]
    text = tabulate(lines, tablefmt="plain", disable_numparse=True)
    return "\n".join(f"  {line.rstrip()}" for line in text.splitlines())


def _shown(answer: Answer, cell: Standings, money: str | None) -> dict[str, str]:
    """The numbers of a row by header; ``money`` is the one currency of the table, None without a price or with more."""
    row = cell.row
    columns = numbers_shown(answer.question.percentile, money)
    limits = (limit.column for limit in limits_of(answer.question))
    priced = {COST} if money is not None else set()
    wanted = {SHOWN_AS.get(answer.column, answer.column), *limits, *ALWAYS, *RATES} | priced
    columns = {header: column for header, column in columns.items() if column in wanted}
    numbers = {header: number_text(row, column) for header, column in columns.items()}
    mark = " ".join([MARKS[cell.standing], *([LABEL] if cell.is_on_device else [])])
    return {"": mark, "setting": setting_name(row), **numbers, "marks": "; ".join(_cell_marks(cell))}


def numbers_shown(percentile: str, currency: str | None) -> dict[str, str]:
    """Header -> column of the candidates, for the numbers that are shown of a setting."""
    money = money_of(currency)
    return {
        "tokens/s": "tokens_per_s",
        "tokens/s, device alone": DEVICE_RATE,
        "tokens/s per GPU": "tokens_per_s_per_gpu",
        "tokens/J": "tokens_per_joule",
        f"tokens per {money}": "tokens_per_price",
        f"{money} per million tokens": "cost_per_million_tokens",
        **{
            f"{time.upper() if time != 'latency' else time} {percentile} (s)": f"{time}_{percentile}_s"
            for time in ("ttft", "tpot", "latency")
        },
        "rate that holds (requests/s)": "held_rate_per_s",
        "next, which does not": "failed_rate_per_s",
        "growth of latency": "latency_growth",
        "memory per GPU (GiB)": "memory_gib",
    }


def _cell_marks(cell: Standings) -> Iterator[str]:
    yield from own_marks(cell.row)
    yield from (f"{column} {NEAR_LIMIT if has_interval(cell.row, column) else NO_INTERVAL}" for column in cell.close)


def own_marks(row: Mapping[str, Any]) -> Iterator[str]:
    """Where a reference result comes from, states other than most have, and the flags of a cell."""
    if row["reference"]:
        yield f"reference {row['reference']}"
    if row["states"] == "bf16":
        yield BF16_STATES
    yield from str(row["flags"] or "").split(";") if row["flags"] else ()


def setting_name(row: Mapping[str, Any]) -> str:
    """Platform, framework, method, GPUs and batch of a candidate."""
    framework = framework_labels().get(row["framework"], row["framework"])
    gpus = counted(
        row["n_gpus"], "process" if row["device"] == "cpu" else "GPU", "es" if row["device"] == "cpu" else "s"
    )
    batch = f", batch {row['batch']}" if row["batch"] else ""
    return f"{row['platform_label']}, {framework}, {row['method']}, {gpus}{batch}"


def counted(number: int, what: str, plural: str = "s") -> str:
    """A number with what it counts, in the plural where there is not one."""
    return f"{number} {what}{plural * (number != 1)}"


def money_of(currency: str | None) -> str:
    """The currency of a price, in words where it has none."""
    return currency or "unit of money"


def cost_words(row: Mapping[str, Any], seconds: Iterable[float], tokens: int) -> list[str]:
    """What a million tokens cost where ``tokens`` take ``seconds`` (value and its ends); [] without a price."""
    price = row["price_per_gpu_hour"]
    if not price:
        return []
    per_million = (price * row["n_gpus"] * each / 3600 * 1e6 / tokens for each in seconds)
    return [Number(*per_million).show(f"{money_of(row['currency'])} per million tokens")]


def number_text(row: Mapping[str, Any], column: str) -> str:
    """The number with its interval if it has one, memory with its source; empty where it is missing."""
    if row[column] is None:
        return ""
    value, low, high = row[column], row.get(f"{column}_low"), row.get(f"{column}_high")
    decimals = significant_decimals(value, 3)
    text = f"{value:,.{decimals}f}"
    if column == "memory_gib":
        return f"{text} by {row['memory_source']}"
    return text if low is None or high is None else f"{text} [{low:,.{decimals}f}–{high:,.{decimals}f}]"


def _remarks(rankings: Sequence[Ranking], answer: Answer, catalog: Catalog) -> list[str]:
    """Notes on the numbers that are shown: marks, stand-ins, letters, sources of prices."""
    marked = [cell for ranking in rankings for cell in _telling(ranking.found)]
    shown = [*marked, *(cell for ranking in rankings for cell in ranking.over[:1])]
    standings = {cell.standing for cell in shown}
    lines = []
    meanings = {
        Standing.AHEAD: "ahead: the best value with an interval, but some others cannot be distinguished from it; "
        "settings are in the order of their values, with or without one.",
        Standing.TIED: f"no difference: the interval of its ratio to the best lies within ± {100 * MARGIN:g} %.",
        Standing.BEHIND: "behind: the interval of its ratio to the best, or of device times where that cannot tell, "
        "excludes 1; at most 5 % of these are expected to be wrong.",
        Standing.UNTOLD: "cannot tell: neither, or too few runs for an interval; two on one start, or three starts, "
        "are needed.",
    }
    lines += [text for standing, text in meanings.items() if standing in standings]
    lines += [
        f"{ranking.stand_in} says how settings of this machine compare, nothing of other models' speed."
        for ranking in rankings
        if ranking.stand_in
    ]
    if answer.question.objective == "time" and len({cell.row["n_gpus"] for cell in marked}) > 1:
        lines.append(MORE_GPUS)
    if any(cell.row["states"] == "bf16" for cell in marked):
        lines.append(f"{BF16_STATES}: gradients and moments are bf16, without the fp32 master weights of the others.")
    if any(cell.row["latency_growth"] for cell in marked):
        lines.append(GROWTH)
    flags = dict.fromkeys(name for cell in marked for name in str(cell.row["flags"] or "").split(";") if name)
    lines += [f"{name}: {Flag(name).meaning}." for name in flags]
    lines += origins([cell.row for cell in shown if cell.row["reference"]])
    lines += _notes(answer, shown, catalog)
    platforms = dict.fromkeys(cell.row["platform"] for cell in shown)
    for name in platforms:
        price = catalog.platforms[name].price
        if price and catalog.root.price is None:
            lines.append(price.sentence(name))
    return [*dict.fromkeys(lines), ""] if lines else []


def origins(rows: Sequence[Row]) -> Iterator[str]:
    """Where reference results come from, a line per set."""
    for name in dict.fromkeys(row["reference"] for row in rows):
        of = sorted((row for row in rows if row["reference"] == name), key=lambda row: str(row["measured_at"]))
        yield f"reference {name}: {origin(of)}."


def _notes(answer: Answer, shown: Sequence[Standings], catalog: Catalog) -> list[str]:
    if answer.question.stage not in LETTER_STAGES:
        return []
    methods = dict.fromkeys(cell.row["method"] for cell in shown if cell.row["method"] != NAIVE)
    notes = [catalog.methods.note(catalog.methods.parse(method, "")) for method in methods]
    return [note for note in notes if note]
