"""Cells that an earlier version called otherwise: they stand under the label that means today what was measured."""

import shutil
from pathlib import Path

import pytest

from dissect.base.units import GIB
from dissect.cells.references import REFERENCES_DIR, SETS_DIR, ids_of_today, read_sets, references_of
from dissect.cells.renamed import today
from dissect.cells.study import load_study
from dissect.results.reference_sets import add_to_set, publish_references, read_set

ROOT = Path(__file__).parents[2]
Z3 = "pretrain/h200-x2/llama2-7b/deepspeed/Z3/s350-b1-n2"


def then(method: str, **fields: str) -> str:
    """Today's name of a method of DeepSpeed whose spec had these fields."""
    cell_id = f"pretrain/h200-x2/llama2-7b/deepspeed/{method}/s350-b1-n2"
    return today(cell_id, lambda: {"method": {"zero_stage": 3, **fields}}).split("/")[4]


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("Z2", "Z2"),
        ("Z3", "Z3+ZD"),
        ("F+R+Z3+O", "F+R+Z3+O+ZD"),
        ("L+Z3", "L+Z3+ZD"),
        ("Z2+O", "Z2+O"),
        ("Z3+ZD", "Z3+ZD"),
    ],
)
def test_zero_3_without_sizes_had_those_of_deepspeed(method: str, name: str) -> None:
    assert then(method) == name


def test_zero_3_with_sizes_is_what_it_says() -> None:
    assert then("Z3", stage3_sizes="authors") == "Z3"


def test_a_name_of_today_is_in_the_normal_order_of_letters() -> None:
    methods = load_study(ROOT, {}).catalog.methods
    for name in ("F+R+Z3+O", "L+F+R+Z3+O", "Z3"):
        assert then(name) == methods.normal(then(name), "")


def test_other_frameworks_and_stages_are_not_asked_for_their_spec() -> None:
    def spec() -> dict[str, object]:
        raise AssertionError("the id alone tells")

    for cell_id in ("serve/h200-x2/llama2-7b/vllm/aligned/r100-n1", "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"):
        assert today(cell_id, spec) == cell_id


@pytest.mark.parametrize(
    ("platform", "host_gib", "name"),
    [("h200", 512, "h200-x4"), ("h200", 128, "h200"), ("h200-24g", 512, "h200-x4-24g"), ("h200-x2", 512, "h200-x2")],
)
def test_h200_was_four_gpus(platform: str, host_gib: int, name: str) -> None:
    cell_id = f"serve/{platform}/llama2-7b/vllm/tuned/r100-n1"
    memory = {"card_memory_bytes": int(140.4 * GIB)} if "24g" in platform else {}
    device = 24 * GIB if memory else int(140.4 * GIB)
    hardware = memory | {"device_memory_bytes": device, "host_memory_bytes": host_gib * GIB}
    assert today(cell_id, lambda: {"hardware": hardware}) == cell_id.replace(platform, name)


@pytest.mark.parametrize(
    ("framework", "gpu", "settings", "policy"),
    [
        ("vllm", "NVIDIA H200", {"prefill_tokens": None}, "defaults"),
        ("vllm", "NVIDIA H200", {"prefill_tokens": 16384}, "tuned"),
        ("lightllm", "NVIDIA H200", {"max_sequences": 1000}, "tuned"),
        ("tgi", "NVIDIA H200", {}, "tuned"),
        ("vllm", "NVIDIA A800", {}, "tuned"),
    ],
)
def test_tuned_was_the_defaults_of_an_engine(
    framework: str, gpu: str, settings: dict[str, int | None], policy: str
) -> None:
    spec = {"hardware": {"gpu_model": gpu}, "settings": {"prefix_cache": False} | settings}
    assert today(f"serve/h200-x4/llama2-7b/{framework}/tuned/r100-n1", lambda: spec).split("/")[4] == policy


def test_references_without_settings_are_shown_as_defaults() -> None:
    methods = {tuple(cell_id.split("/")[3:5]) for cell_id in read_sets(ROOT)["h200"].values() if "serve/" in cell_id}
    assert methods == {
        ("vllm", "defaults"), ("vllm", "aligned"), ("lightllm", "defaults"), ("lightllm", "aligned"),
        ("transformers", "tuned"),
    }  # fmt: skip


def test_references_of_h200_are_shown_under_its_name_of_today() -> None:
    platforms = {cell_id.split("/")[1] for cell_id in read_sets(ROOT)["h200"].values()}
    assert platforms == {"h200-x4", "h200-x2", "h200-no-nvlink"}


def test_references_of_zero_3_are_shown_as_what_they_were() -> None:
    catalog, sets = load_study(ROOT, {}).catalog, {"h200": read_sets(ROOT)["h200"]}
    shown = {name: {found.cell.method for found in references_of(name, catalog, sets)} for name in catalog.experiments}
    assert not [method for method in shown["table_III"] if "Z3" in method]
    assert {method for method in shown["table_sharding"] if "Z3" in method} == {
        "Z3+ZD", "F+Z3+ZD", "R+Z3+ZD", "F+R+Z3+ZD"
    }  # fmt: skip


def test_every_reference_has_a_table() -> None:
    catalog, sets = load_study(ROOT, {}).catalog, read_sets(ROOT)
    found = [each for name in catalog.experiments for each in references_of(name, catalog, sets)]
    assert {(each.set_name, each.cell.id) for each in found} == {
        (name, cell_id) for name, cells in sets.items() for cell_id in cells.values()
    }


def test_copies_and_sets_move_to_the_name_of_today(tmp_path: Path) -> None:
    old, [text] = tmp_path / SETS_DIR / "lab" / Z3, (ROOT / SETS_DIR / "h200" / Z3).glob("*.json")
    shutil.copytree(text.parent, old)
    shutil.copytree(text.parent, tmp_path / REFERENCES_DIR / "lab" / Z3)  # as an earlier version copied it
    publish_references(tmp_path)
    new = Z3.replace("/Z3/", "/Z3+ZD/")
    copies = [path.relative_to(tmp_path / REFERENCES_DIR) for path in (tmp_path / REFERENCES_DIR).rglob(text.name)]
    assert copies == [Path("lab", new, text.name)]
    before = read_set(tmp_path / SETS_DIR / "lab")
    assert add_to_set(tmp_path / SETS_DIR / "lab", {}) == 0
    assert not list(old.glob("*"))
    assert ids_of_today(tmp_path / SETS_DIR / "lab") == {text.stem: new}
    assert read_set(tmp_path / SETS_DIR / "lab") == before
