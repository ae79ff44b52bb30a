"""The same YAML, spelt in another way: what people and editors do to a file without changing what it says."""

import random
from typing import Any

from ruamel.yaml import YAML, StringIO

INDENT = "  "


def plain(data: Any) -> str:
    """As a careful person would write it."""
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    yaml.default_flow_style = False
    yaml.dump(data, stream)
    return stream.getvalue()


def shuffled(data: Any, rng: random.Random, keep: tuple[str, ...] = ()) -> Any:
    """Keys in another order at every level but below ``keep``; the order of lists means something and stays."""
    if not isinstance(data, dict):
        return [shuffled(item, rng) for item in data] if isinstance(data, list) else data
    keys = list(data) if keep == ("*",) else rng.sample(list(data), len(data))
    return {key: shuffled(data[key], rng, ("*",) if key in keep else ()) for key in keys}


def respelt(data: Any, rng: random.Random) -> str:
    """Other notation, quotes, comments and white space; the order of keys stays."""
    return f"# {rng.random()}\n" + "\n".join(_lines(data, rng, 0)) + "\n" * rng.randint(1, 4)


def _lines(data: dict[str, Any], rng: random.Random, depth: int) -> list[str]:
    lines = []
    for key, value in data.items():
        start = INDENT * depth + _string(str(key), rng) + ":"
        if isinstance(value, dict) and value and rng.random() < 0.6:
            lines += [start + rng.choice(["", "  # below"]), *_lines(value, rng, depth + 1)]
        elif isinstance(value, list) and value and rng.random() < 0.5:
            lines += [start, *(f"{INDENT * depth}- {_flow(item, rng)}" for item in value)]
        else:
            lines.append(start + " " * rng.randint(1, 3) + _flow(value, rng) + rng.choice(["", "  # so it is"]))
        lines += [""] * rng.randint(0, 1)
    return lines


def _flow(value: Any, rng: random.Random) -> str:
    space = " " * rng.randint(0, 2)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_string(str(k), rng)}: {space}{_flow(v, rng)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(space + _flow(item, rng) for item in value) + "]"
    if isinstance(value, str):
        return _string(value, rng)
    if value is None or isinstance(value, bool):
        word = {None: "null", True: "true", False: "false"}[value]
        return rng.choice([word, word.capitalize(), word.upper()])
    return _integer(value, rng) if isinstance(value, int) else _float(value, rng)


def _string(text: str, rng: random.Random) -> str:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    safe = text.isidentifier() and text.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
    single = "'" + text.replace("'", "''") + "'"
    return rng.choice([quoted, *[single] * ("\n" not in text), *[text] * safe])


def _integer(value: int, rng: random.Random) -> str:
    return rng.choice([str(value), *[hex(value), f"0o{value:o}", f"+{value}"] * (value >= 0)])


def _float(value: float, rng: random.Random) -> str:
    return rng.choice([repr(value), f"{value!r}0" if "e" not in repr(value) else repr(value), f"{value:.17e}"])
