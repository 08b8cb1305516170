"""Scoring of every kind of architecture against a naive float64 loop: alone, in a batch, in any order."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from auditor.engine.batches import Budget
from auditor.engine.forward import OutOfMemory, Scorer
from auditor.engine.kernels import PLAIN, Kernel, Moments
from auditor.engine.tokens import TokenSequence
from auditor.engine.trial import Trial
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
    scorer.check(Trial.of(batch[2], batch[3]))
    assert not scorer.one_by_one
    assert ("changes after the head" in scorer.path) == (name in CHANGED_AFTER_HEAD)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_shared_start_is_read_once(name: str) -> None:
    model = build(name)
    shared = tuple(range(1, 20))
    batch = [TokenSequence((*shared, *one.ids), len(shared) + 1, n_shared=len(shared)) for one in sequences()]
    scorer = Scorer(model, name=name)
    scorer.check(Trial.of(batch[2], batch[3]))
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
    scorer.check(Trial.of(batch[2], batch[1]))
    assert not scorer.one_by_one
    for sequence, scores in zip(batch, scorer.score(batch), strict=True):
        naive = naive_logprobs(model, sequence.ids, sequence.first_scored)
        np.testing.assert_allclose(scores.logprob, naive, atol=0.2)  # rounding of the model, not of the statistics


@pytest.mark.filterwarnings("ignore")
def test_an_encoder_is_refused() -> None:
    config = AutoConfig.for_model("bert", vocab_size=VOCABULARY, is_decoder=False, **_COMMON)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    with pytest.raises(ModelError, match="not causal"):
        Scorer(model, name="bert").check(Trial.of(*sequences()[:2]))


def xlm(*, causal: bool) -> Any:
    """Build a model that masks its own padding, so that batches agree whether it is causal or not."""
    config = AutoConfig.for_model("xlm", vocab_size=VOCABULARY, emb_dim=32, n_layers=2, n_heads=4, causal=causal)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_masks_its_own_padding_is_refused_if_it_reads_the_future() -> None:
    found = sequences()
    Scorer(xlm(causal=True), name="xlm").check(Trial.of(found[2], found[1]))
    with pytest.raises(ModelError, match="not causal: other tokens later in a text change"):
        Scorer(xlm(causal=False), name="xlm").check(Trial.of(found[2], found[1]))


@pytest.mark.parametrize("n_ahead", [1, 2, 8])
def test_looking_a_few_tokens_ahead_is_reading_the_future(n_ahead: int) -> None:
    model = build("llama")

    def shift(_module: Any, _given: Any, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + 0.3 * hidden.roll(-n_ahead, dims=1)

    model.model.norm.register_forward_hook(shift)
    with pytest.raises(ModelError, match="not causal"):
        Scorer(model, name="llama", pack=False).check(Trial.of(sequences()[2], sequences()[3]))


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_attention_both_ways_within_blocks_is_reading_the_future(size: int) -> None:
    model = build("llama")

    def average(_module: Any, _given: Any, hidden: torch.Tensor) -> torch.Tensor:
        blocks = [one.mean(1, keepdim=True).expand_as(one) for one in hidden.split(size, dim=1)]
        return hidden + torch.cat(blocks, dim=1)

    model.model.norm.register_forward_hook(average)
    with pytest.raises(ModelError, match="not causal"):
        Scorer(model, name="llama", pack=False).check(Trial.of(sequences()[2], sequences()[3]))


def test_a_model_whose_batches_differ_is_run_on_one_text_at_a_time() -> None:
    model = build("llama")

    def disturb(_module: Any, _given: Any, hidden: torch.Tensor) -> torch.Tensor:
        return hidden * (1 + 0.1 * (len(hidden) - 1))  # by the rows of the batch: causal, and exact alone

    model.model.norm.register_forward_hook(disturb)
    scorer = Scorer(model, name="llama", pack=False)
    assert scorer.path.startswith("right-padded batches")
    scorer.check(Trial.of(sequences()[2], sequences()[3]))
    assert scorer.one_by_one
    assert scorer.path.startswith("one text at a time, as those of a batch come out otherwise than alone, head applied")


def test_a_model_that_cannot_run_a_batch_is_run_on_one_text_at_a_time() -> None:
    model = build("llama")

    def refuse(_module: Any, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > 2:
            raise RuntimeError("a batch of one only")

    model.model.norm.register_forward_pre_hook(refuse)
    scorer = Scorer(model, name="llama", pack=False)
    scorer.check(Trial.of(sequences()[2], sequences()[3]))
    assert scorer.one_by_one


def test_memory_that_ends_in_the_trial_says_nothing_of_batches() -> None:
    model = build("llama")

    def refuse(_module: Any, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > 2:
            raise MemoryError

    model.model.norm.register_forward_pre_hook(refuse)
    scorer = Scorer(model, name="llama", pack=False)
    with pytest.raises(OutOfMemory):
        scorer.check(Trial.of(sequences()[2], sequences()[3]))
    assert not scorer.one_by_one


def test_long_sequences_are_tried_without_their_whole_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.engine import forward

    monkeypatch.setattr(forward, "_WHOLE_LOGITS", VOCABULARY * 20)
    model = build("llama")
    whole: list[int] = []  # places of what the model itself gives to its head; chunks of rows have no batch

    def watch(_head: Any, _given: Any, logits: torch.Tensor) -> None:
        whole.extend([logits.shape[1]] if logits.ndim == 3 else [])

    model.lm_head.register_forward_hook(watch)
    scorer = Scorer(model, name="llama", pack=False)
    scorer.check(Trial.of(sequences()[2], sequences()[3]))
    assert max(whole) == len(sequences()[3].ids) <= 20 < len(sequences()[2].ids)
    assert not scorer.one_by_one


def test_a_trial_is_made_of_the_longest_and_the_shortest_text() -> None:
    longest, shortest = TokenSequence(tuple(range(100, 141)), 1), TokenSequence((7, 8, 9), 1)
    trial = Trial.of(longest, shortest)
    assert [len(one.ids) for one in trial.batch] == [41, 33, 3]
    assert (trial.batch[0], trial.batch[2]) == (longest, shortest)
    assert trial.n_start == 21
    assert trial.other.ids[:21] == longest.ids[:21]
    assert all(ours != other for ours, other in zip(longest.ids[21:], trial.other.ids[21:], strict=True))
    assert set(trial.other.ids) <= {*longest.ids, *shortest.ids}


def test_a_trial_pads_and_has_two_futures_whatever_the_texts_are() -> None:
    one = TokenSequence((5, 5, 5, 5, 5, 5), 1)
    trial = Trial.of(one, one)
    assert [len(each.ids) for each in trial.batch] == [6, 5, 3]
    assert (trial.n_start, trial.other.ids) == (3, (5, 5, 5, 4, 4, 4))
    least = Trial.of(TokenSequence((0, 0), 1), TokenSequence((0, 0), 1))
    assert (least.n_start, least.other.ids) == (1, (0, 1))
    assert [each.n_scored for each in least.batch] == [1, 1, 1]


def test_a_trial_is_within_the_budget_and_on_the_near_side_of_a_boundary() -> None:
    longest, shortest = TokenSequence(tuple(range(1000)), 1), TokenSequence((7, 8, 9), 1)
    assert len(Trial.of(longest, shortest, Budget(300)).batch[0].ids) == 100
    assert len(Trial.of(longest, shortest, Budget(1)).batch[0].ids) == 16
    assert len(Trial.of(longest, shortest, Budget(300), boundary=64).batch[0].ids) == 64
    shots = TokenSequence(tuple(range(1000)), 501, n_shared=500)
    trial = Trial.of(shots, replace(shots, ids=shots.ids[:503]), Budget(300))
    assert [len(one.ids) for one in trial.batch] == [600, 580, 503]
    assert trial.n_start == 549


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
