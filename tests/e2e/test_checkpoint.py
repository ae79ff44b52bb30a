"""The checkpoint as transformers reads it: whole, finite, the same everywhere, and never at its end."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import factories as make  # noqa: E402
from dissect.stages.serving import checkpoint as module  # noqa: E402
from dissect.stages.serving.checkpoint import NoSpace, checkpoint, checkpoint_id  # noqa: E402
from dissect.stages.serving.prompts import check_prompts, make_prompts, prompts_of  # noqa: E402
from yaml_models import architecture  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]
TINY = architecture("llama-tiny")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_is_a_llama_that_never_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 6 * 2**20)
    with checkpoint(TINY, "bf16", 42, tmp_path, True) as folder:
        assert len(list(folder.glob("*.safetensors"))) == 3
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert model.num_parameters() == 7_358_720
        assert model.dtype == torch.bfloat16
        assert model.generation_config.eos_token_id == [TINY.vocab_size + module.BEYOND_VOCABULARY]
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        prompt = next(make_prompts(4, 12, TINY.vocab_size, 1))
        inputs = tokenizer(prompt, return_tensors="pt")
        assert inputs["input_ids"].shape == (1, 12)
        assert torch.isfinite(model(**inputs).logits).all()
        output = model.generate(input_ids=inputs["input_ids"], max_new_tokens=300)
        assert output.shape == (1, 312), "no answer ends early"
        assert len(tokenizer.decode(output[0]).split()) == 312


def test_the_same_everywhere_and_made_once(tmp_path):
    with (
        checkpoint(TINY, "bf16", 42, tmp_path / "a", True) as one,
        checkpoint(TINY, "bf16", 42, tmp_path / "b", True) as two,
    ):
        assert contents(one) == contents(two)
        stamp = (one / "config.json").stat().st_mtime_ns
    with checkpoint(TINY, "bf16", 42, tmp_path / "a", True) as again:
        assert (again / "config.json").stat().st_mtime_ns == stamp
    with checkpoint(TINY, "bf16", 43, tmp_path / "a", True) as other:
        assert contents(other) != contents(again)


def test_removed_when_told_but_not_under_a_user(tmp_path):
    with checkpoint(TINY, "fp32", 42, tmp_path, False) as folder:
        with checkpoint(TINY, "fp32", 42, tmp_path, False):
            pass
        assert folder.exists(), "somebody uses it"
    assert not folder.exists()


def test_what_a_killed_writer_left_does_not_count(tmp_path):
    half = tmp_path / f".{checkpoint_id(TINY, 'bf16', 42)}.tmp"
    half.mkdir()
    (half / "config.json").write_text("{")
    with checkpoint(TINY, "bf16", 42, tmp_path, True) as folder:
        assert b'"llama"' in (folder / "config.json").read_bytes()
    assert not half.exists()


def test_a_place_that_is_too_small_is_named(tmp_path):
    huge = TINY.model_copy(update={"vocab_size": 10**12})
    with (
        pytest.raises(NoSpace, match="GiB are free; name another place as serving"),
        checkpoint(huge, "bf16", 1, tmp_path, True),
    ):
        pass


def test_no_burst_has_a_prompt_of_another_one_and_a_search_has_all_that_there_can_be(tmp_path):
    load = {"model": TINY, "requests": 4, "input_tokens": 8, "warmup_requests": 2}
    searching = {"arrival": {"kind": "poisson", "search": {}}}
    with checkpoint(TINY, "bf16", 42, tmp_path, True) as folder:
        first, three, search = (
            prompts_of(make.serve_spec(**load, **more), folder / "tokenizer.json")
            for more in ({}, {"bursts": 3}, searching)
        )
    made = [*make_prompts(4 + 2, 8, TINY.vocab_size, 42)]
    assert ([*first.unseen], first.warmup) == (made[:4], made[4:])
    made = [*make_prompts(3 * 4 + 2, 8, TINY.vocab_size, 42)]
    assert [*three.unseen] == made[:4] + made[6:]
    beginnings = {prompt.split()[0] for prompt in (*search.warmup, *search.unseen)}
    assert len(beginnings) == TINY.vocab_size - 1


def test_prompts_are_counted_with_its_tokenizer(tmp_path):
    with checkpoint(TINY, "bf16", 42, tmp_path, True) as folder:
        prompts = [*make_prompts(50, 64, TINY.vocab_size, 7)]
        check_prompts(prompts, 64, folder / "tokenizer.json")
        with pytest.raises(ValueError, match="prompt 0 has 64 tokens, expected 63"):
            check_prompts(prompts, 63, folder / "tokenizer.json")
        with pytest.raises(ValueError, match="1 prompts begin like another one"):
            check_prompts([*prompts, prompts[0]], 64, folder / "tokenizer.json")
