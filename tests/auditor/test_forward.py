"""Scoring of every kind of architecture against a naive float64 loop: alone, in a batch, in any order."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from auditor.engine.forward import Scorer
from auditor.engine.kernels import PLAIN, Kernel, Moments
from auditor.engine.tokens import TokenSequence
from auditor.errors import ModelError
from helpers import naive_logprobs

VOCABULARY = 97
LENGTHS = (20, 13, 31, 2, 17, 31)

_COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_GROUPED = _COMMON | {"num_key_value_heads": 2}
_WITH_HEAD = _GROUPED | {"head_dim": 8}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": _GPT,
    "llama": _GROUPED,
    "qwen2": _GROUPED,
    "qwen3": _WITH_HEAD,
    "mistral": _GROUPED | {"sliding_window": 5},
    "gemma2": _WITH_HEAD | {"sliding_window": 5, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0},
    "gemma3_text": _WITH_HEAD | {"sliding_window": 5, "final_logit_softcapping": 3.0},
    "gpt_neox": _COMMON,
    "opt": _COMMON | {"ffn_dim": 48, "word_embed_proj_dim": 16},
    "bloom": {
        "hidden_size": 32,
        "n_layer": 2,
        "n_head": 4,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    },
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64},
    "falcon": _COMMON | {"alibi": False},
    "phi": _COMMON,
    "phi3": _GROUPED,
    "stablelm": _GROUPED,
    "cohere": _GROUPED | {"logit_scale": 0.2},
    "granite": _GROUPED | {"logits_scaling": 3.0},
    "olmo2": _GROUPED,
    "mixtral": _GROUPED | {"num_local_experts": 4},
    "qwen3_moe": _WITH_HEAD | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "bos_token_id": 0, "eos_token_id": 0},
}
WITH_SHARED_START = set(ARCHITECTURES) - {"mamba"}
CHANGED_AFTER_HEAD = {"gemma2", "gemma3_text", "cohere", "granite"}


def build(name: str) -> Any:
    """Build a small model whose random weights are large enough to give peaked predictions."""
    config = AutoConfig.for_model(name, vocab_size=VOCABULARY, **ARCHITECTURES[name])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.3)
    return model


def sequences() -> list[TokenSequence]:
    generator = torch.Generator().manual_seed(1)
    return [TokenSequence(tuple(torch.randint(0, VOCABULARY, (n,), generator=generator).tolist()), 1) for n in LENGTHS]


def float64_twin(model: Any) -> Any:
    """Return the same weights in float64 (mixtures of experts need the plain kernel for that)."""
    twin = AutoModelForCausalLM.from_config(model.config).double().eval()
    twin.load_state_dict({key: value.double() for key, value in model.state_dict().items()})
    if hasattr(twin, "set_experts_implementation"):
        twin.set_experts_implementation("eager")
    return twin


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_against_the_naive_loop(name: str) -> None:
    model = build(name)
    batch = sequences()
    scorer = Scorer(model, name=name)
    together = scorer.score(batch)
    twin = float64_twin(model)
    for sequence, scores in zip(batch, together, strict=True):
        naive = naive_logprobs(twin, sequence.ids, sequence.first_scored)
        np.testing.assert_allclose(scores.logprob, naive, atol=5e-5)
        assert math.fsum(scores.logprob) == pytest.approx(math.fsum(naive), abs=1e-5 * len(naive) + 1e-5)
        (alone,) = scorer.score([sequence])
        np.testing.assert_allclose(alone.logprob, scores.logprob, atol=2e-5)
        np.testing.assert_allclose(alone.logprob_variance, scores.logprob_variance, atol=1e-4)
    backwards = scorer.score(batch[::-1])[::-1]
    for one, other in zip(together, backwards, strict=True):
        np.testing.assert_allclose(one.logprob, other.logprob, atol=2e-5)
        np.testing.assert_allclose(one.logprob_mean, other.logprob_mean, atol=2e-5)
    scorer.check(batch[:2])
    assert ("changes after the head" in scorer.path) == (name in CHANGED_AFTER_HEAD)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_shared_start_is_read_once(name: str) -> None:
    model = build(name)
    shared = tuple(range(1, 20))
    batch = [TokenSequence((*shared, *one.ids), len(shared) + 1, n_shared=len(shared)) for one in sequences()]
    scorer = Scorer(model, name=name)
    scorer.check(batch[:2])
    n_read: list[int] = []
    counter = model.register_forward_pre_hook(
        lambda _m, _a, given: n_read.append(given["input_ids"].numel()), with_kwargs=True
    )
    again = scorer.score(batch)
    counter.remove()
    for sequence, scores in zip(batch, again, strict=True):
        naive = naive_logprobs(model, sequence.ids, sequence.first_scored)
        np.testing.assert_allclose(scores.logprob, naive, atol=1e-4)
    own = sum(len(one.ids) for one in sequences())
    if name in WITH_SHARED_START:
        assert max(n_read) == max(map(len, (one.ids for one in sequences()))) * len(batch)  # padded, start left out
    else:
        assert max(n_read) >= own + len(shared) * len(batch)  # read again for each sequence


def test_moments_of_a_real_forward_against_float64() -> None:
    model = build("llama")
    (sequence,) = sequences()[:1]
    (found,) = Scorer(model, name="llama").score([sequence])
    with torch.no_grad():
        logits = float64_twin(model)(torch.tensor([sequence.ids])).logits[0, :-1]
    log_p = logits.log_softmax(-1)
    mean = (log_p.exp() * log_p).sum(-1)
    variance = (log_p.exp() * (log_p - mean[:, None]).square()).sum(-1)
    np.testing.assert_allclose(found.logprob_mean, mean, atol=1e-4)
    np.testing.assert_allclose(found.logprob_variance, variance, atol=2e-4)
    true = log_p.gather(1, torch.tensor(sequence.ids[1:])[:, None])
    assert found.rank.tolist() == (log_p > true).sum(-1).tolist()


def test_only_the_asked_positions_are_scored() -> None:
    scorer = Scorer(build("gpt2"), name="gpt2")
    (whole,) = scorer.score([TokenSequence(tuple(range(10)), 1)])
    (tail,) = scorer.score([TokenSequence(tuple(range(10)), 6)])
    assert len(tail.logprob) == 4
    np.testing.assert_allclose(tail.logprob, whole.logprob[5:], atol=2e-5)


@pytest.mark.parametrize(("name", "largest"), [("llama", (16, 8)), ("cohere", (8, VOCABULARY))])
def test_logits_of_a_batch_are_never_materialised(
    name: str, largest: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.engine import tapped_head

    seen: list[tuple[int, int]] = []

    def watch(logits: torch.Tensor, true: torch.Tensor) -> Moments:
        seen.append((logits.shape[0], logits.shape[1]))
        return PLAIN(logits, true)

    model = build(name)
    whole = Scorer(model, name=name).score(sequences())
    monkeypatch.setitem(tapped_head._LOGIT_BYTES, "cpu", 4 * VOCABULARY * 8)  # eight rows at a time
    monkeypatch.setattr(tapped_head, "_TILE", (16, 8))  # sixteen rows and eight columns, where the head is one matrix
    parts = Scorer(model, name=name, kernel=Kernel("watched", watch)).score(sequences())
    assert max(seen) == largest  # of 108 scored rows and 97 columns
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.logprob, other.logprob, atol=5e-6)
        np.testing.assert_allclose(one.logprob_mean, other.logprob_mean, atol=5e-6)
        np.testing.assert_allclose(one.logprob_variance, other.logprob_variance, atol=5e-5)
        np.testing.assert_array_equal(one.rank, other.rank)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models(dtype: torch.dtype) -> None:
    model = build("llama").to(dtype)
    batch = sequences()
    scorer = Scorer(model, name="llama")
    scorer.check(batch[:3])
    for sequence, scores in zip(batch, scorer.score(batch), strict=True):
        naive = naive_logprobs(model, sequence.ids, sequence.first_scored)
        np.testing.assert_allclose(scores.logprob, naive, atol=0.2)  # rounding of the model, not of the statistics


@pytest.mark.filterwarnings("ignore")
def test_an_encoder_is_refused() -> None:
    config = AutoConfig.for_model("bert", vocab_size=VOCABULARY, is_decoder=False, **_COMMON)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    with pytest.raises(ModelError, match="not causal"):
        Scorer(model, name="bert").check(sequences()[:2])


def test_nan_logits_are_an_error_not_a_number() -> None:
    model = build("gpt2")
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="NaN logits"):
        Scorer(model, name="gpt2").score(sequences())


def test_a_model_without_a_separable_head_is_scored_from_whole_logits() -> None:
    model = build("llama")
    tapped = Scorer(model, name="llama").score(sequences())
    model.get_output_embeddings = lambda: None
    scorer = Scorer(model, name="llama")
    assert "whole logits" in scorer.path
    for one, other in zip(tapped, scorer.score(sequences()), strict=True):
        np.testing.assert_allclose(one.logprob, other.logprob, atol=2e-5)


def test_scores_are_plain_host_arrays() -> None:
    (found,) = Scorer(build("gpt2"), name="gpt2").score(sequences()[:1])
    assert (found.logprob.dtype, found.rank.dtype) == (np.float32, np.int32)
    json.dumps(found.logprob.tolist())
