"""GPU hours and money that the cells of a plan are predicted to take."""

from collections.abc import Iterator, Sequence

import pandas as pd

from dissect.config.catalog import Catalog
from dissect.config.price import price_that_counts
from dissect.present.run_times import ExpectedRun

UNNAMED = "units of money"
"""What a price without a currency is in."""
RUN_S = ["run_s", "run_low_s", "run_high_s"]
GPU_HOURS = ["gpu_hours", "gpu_hours_low", "gpu_hours_high"]
COST = ["cost", "cost_low", "cost_high"]
TRIES = ["tries", "tries_fewest", "tries_most"]
SEARCH = [*TRIES, "search_s"]
"""Trials of a search for the largest batch, or rates that one for the rate that holds tries, and their seconds."""
COLUMNS = [*RUN_S, "run_s_from", "needs_s", "budget_s", *SEARCH, "new_runs", *GPU_HOURS, *COST, "currency"]
"""Predicted wall time of a run, what it needs of its budget, the runs that a cell lacks, their GPU hours and cost."""


def cost_columns(run: ExpectedRun, runs: int, n_gpus: int, price: tuple[float, str] | None) -> dict[str, object]:
    """Wall time of a run, GPU hours and cost of ``runs`` of a cell; empty without any, or without a prediction."""
    wall = run.wall
    if wall is None or not runs:
        return {}
    ends = (wall.seconds, wall.low_s, wall.high_s)
    hours = [seconds * runs * n_gpus / 3600 for seconds in ends]
    found: dict[str, object] = dict(zip(RUN_S, ends, strict=True)) | {"run_s_from": wall.origin}
    found |= {"needs_s": wall.needs_s, "budget_s": wall.budget_s} if wall.needs_s else {}
    found |= dict(zip(SEARCH, (*run.tries, wall.search_s), strict=True)) if run.tries else {}
    found |= {"new_runs": runs} | dict(zip(GPU_HOURS, hours, strict=True))
    if price:
        per_hour, currency = price
        found |= dict(zip(COST, (per_hour * each for each in hours), strict=True)) | {"currency": currency}
    return found


def price_of(catalog: Catalog, platform: str) -> tuple[float, str] | None:
    """Price of a GPU-hour and its currency, empty where none is named; None without a price."""
    return price_that_counts(catalog.root.price, catalog.platforms[platform].price)


def has_price(catalog: Catalog) -> bool:
    """Whether the plan counts costs."""
    return any(price_of(catalog, platform) for platform in catalog.root.platforms)


def cost_lines(waiting: pd.DataFrame, catalog: Catalog) -> Iterator[str]:
    """GPU hours and cost of the cells to run by stage and platform and in total, and whose prices these are.

    Cells of one key are measured once. Ends of sums are sums of ends, as if all predictions were off alike.
    """
    once = waiting.drop_duplicates("key")
    for (stage, platform), cells in once.groupby(["stage", "platform"]):
        yield f"{stage} on {platform}: {_sums(cells)}"
    if len(once) and len(once.groupby(["stage", "platform"])) > 1:
        yield f"in total: {_sums(once)}"
    searches = once[once["tries"].notna()]
    if len(searches):
        hours = searches["gpu_hours"] * searches["search_s"] / searches["run_s"]
        tries, fewest, most = (int(searches[column].sum()) for column in TRIES)
        yield (
            f"of these {len(searches)} search{'es' * (len(searches) != 1)}: {tries} tries ({fewest} to {most}) in "
            f"one run of each, {hours.sum():,.2f} GPU hours in all runs (predicted)"
        )
    if catalog.root.price is None:
        for platform in dict.fromkeys(once["platform"]):
            if price := catalog.platforms[platform].price:
                yield price.sentence(platform)


def over_budget(waiting: pd.DataFrame) -> pd.DataFrame:
    """Cells whose runs are predicted to need more than their budget, after which they end as ``timeout``."""
    return waiting[(waiting["needs_s"] > waiting["budget_s"]).fillna(False)]


def _sums(cells: pd.DataFrame) -> str:
    known = cells[cells["run_s"].notna()]
    unknown = f"{_number(len(cells) - len(known))} not predicted" if len(known) < len(cells) else ""
    if known.empty:
        return unknown
    runs = int(known["new_runs"].sum())
    told = (
        f"{_interval(known, GPU_HOURS)} GPU hours{_costs(known)} (predicted) for {_number(len(known))}, "
        f"{runs} run{'s' * (runs != 1)}"
    )
    return "; ".join(filter(None, (told, unknown)))


def _costs(known: pd.DataFrame) -> str:
    """Costs by currency, and for how many of the cells there is no price."""
    priced = known[known["cost"].notna()]
    sums = [f", {_interval(cells, COST)} {str(currency) or UNNAMED}" for currency, cells in priced.groupby("currency")]
    without = f", {_number(len(known) - len(priced))} without a price" if 0 < len(priced) < len(known) else ""
    return "".join(sums) + without


def _interval(cells: pd.DataFrame, columns: Sequence[str]) -> str:
    middle, low, high = (f"{cells[column].sum():,.2f}" for column in columns)
    return f"{middle} ({low} to {high})"


def _number(cells: int) -> str:
    return f"{cells} cell{'s' * (cells != 1)}"
