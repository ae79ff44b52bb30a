"""Every kind of bad input stops with one sentence: the file, the key, what was found, what would be right."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dissect.cells.study import load_study
from dissect.config.errors import ConfigError

ROOT = "config/config.yaml"
CPU = "config/platforms/cpu.yaml"
A800 = "config/platforms/a800.yaml"
NO_NVLINK = "config/platforms/rtx3090-no-nvlink.yaml"
TINY = "config/models/llama-tiny.yaml"
METHODS = "config/methods.yaml"
TABLE_III = "config/experiments/table_III.yaml"
COMPILE = "config/experiments/table_compile.yaml"
COLLECTIVES = "config/experiments/operators_collectives.yaml"
ROOFLINE = "config/experiments/fig_roofline.yaml"
FIG_4, MEMCPY = "config/experiments/fig_4.yaml", "config/experiments/fig_memcpy.yaml"
FIG_7 = "config/experiments/fig_7.yaml"
RATE = "config/experiments/table_rate.yaml"
LATENCY = "config/experiments/latency.yaml"


@dataclass(frozen=True)
class Bad:
    """One mistake: what is replaced in which file, and what the sentence must say."""

    name: str
    says: list[str]
    file: str = ROOT
    old: str | None = None
    """Text to replace; None replaces the whole file."""
    new: str = ""
    command_line: dict[str, Any] = field(default_factory=dict)


def root(name: str, old: str, new: str, *says: str) -> Bad:
    return Bad(name, [ROOT, *says], ROOT, old, new)


def edit(name: str, file: str, old: str, new: str, *says: str) -> Bad:
    return Bad(name, [file, *says], file, old, new)


def whole(name: str, file: str, text: str, *says: str) -> Bad:
    return Bad(name, [file, *says], file, None, text)


def option(name: str, key: str, value: Any, *says: str) -> Bad:
    return Bad(name, list(says), command_line={key: value})


def override(name: str, text: str, *says: str) -> Bad:
    return root(name, "overrides: {}", f"overrides: {{{text}}}", *says)


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(9))

BAD = [
    # A mistake in one of several notations is reported of the one that is meant.
    edit("framework of methods", TABLE_III, "    ddp: [Naive", "    dpd: [Naive",
         "axes.method.dpd", "did you mean 'ddp'"),
    edit("methods of a framework", TABLE_III, "ddp: [Naive, F, R, F+R]", "ddp: Naive",
         "axes.method.ddp: found 'Naive'", "expected a list: [Naive]"),
    edit("misspelt cross", TABLE_III, "{cross:", "{crosss:", "axes.method.deepspeed.crosss", "(known: cross)"),
    edit("size of ZeRO-3", METHODS, "{stage3_sizes: deepspeed}",
         "{stage3_sizes: {reduce_bucket: 1, prefetch: 0, persistence: 1}}", "stage3_sizes.prefetch: found 0"),
    edit("sizes of ZeRO-3", METHODS, "{stage3_sizes: deepspeed}", "{stage3_sizes: author}", "did you mean 'authors'"),
    # Unknown names, with the nearest known one.
    root("unknown platform", "platforms: [cpu]", "platforms: [h20]",
         "platforms: unknown platform 'h20'; did you mean 'h200'? (known: a800, cpu, "),
    root("unknown model", "llama2-70b]", "llama2-70]", "models", "'llama2-70'", "did you mean 'llama2-70b'?"),
    root("unknown table", "tables: all", "tables: [table_3]", "tables", "'table_3'", "table_III"),
    root("a figure is no table", "tables: all", "tables: [fig_4]", "tables", "'fig_4'"),
    root("unknown figure", "figures: all", "figures: [fig4]", "figures", "did you mean 'fig_4'?"),
    root("unknown suite", "suite: smoke", "suite: smok", "suite", "'smok'", "did you mean 'smoke'?"),
    root("unknown key", "suite: smoke", "suites: smoke", "suites: unknown key 'suites'", "did you mean 'suite'?"),
    edit("unknown nested key", CPU, "memory_gib: 4}", "memory: 4}", "host.memory", "did you mean 'memory_gib'?"),
    edit("unknown method letter", TABLE_III, "Z2+O, Z3,", "Z2+P, Z3,", "axes.method", "letter 'P'", "Naive"),
    edit("letters beside Naive", TABLE_III, "ddp: [Naive,", "ddp: [Naive+F,",
         "axes.method", "found 'Naive+F': Naive stands alone, no letter can be combined with it"),
    edit("unknown letter in a suite", TABLE_III, "[Z2, Z2+O, Z3+O,", "[Naive, F+Z7,", "suites.smoke.method", "'Z7'"),
    edit("unknown framework", FIG_4, "[deepspeed]", "[deepsped]", "axes.framework", "did you mean 'deepspeed'?"),
    edit("unknown stage", FIG_4, "stage: pretrain", "stage: pretraining", "stage", "did you mean 'pretrain'?"),
    edit("unknown model in an axis", FIG_4, "[llama2-7b]", "[llama-7b]", "axes.model", "did you mean 'llama2-7b'?"),
    edit("unknown stand-in", CPU, "[llama-tiny]", "[llama-tin]", "workload.models", "did you mean 'llama-tiny'?"),
    edit("unknown environment", CPU, "lock: train", "lock: trian", "environments", "did you mean 'train'?"),
    edit("unknown letter in knobs_with", METHODS, "Z2: {offload_optimizer", "Z4: {offload_optimizer", "O.knobs_with"),
    edit("unknown knob", METHODS, "recompute:", "recomputes:", "letters.R.knobs", "did you mean 'recompute'?"),
    edit("unknown kernel", CPU, "sdpa_flash", "flash", "kernels.flash_attention", "'flash'"),
    edit("unknown layout", FIG_4, "kind: scaling", "kind: bars", "layout", "bars"),
    edit("layout of the other kind", MEMCPY,
         "{kind: curve, view: memcpy, panels: [platform], series: [method], x: [size_bytes], values: [gb_per_s]}",
         "{kind: platforms}", "a figure cannot have"),
    edit("key of another layout", FIG_4, "kind: scaling", "kind: platforms",
         "layout.values: unknown key 'values' (known: kind)"),
    edit("unknown operator", COLLECTIVES, "all_gather,", "all_gathr,", "axes.method",
         "unknown collectives operator 'all_gathr'", "did you mean 'all_gather'?"),
    edit("letters as operators", COLLECTIVES, "[all_reduce, all_gather, reduce_scatter]", "{cross: [[F]]}",
         "axes.method", "operators do not combine"),
    edit("operators of another view", COLLECTIVES, "[collectives]", "[memcpy]", "'axes.framework' is ['memcpy']"),
    edit("axis of another view", COLLECTIVES, "[n_gpus, size_bytes]", "[n_gpus, product]", "no axis 'product'"),
    edit("quantity of another view", COLLECTIVES, "bus_gb_per_s,", "mfu,", "no quantity 'mfu'", "bus_gb_per_s"),
    edit("table of another view", LATENCY, "table_view: serving", "table_view: training", "the view 'training' has no"),
    edit("roofline of copies", ROOFLINE, "view: gemm", "view: memcpy", "layout"),
    edit("layout whose cells share a place", COMPILE, "rows: [framework, method]", "rows: [method]",
         "layout: two cells stand at cpu, llama-tiny, Naive; add one of framework to the axes of the layout"),
    edit("figure whose cells share a place", COLLECTIVES.replace("operators", "fig"), "[platform, n_gpus]",
         "[platform]", "layout: two cells stand at cpu, all_reduce; add one of workload, n_gpus to the axes"),
    # References that dangle or run in circles.
    edit("dangling extends", NO_NVLINK, "extends: rtx3090", "extends: rtx3080", "did you mean 'rtx3090'?"),
    edit("cyclic extends", "config/platforms/rtx3090.yaml", "device: cuda", "device: cuda\nextends: rtx3090-no-nvlink",
         "inheritance cycle", "rtx3090-no-nvlink"),
    edit("figure extends nothing", FIG_7, "extends: latency", "extends: latenzy", "did you mean 'latency'?"),
    edit("figure extends itself", FIG_7, "extends: latency", "extends: fig_7", "cycle"),
    edit("extends itself", NO_NVLINK, "extends: rtx3090", "extends: rtx3090-no-nvlink", "cycle"),
    # Wrong types and values.
    root("platforms is no list", "platforms: [cpu]", "platforms: cpu", "platforms", "'cpu'", "expected a list: [cpu]"),
    root("word as a number", "platforms: [cpu]", "platforms: [cpu]\nruns: x", "runs", "'x': expected a whole number"),
    root("runs of an unknown suite", "platforms: [cpu]", "platforms: [cpu]\nruns: {smok: 2}",
         "runs.smok: unknown key 'smok'; did you mean 'smoke'?"),
    edit("empty section", NO_NVLINK, "extends: rtx3090", "extends: rtx3090\nworkload:",
         "workload: found None: expected a mapping of keys to values"),
    root("number as a name", "platforms: [cpu]", "platforms: [7]", "platforms.0", "found 7", "expected a text"),
    root("empty value", "suite: smoke", "suite:", "suite", "found None"),
    edit("negative size", TINY, "hidden_size: 256", "hidden_size: -256", "architecture.hidden_size", "greater than 0"),
    edit("zero layers", TINY, "num_hidden_layers: 4", "num_hidden_layers: 0", "num_hidden_layers", "greater than 0"),
    edit("text as a number", TINY, "hidden_size: 256", "hidden_size: '256'", "hidden_size", "a whole number"),
    edit("fraction as a size", TINY, "hidden_size: 256", "hidden_size: 256.5", "hidden_size", "a whole number"),
    edit("zero GPUs", CPU, "gpus_per_node: 2", "gpus_per_node: 0", "gpus_per_node", "greater than 0"),
    edit("absurd number of GPUs", CPU, "gpus_per_node: 2", "gpus_per_node: 1000000",
         "'gpus_per_node' times 'nodes' is 1,000,000, expected at most 10,000"),
    edit("sweep beyond the platform", CPU, "[1, 2]", "[1, 2, 4]", "gpu_counts", "has 2 GPUs"),
    edit("negative memory", CPU, "memory_gib: 4}", "memory_gib: -4}", "host.memory_gib", "greater than 0"),
    edit("number as an environment variable", CPU, '"1"', "1", "environment.OMP_NUM_THREADS", "expected a text"),
    edit("peak without a source", CPU, "label: process", "label: process\n  peak_tflops: {bf16: 1}", "'source'"),
    edit("unsupported Python", CPU, "lock: train", "lock: train, python: '3.9'", "python", "'3.9'"),
    edit("environment of two kinds", CPU, "lock: train", "lock: train, interpreter: python3", "exactly one of 'lock'"),
    edit("undeclared interpreter", CPU, "lock: train", "interpreter: python3", "'versions' or 'image'"),
    edit("batch that is neither", FIG_4, "batch: [2]", "batch: [most]", "axes.batch", "'most'"),
    edit("negative batch", FIG_4, "batch: [2]", "batch: [-2]", "axes.batch", "-2"),
    edit("zero batch", FIG_4, "batch: [2]", "batch: [0]", "axes.batch", "found 0"),
    edit("batch beside the axis", FIG_4, "layout:", "workload: {batch: 3}\nlayout:",
         "workload: found {'batch': 3}: the batch is an axis; expected 'axes.batch: [3]'"),
    edit("missing key", FIG_4, "stage: pretrain\n", "", "stage: missing required key"),
    edit("bounds the wrong way", TABLE_III, "layout:", "sampling: {min_steps: 99}\nlayout:", "min_steps"),
    # Duplicates.
    root("platform twice", "platforms: [cpu]", "platforms: [cpu, cpu]", "platforms", "duplicate 'cpu'"),
    edit("batch twice", FIG_4, "batch: [2]", "batch: [2, 2]", "axes.batch", "duplicate '2'"),
    edit("letter twice", FIG_4, "[Q]", "[Q+Q]", "duplicate letter 'Q' in the method 'Q+Q'"),
    edit("GPU count twice", CPU, "[1, 2]", "[1, 1]", "duplicate in 'gpu_counts'"),
    root("key twice", "suite: smoke", "suite: smoke\nsuite: full", "duplicate key"),
    # Globs.
    override("glob of too few parts", "'pretrain/cpu': {}", "overrides", "expected 6 parts"),
    override("glob of an unknown platform", "'pretrain/cpi/*/*/*/*': {}", "platform 'cpi'", "did you mean 'cpu'?"),
    override("glob that matches no name", "'pretrain/rtx5*/*/*/*/*': {}", "platform 'rtx5*'"),
    override("override of an unknown section", "'*/cpu/*/*/*/*': {samplin: {}}", "did you mean 'sampling'?"),
    override("override of an unknown parameter", "'*/cpu/*/*/*/*': {sampling: {budget: 3}}", "'budget_s'"),
    override("override that is negative", "'*/cpu/*/*/*/*': {sampling: {budget_s: -3}}", "budget_s", "greater than 0"),
    override("overrides that disagree",
             "'*/cpu/*/*/Z2/*': {workload: {seed: 1}}, '*/*/*/*/Z2/*': {workload: {seed: 2}}",
             "workload.seed", "disjoint"),
    option("select of an unknown method", "select", "pretrain/cpu/*/deepspeed/Z5/*", "--config select", "'Z5'"),
    option("select of an empty list", "select", [], "select: found []: name at least one glob, or leave select out"),
    option("select of too many parts", "select", "a/b/c/d/e/f/g", "--config select", "expected 6 parts"),
    *(option(f"margin of {found}", "margin", found,
             f"margin: found {found}: expected a share above 0 and below 1, such as 0.05 for 5 %")
      for found in (5, 1, 0, -1)),
    option("unknown key on the command line", "siute", "full", "--config", "siute", "did you mean 'suite'?"),
    edit("blank label", CPU, "label: CPU", "label: ' '", "label: found ' ': expected a text that is not blank"),
    edit("blank label of a GPU", CPU, "label: process", "label: ''",
         "gpu.label: found '': expected a text that is not blank"),
    edit("blank label of a model", TINY, "label: Llama-tiny", "label: ' '",
         "label: found ' ': expected a text that is not blank"),
    Bad("label of another platform",
        ["config/platforms/cpu-x8.yaml: label: found 'CPU', which config/platforms/cpu.yaml has as well"],
        "config/platforms/cpu-x8.yaml", "label: CPU, 8 processes", "label: CPU", {"platforms": ["cpu", "cpu-x8"]}),
    edit("heads of a fraction", TINY, "attention_heads: 4", "attention_heads: 3", "'hidden_size' is 256, no multiple"),
    edit("groups of a fraction", TINY, "value_heads: 4", "value_heads: 3", "no multiple of 'num_key_value_heads' (3)"),
    # Names that would leave their directory.
    root("name with a path", "platforms: [cpu]", "platforms: [../cpu]", "platforms.0", "'../cpu'", "letters, digits"),
    edit("extends with a path", NO_NVLINK, "extends: rtx3090", "extends: ../models/x", "../models/x"),
    # YAML itself.
    whole("empty file", ROOT, "", "empty"),
    whole("only comments", METHODS, "# nothing here\n", "empty"),
    whole("a list at the top", ROOT, "- cpu\n", "found a list", "mapping"),
    whole("tabs", ROOT, "platforms:\n\t- cpu\n", "line 2", "tab"),
    whole("Python tag", ROOT, "platforms: !!python/object/apply:os.system ['true']\n", "only plain YAML is read"),
    whole("unclosed bracket", ROOT, "platforms: [cpu\n", "line"),
    whole("no text", ROOT, "platforms: \x00\n", "invalid YAML"),
    whole("aliases that multiply", ROOT, BOMB, "more than 100000 values"),
    whole("an alias within itself", ROOT, "platforms: &all [*all]\n", "nested deeper than 50 levels"),
    whole("deep nesting", ROOT, f"platforms: {'[' * 2000}{']' * 2000}\n", "nested deeper than 50 levels"),
    edit("absurd memory", CPU, "memory_gib: 4}", "memory_gib: 1e300}", "memory_gib: found 1e+300", "at most 1e+15"),
    edit("memory beyond any float", CPU, "memory_gib: 4}", f"memory_gib: {10**400}}}",
         "host.memory_gib: found a number of more than 300 digits, expected a finite number of at most 1e+15"),
    edit("absurdly many layers", TINY, "num_hidden_layers: 4", "num_hidden_layers: 1000000000",
         "architecture.num_hidden_layers", "less than or equal to 1000"),
    edit("absurdly many requests", CPU, "requests: ", "requests: 100000000",
         "serving.requests", "less than or equal to 1000000"),
    edit("a search of absurdly many requests", RATE, "search: {", "search: {highest: 1000000, probe_s: 600, ",
         "axes.arrival", "'highest' times 'probe_s' is 6e+08 requests, more than 1000000"),
    edit("hardly any memory", CPU, "memory_gib: 4}", "memory_gib: 5e-324}",
         "host.memory_gib: found 4.94066e-324, expected 0 or at least 1e-15"),
    option("price beyond any float", "price", 10**400, "config/config.yaml with --config: price: found a number of"),
    option("price of next to nothing", "price", f"0.{'0' * 320}1", "price", "expected a number above 0"),
    option("number of thousands of digits in a list", "batch", [f"1{'0' * 5000}"], "unknown key 'batch'"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_one_clear_sentence(project: Path, bad: Bad) -> None:
    path = project / bad.file
    text = path.read_text()
    if bad.old is not None:
        assert bad.old in text, f"the test edits what {bad.file} no longer says: {bad.old}"
        text = text.replace(bad.old, bad.new, 1)
    elif not bad.command_line:
        text = bad.new
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_study(project, bad.command_line)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for part in bad.says:
        assert part in sentence


def test_at_least_forty_kinds() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD) >= 40


def test_missing_file(project: Path) -> None:
    (project / METHODS).unlink()
    with pytest.raises(ConfigError, match=r"^config/methods\.yaml: no such file$"):
        load_study(project, {})


def test_file_name_that_is_no_name(project: Path) -> None:
    (project / CPU).rename(project / "config/platforms/my cpu.yaml")
    with pytest.raises(ConfigError, match="invalid file name 'my cpu'"):
        load_study(project, {})


def test_what_ships_is_right(project: Path) -> None:
    assert load_study(project, {}).targets
