"""Edits that must be refused."""

from pathlib import Path
from typing import Any

from proof.project import Draw, Edit, editing, load, pick, pick_file, places, put


def wrong_value(draw: Draw, project: Path) -> Edit:
    """A value of the wrong type or out of bounds."""
    file, _ = pick_file(draw, project)
    with editing(project, file) as data:
        scalars = [
            place
            for place in places(data)
            if place[0][place[1]] is not None and not isinstance(place[0][place[1]], (dict, list))
        ]
        holder, key, path = pick(draw, scalars)
        number = isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool) and key != "seed"
        mistakes: list[Any] = [{"no": "mapping"}, [["no list"]]]
        mistakes += ["no number", -1, float("inf"), float("nan"), True] if number else [7.5]
        holder[key] = pick(draw, mistakes)
    return Edit("mistake: wrong value", f"{file}: {'.'.join(path)} = {holder[key]!r}", wrong=True)


def unknown_key(draw: Draw, project: Path) -> Edit:
    """A misspelt key."""
    file, _ = pick_file(draw, project)
    open_maps = {"environment", "versions", "letters", "overrides", "suites", "excludes", "knobs_with", "peak_tflops"}
    with editing(project, file) as data:
        inner = [
            (holder[key], path)
            for holder, key, path in places(data)
            if isinstance(holder[key], dict) and not open_maps & {path[-1]}
        ]
        mapping, path = pick(draw, [(data, ()), *inner])
        mapping["misspelt"] = 1
    return Edit("mistake: unknown key", f"{file}: {'.'.join(path)}.misspelt", wrong=True)


def unknown_name(draw: Draw, project: Path) -> Edit:
    """A name that nothing defines."""
    file, key, new = pick(
        draw,
        [
            ("config/config.yaml", ("platforms",), ["cpuu"]), ("config/config.yaml", ("models",), ["llama2-7"]),
            ("config/config.yaml", ("suite",), "large"), ("config/config.yaml", ("tables",), ["table_XX"]),
            ("config/config.yaml", ("overrides",), {"pretrain/nowhere/*/*/*/*": {}}),
            ("config/config.yaml", ("overrides",), {"pretrain/*/*": {}}),
            ("config/platforms/cpu.yaml", ("extends",), "nothing"),
            ("config/platforms/cpu.yaml", ("extends",), "cpu"),
            ("config/platforms/cpu.yaml", ("workload", "models"), ["llama"]),
            ("config/methods.yaml", ("letters", "f"), {"means": "Lower case."}),
        ],
    )  # fmt: skip
    if not (project / file).exists():
        return Edit("nothing", f"{file} is gone")
    with editing(project, file) as data:
        put(data, key, new)
    return Edit("mistake: unknown name", f"{file}: {'.'.join(key)} = {new!r}", wrong=True)


def broken_yaml(draw: Draw, project: Path) -> Edit:
    """A file that is no YAML, empty, or says a key twice."""
    file, _ = pick_file(draw, project)
    path = project / file
    how = pick(draw, ["empty", "bracket", "tab", "twice", "list", "tag", "bytes"])
    text = path.read_text()
    first = text.index("\n" + next(iter(load(project, file))) + ":") if not text[0].isalpha() else 0
    broken = {
        "empty": b"# nothing\n", "bracket": text.encode() + b"more: [1, 2\n", "tab": b"a:\n\t- b\n",
        "twice": (text + "\n" + text[first:]).encode(), "list": b"- one\n", "tag": b"a: !!python/name:os.system\n",
        "bytes": b"a: \xff\xfe\n",
    }  # fmt: skip
    path.write_bytes(broken[how])
    return Edit("mistake: broken YAML", f"{file}: {how}", wrong=True)
