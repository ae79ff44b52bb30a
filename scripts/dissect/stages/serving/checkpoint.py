"""One checkpoint of random weights per model, made by a rule and shared by every engine.

    <checkpoints>/<id>/   config.json generation_config.json tokenizer.json tokenizer_config.json
                          model-*.safetensors model.safetensors.index.json

The id hashes all that the content follows from. A folder is there with all its files or not at all.
"""

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dissect.base.units import GIB
from dissect.cells.spec import ModelArchitecture, canonical_json
from dissect.config.architecture import ATTENTION_LAYERS, MLP_LAYERS, linear_sizes
from dissect.config.kinds import DType
from dissect.results.store import write_atomically
from dissect.workloads.dtypes import BYTES, TORCH_NAMES, torch_dtype

if TYPE_CHECKING:
    import torch

RECIPE = 1
"""Raised when the rule makes other files of the same model."""
SHARD_BYTES = 4 * GIB
STANDARD_DEVIATION = 0.02
BEYOND_VOCABULARY = 1024
"""The end-of-sequence id lies so far beyond the vocabulary, past any padding of it: no engine can ever sample it.

Given as a list, because TGI takes only a list for more than the tokenizer's own id and LightLLM refuses none at all.
"""
_POOL = 2**24 + 43
"""Random numbers drawn; an odd count, so that no two rows of a matrix are the same slice of them."""
_LOG = logging.getLogger(__name__)


class NoSpace(RuntimeError):
    """The place that the platform names for checkpoints is too small; one sentence."""


def checkpoint_id(model: ModelArchitecture, dtype: DType, seed: int) -> str:
    """Name of the folder: the same content has the same name."""
    facts = {"recipe": RECIPE, "model": model.model_dump(), "dtype": dtype, "seed": seed}
    return f"llama-{hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:12]}"


def tensor_shapes(model: ModelArchitecture) -> dict[str, tuple[int, ...]]:
    """Every tensor of the checkpoint by the name that Hugging Face's Llama gives it, in the order of the layers."""
    width = model.hidden_size
    linear = {name: (out, into) for name, (into, out) in linear_sizes(model).items()}
    of_layer = {
        "input_layernorm": (width,),
        **{f"self_attn.{name}": linear[name] for name in ATTENTION_LAYERS},
        "post_attention_layernorm": (width,),
        **{f"mlp.{name}": linear[name] for name in MLP_LAYERS},
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (model.vocab_size, width)}
    for layer in range(model.num_hidden_layers):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    return shapes | {"model.norm.weight": (width,), "lm_head.weight": (model.vocab_size, width)}


def shards_of(shapes: Mapping[str, tuple[int, ...]], item_bytes: int, limit: int) -> list[list[str]]:
    """Names by file: in order, each file as full as ``limit`` bytes allow."""
    shards: list[list[str]] = [[]]
    used = 0
    for name, shape in shapes.items():
        size = prod(shape) * item_bytes
        if shards[-1] and used + size > limit:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return shards


def checkpoint_bytes(model: ModelArchitecture, dtype: DType) -> int:
    """Size of the weights."""
    return sum(prod(shape) for shape in tensor_shapes(model).values()) * BYTES[dtype]


def word(token: int) -> str:
    """The text of a token: one word each, so that text and tokens count the same in every engine."""
    return f"w{token}"


@contextmanager
def checkpoint(model: ModelArchitecture, dtype: DType, seed: int, root: Path, keep: bool) -> Iterator[Path]:
    """The model's folder below ``root``, made if it is not there; removed afterwards unless it is to be kept.

    Whoever uses it holds a shared lock, so that no one removes it meanwhile. Raises :class:`NoSpace`.
    """
    folder = root / checkpoint_id(model, dtype, seed)
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{folder.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not folder.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)  # lets go of the shared one first, so two of these cannot block each other
            if not folder.exists():
                _make(model, dtype, seed, folder)
            fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield folder
        finally:
            if not keep and _alone(lock.fileno()):
                shutil.rmtree(folder, ignore_errors=True)


def _alone(lock: int) -> bool:
    """Whether nobody else uses the checkpoint."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _make(model: ModelArchitecture, dtype: DType, seed: int, folder: Path) -> None:
    """Write all files under a temporary name, then rename: a killed writer leaves nothing that looks finished."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    needed, free = checkpoint_bytes(model, dtype), shutil.disk_usage(folder.parent).free
    if needed > free:
        raise NoSpace(
            f"{folder.parent}: the checkpoint needs {needed / GIB:.1f} GiB, {free / GIB:.1f} GiB are free; "
            "name another place as serving.checkpoints in the platform's file"
        )
    _LOG.info("making the checkpoint %s, %.2f GiB", folder, needed / GIB)
    temporary.mkdir()
    for name, content in _texts(model, dtype).items():
        write_atomically(temporary / name, json.dumps(content, indent=1).encode())
    _write_weights(model, dtype, seed, temporary)
    temporary.rename(folder)


def _texts(model: ModelArchitecture, dtype: DType) -> dict[str, Any]:
    """File name -> content of the small files."""
    tokens = {
        "bos_token_id": None, "pad_token_id": 0, "eos_token_id": [model.vocab_size + BEYOND_VOCABULARY],
    }  # fmt: skip
    config = {
        **model.model_dump(), **tokens, "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_act": "silu", "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
        "torch_dtype": TORCH_NAMES[dtype], "use_cache": True,
    }  # fmt: skip
    return {
        "config.json": config,
        "generation_config.json": {**tokens, "do_sample": False},
        "tokenizer.json": _tokenizer(model.vocab_size),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
            "model_max_length": model.max_position_embeddings, "pad_token": word(0),
        },
    }  # fmt: skip


def _tokenizer(vocab_size: int) -> dict[str, Any]:
    """One word per token, split at spaces; nothing is added in front or behind."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word(token): token for token in range(vocab_size)},
            "unk_token": word(0),
        },
    }


def _write_weights(model: ModelArchitecture, dtype: DType, seed: int, folder: Path) -> None:
    """Every matrix a different run of one pool of normal numbers: as fast as the disk, and the same on any machine."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    kind = torch_dtype(dtype)
    pool = (torch.randn(_POOL, generator=generator) * STANDARD_DEVIATION).to(kind)
    shapes = tensor_shapes(model)
    shards = shards_of(shapes, BYTES[dtype], SHARD_BYTES)
    place = 0
    where: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {}
        for name in names:
            tensors[name] = (
                torch.ones(shapes[name], dtype=kind) if "norm" in name else _drawn(pool, place, shapes[name])
            )
            place = (place + prod(shapes[name])) % _POOL
        save_file(tensors, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": checkpoint_bytes(model, dtype)}, "weight_map": where}
    write_atomically(folder / "model.safetensors.index.json", json.dumps(index, indent=1).encode())


def _drawn(pool: "torch.Tensor", place: int, shape: tuple[int, ...]) -> "torch.Tensor":
    """A tensor filled with the pool from ``place`` on, around its end as often as needed."""
    import torch

    flat = torch.empty(prod(shape), dtype=pool.dtype)
    done = 0
    while done < flat.numel():
        piece = pool[place : place + flat.numel() - done]
        flat[done : done + piece.numel()] = piece
        done, place = done + piece.numel(), 0
    return flat.reshape(shape)
