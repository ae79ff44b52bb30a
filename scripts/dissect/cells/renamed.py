"""Ids of cells as earlier versions wrote them, in today's words.

An id is matched with those of today's tables. Where its label meant something else when the cell was measured, the cell
gets the label that means today what was measured. Keys and results stay as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dissect.base.units import GIB
from dissect.cells.cell_id import CellId

SpecJson = Mapping[str, Any]
WITH_FOUR_GPUS = {"h200": "h200-x4", "h200-24g": "h200-x4-24g"}
"""Platform that is one GPU now -> today's name of the four that it was."""
HARDWARE_OF_FOUR = (int(140.4 * GIB), 512 * GIB)
"""Bytes of a GPU and of the host in specs of that platform, also where a cell has fewer GPUs; a site's own differs."""
RECOMMENDED = ("vllm", "lightllm")
"""Engines that were measured on H200 before ``tuned`` was what their documentation recommends there."""


def today(cell_id: str, spec: Callable[[], SpecJson]) -> str:
    """Today's id of a cell that was measured as ``cell_id``; ``spec`` reads its spec, if the id alone cannot tell.

    An empty spec, of a text that cannot be read, changes nothing.
    """
    parts = CellId.parse(cell_id)
    return str(_policies(_sizes_of_zero_3(_four_gpus(parts, spec), spec), spec))


def _four_gpus(parts: CellId, spec: Callable[[], SpecJson]) -> CellId:
    """The platform ``h200`` was four GPUs."""
    name = WITH_FOUR_GPUS.get(parts.platform)
    if name is None:
        return parts
    hardware = spec().get("hardware", {})
    card = hardware.get("card_memory_bytes") or hardware.get("device_memory_bytes")
    return parts._replace(platform=name) if (card, hardware.get("host_memory_bytes")) == HARDWARE_OF_FOUR else parts


def _sizes_of_zero_3(parts: CellId, spec: Callable[[], SpecJson]) -> CellId:
    """Z3 had DeepSpeed's default sizes, which are ZD now."""
    letters = parts.method.split("+")
    if parts.framework != "deepspeed" or "Z3" not in letters or "ZD" in letters:
        return parts
    if "stage3_sizes" in spec().get("method", {"stage3_sizes": "unknown"}):
        return parts
    after = "O" if "O" in letters else "Z3"
    letters.insert(letters.index(after) + 1, "ZD")
    return parts._replace(method="+".join(letters))


def _policies(parts: CellId, spec: Callable[[], SpecJson]) -> CellId:
    """On H200 ``tuned`` was an engine's defaults, which are a policy of their own now."""
    if parts.stage != "serve" or parts.method != "tuned" or parts.framework not in RECOMMENDED:
        return parts
    measured = spec()
    if measured.get("hardware", {}).get("gpu_model") != "NVIDIA H200":
        return parts
    settings = measured.get("settings", {})
    given = [settings.get(name) for name in ("max_sequences", "prefill_tokens", "graph_sequences")]
    return parts if any(given) else parts._replace(method="defaults")
