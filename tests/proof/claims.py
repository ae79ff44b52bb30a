"""The paper's claims: what is wrong with them, which cells they are about, and what the table of verdicts shows."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

from proof import stages
from proof.reading import LETTERED, Refused, Yaml, known, letters_of, normal

CLAIM = ("item", "says", "stated_for", "certainty", "source", "stage", "check")
SIDES = {
    "value": (), "ratio": ("of", "to"), "change": ("of", "to"), "difference": ("of", "to"),
    "ordering": ("more", "less"), "outcome": (),
}  # fmt: skip
"""Kind of check -> the keys of the cells that it compares."""
DERIVED = {"phases": ("overlapped_compute_share",)}
ENDS = ("about", "tolerance", "low", "high")
NUMBERED = ("n_gpus", "seq_len", "batch")
WORKLOAD = re.compile(r"(?:s(\d+)|\w+)-b(\w+)-n\d+")


def check_claims(config: Yaml) -> None:
    """Required keys, what excludes or needs each other, and names that nothing defines."""
    for key in ("title", "caption", "claims"):
        known([key], config["claims"])
    for claim in config["claims"]["claims"].values():
        known(CLAIM, claim)
        check_claim(claim, config)


def check_claim(claim: Yaml, config: Yaml) -> None:
    check, view = claim["check"], stages.view_of(claim["stage"], claim.get("view", "training"))
    known(["kind"], check)
    sides = SIDES[check["kind"]]
    known(sides, check)
    if check["kind"] == "outcome":
        known(["outcome"], check)
    else:
        known(["quantity"], check)
        known([check["quantity"]], [*view.values, *DERIVED.get(claim.get("view", "training"), ())])
    if check["kind"] not in ("ordering", "outcome"):
        check_ends(*(check.get(end) for end in ENDS))
    if "platform" in claim.get("where", {}) or len({"platform" in check[side] for side in sides}) > 1:
        raise Refused("platforms on one side")
    if any(value == [] for value in claim.get("where", {}).values()):
        raise Refused("a case without values")
    for axis, value in (pair for wanted in selections(claim) for pair in wanted.items()):
        known([axis], [*stages.CELL_AXES, *view.axes])
        check_value(axis, value, claim["stage"], config)


def check_ends(about: Any, tolerance: Any, low: Any, high: Any) -> None:
    ends = low is not None or high is not None
    if (about is None) != (tolerance is None) or (about is not None) == ends:
        raise Refused("expected twice or not at all")


def check_value(axis: str, value: Any, stage: str, config: Yaml) -> None:
    if axis in stages.CELL_AXES and (axis, value) != ("batch", "max") and isinstance(value, int) != (axis in NUMBERED):
        raise Refused(f"{value} for {axis}")
    names = {"platform": config["platforms"], "model": config["models"], "framework": stages.FRAMEWORKS}
    known([value] if axis in names else [], names.get(axis, ()))
    if axis == "method" and stage in LETTERED:
        letters_of(value, config)


def selections(claim: Yaml) -> Iterator[Yaml]:
    """What each cell has that a claim is about."""
    where = claim.get("where", {})
    for values in product(*(value if isinstance(value, list) else [value] for value in where.values())):
        case = dict(zip(where, values, strict=True))
        check = claim["check"]
        for side in SIDES[check["kind"]]:
            yield from (case | cell for cell in (check[side], *check.get("best", {}).get(side, [])))
        if not SIDES[check["kind"]]:
            yield case


def spelt(claim: Yaml, config: Yaml) -> Yaml:
    """With defaults, and methods in their one spelling."""
    check = dict.fromkeys(ENDS) | claim["check"]
    check |= {side: one_spelling(check[side], claim, config) for side in SIDES[check["kind"]]}
    if best := check.get("best"):
        check["best"] = {side: [one_spelling(each, claim, config) for each in cells] for side, cells in best.items()}
    where = one_spelling(claim.get("where", {}), claim, config)
    return {"view": "training"} | claim | {"where": where, "check": check}


def one_spelling(where: Yaml, claim: Yaml, config: Yaml) -> Yaml:
    method = where.get("method")
    if method is None or claim["stage"] not in LETTERED:
        return where
    names = [normal(name, config) for name in method] if isinstance(method, list) else normal(method, config)
    return where | {"method": names}


def is_about(claim: Yaml, cell_id: str, config: Yaml) -> bool:
    """Whether a claim reads a cell."""
    stage, platform, model, framework, method, workload = cell_id.split("/")
    sizes = WORKLOAD.fullmatch(workload)
    seq_len, batch = sizes.groups() if sizes else (None, None)
    if stage == "operators" and framework != "attention":
        batch = None
    stand_ins = config["platforms"][platform].get("workload", {}).get("models")
    having = {
        "platform": platform, "model": model, "framework": framework, "method": method, "workload": workload,
        "seq_len": seq_len, "batch": batch, "n_gpus": workload.rpartition("n")[2],
    }  # fmt: skip
    return stage == claim["stage"] and any(
        all(
            model in stand_ins if axis == "model" and stand_ins else having.get(axis) in (None, str(value))
            for axis, value in wanted.items()
        )
        for wanted in selections(spelt(claim, config))
    )
