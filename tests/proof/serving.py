"""Serving cells for the oracle: what engines can be told, what is asked of them, why one cannot run."""

from typing import Any

from proof.reading import Refused, Yaml

ENGINES = ("vllm", "lightllm", "tgi", "transformers", "sglang")
POLICIES = ("tuned", "aligned", "defaults")
BURST = [{"kind": "burst"}]
ALIGNED = {
    "max_sequences": 256, "memory_share": 0.9, "chunked_prefill": True, "cache_reserve_gib": 3.0,
    "prefill_tokens": 8192,
}  # fmt: skip
"""What the policy ``aligned`` sets unless the platform says otherwise."""
OF_GPUS = {"memory_share", "cache_reserve_gib", "prefill_tokens", "graph_sequences"}
TOLD = {engine: {*ALIGNED, "graph_sequences"} for engine in ENGINES} | {
    "transformers": {"memory_share", "cache_reserve_gib", "prefill_tokens"}, "tgi": {*OF_GPUS, "max_sequences"},
}  # fmt: skip
"""Engine -> which of these it has a switch for."""
SAMPLING = {"budget_s": 3600, "ready_s": 900}
LOAD = {
    "requests": 1000, "bursts": 1, "input_tokens": 512, "output_tokens": 128, "warmup_requests": 16, "stream": True,
    "calibrate": False, "dtype": "bf16", "seed": 42,
}  # fmt: skip
SEARCH = {
    "ttft_s": 2.0, "tpot_s": 0.2, "share": 0.99, "lowest": 1.0, "highest": 64.0, "within": 0.1, "probes": 6,
    "probe_s": 60.0,
}  # fmt: skip
"""What a search for the rate that holds has unless it is told."""
ENVIRONMENT = ("lock", "interpreter", "command", "container", "url")
"""The ways to name a software environment, one of which it must have."""
PYTHONS = ("train", "client")
"""Environments that must start a Python."""


def settings(engine: str, policy: str, platform: Yaml) -> Yaml:
    """What the server is told; what it is not told counts alike under both policies."""
    serving = platform.get("serving", {})
    told = TOLD[engine] - (OF_GPUS if platform["device"] == "cpu" else set())
    aligned = ALIGNED | serving.get("aligned", {})
    aligned |= {"graph_sequences": aligned["max_sequences"]}
    budget = platform.get("memory_budget_gib")
    share = {"memory_share": aligned["memory_share"] * budget / platform["gpu"]["memory_gib"]} if budget else {}
    tuned = serving.get("tuned", {}).get(engine, {}) if policy == "tuned" else {}
    return {
        **{name: value if policy == "aligned" and name in told else None for name, value in aligned.items()},
        **share,
        "arguments": serving.get("arguments", {}).get(engine, []),
        **tuned,
    }


def load_name(load: Yaml, arrival: Yaml, count: int) -> str:
    """The last part of a cell's id."""
    rate = arrival.get("rate")
    parts = [f"r{load['requests']}", f"i{load['input_tokens']}", f"o{load['output_tokens']}"]
    search = arrival.get("search")
    kind = arrival["kind"]
    if search is not None:
        kind = f"holds{100 * search['share']:g}-ttft{search['ttft_s']:g}-tpot{search['tpot_s']:g}"
    parts += [kind if rate is None else f"{kind}{rate:g}"]
    parts += ["whole"] * (not load["stream"]) + ["calibrated"] * load["calibrate"]
    return "-".join([*parts, f"n{count}"])


def cannot_serve(engine: str, platform: Yaml, environment: Yaml | None, load: Yaml, count: int) -> str | None:
    """Why the platform does not have the engine, or the engine not what is asked of it."""
    if platform["device"] == "cpu" and engine not in ("transformers", "tgi"):
        return f"{engine} without a GPU"
    if environment is None:
        return f"nothing to start {engine}"
    python = starts_python(environment)
    reasons = {
        "tgi as a Python package": engine == "tgi" and python,
        "a data type that tgi lacks": engine == "tgi" and load["dtype"] == "fp32",
        "transformers on several": engine == "transformers" and count > 1,
        "nothing to calibrate with": load["calibrate"] and not (engine == "vllm" and python),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def cannot_hold(load: Yaml, architecture: Yaml, count: int) -> str | None:
    """Why the model cannot be split like this, or has no positions for a request."""
    heads, most = architecture["num_attention_heads"], architecture["max_position_embeddings"]
    positions = load["input_tokens"] + load["output_tokens"]
    if heads % count:
        return f"{heads} heads over {count}"
    return f"{positions} of {most} positions" if positions > most else None


def starts_python(environment: Yaml) -> bool:
    """Whether an environment is one of a Python."""
    return bool(environment.get("lock") or environment.get("interpreter"))


def check_environment(name: str, environment: Yaml) -> None:
    """Just one way to start it, and what it holds."""
    ways = [way for way in ENVIRONMENT if environment.get(way) is not None]
    locked, vouched = environment.get("lock"), environment.get("versions") or environment.get("image")
    if len(ways) != 1 or bool(locked) == bool(vouched):
        raise Refused("an environment of no or two kinds, or versions of a lock")
    container = environment.get("container")
    if container is not None and not ({"runtime", "image"} <= container.keys() and environment.get("image")):
        raise Refused("half a container")
    if name in PYTHONS and not starts_python(environment):
        raise Refused(f"{name} is no Python")


def arrival_of(declared: Yaml, platform: Yaml) -> Yaml:
    """How requests arrive; a search has the platform's ends."""
    if declared.get("search") is None:
        return declared
    stand_in = platform.get("workload", {}).get("serving", {}).get("search") or {}
    changed = {key: value for key, value in stand_in.items() if value is not None}
    return declared | {"search": SEARCH | declared["search"] | changed}


def check_load(load: Yaml, arrival: Yaml) -> None:
    """A search must see tokens, and is one load; its ends are apart."""
    search = arrival.get("search")
    if search is None:
        return
    if not load["stream"] or load["calibrate"] or load["bursts"] > 1:
        raise Refused("a search of what it cannot see")
    check_search(search)


def check_search(search: Yaml) -> None:
    """The ends are apart."""
    if search["lowest"] >= search["highest"]:
        raise Refused("a search without room")


def check_arrivals(arrivals: list[Yaml] | None) -> None:
    """A rate, or all at once."""
    if arrivals == []:
        raise Refused("no arrival")
    for arrival in arrivals or []:
        search = arrival.get("search")
        if search is not None:
            if arrival.get("kind") != "poisson" or arrival.get("rate") is not None:
                raise Refused("a search of no Poisson process")
            check_search(SEARCH | search)
            continue
        if "kind" not in arrival or (arrival.get("rate") is None) != (arrival["kind"] == "burst"):
            raise Refused("an arrival of no kind, or its rate")


def check_policies(methods: list[Any], frameworks: list[str]) -> None:
    """Policies and engines have names of their own."""
    if any(isinstance(method, dict) or not {*method} <= {*POLICIES} for method in methods):
        raise Refused("no policy")
    if not {*frameworks} <= {*ENGINES}:
        raise Refused("no engine")
