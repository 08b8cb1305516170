"""InfoRMIA: by hand, against a loop over whole vocabularies that shares nothing with the engine, and what it means."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import auditor
from attacks import InfoRMIA
from helpers import build_tokenizer, make_texts, save_gpt2
from helpers_attacks import signals_of, token_scores


def test_by_hand() -> None:
    # token by token p = mean of the references: (.2 + .6) / 2 = .4, (.1 + .1) / 2 = .1
    # gains log2 .8/.4 = 1, log2 .4/.1 = 2; divergence 1 bit in all; (1 + 2 + 1) / 2 tokens = 2 bits per token
    one = [np.log([0.8, 0.4])]
    references = tuple(token_scores(np.log(row)) for row in ([0.2, 0.1], [0.6, 0.1]))
    signals = signals_of(token_scores(*one), references=references, divergence=np.array([math.log(2)]))
    np.testing.assert_allclose(InfoRMIA().score(signals), [2.0])


def test_references_that_saw_the_text_do_not_count() -> None:
    # of the two references the second saw the text: p = .2, gain log2 .8/.2 = 2; no divergence
    references = tuple(token_scores(np.log([value])) for value in (0.2, 0.6))
    seen = np.array([[False], [True]])
    signals = signals_of(token_scores(np.log([0.8])), references=references, seen=seen, divergence=np.zeros(1))
    np.testing.assert_allclose(InfoRMIA().score(signals), [2.0])


def naive(target: Any, references: list[Any], ids: list[int]) -> float:
    """Make the score of one text in float64, a token and an entry of the vocabulary at a time."""
    import torch

    def rows(model: Any) -> list[list[float]]:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0].double().tolist()
        found = []
        for row in logits:
            total = math.log(math.fsum(math.exp(value) for value in row))
            found.append([value - total for value in row])
        return found

    ours, theirs = rows(target), [rows(model) for model in references]
    total = 0.0
    for place in range(1, len(ids)):
        mine = ours[place - 1]
        expected = [
            math.log(math.fsum(math.exp(one[place - 1][entry]) for one in theirs) / len(theirs))
            for entry in range(len(mine))
        ]
        gain = mine[ids[place]] - expected[ids[place]]
        divergence = math.fsum(math.exp(p) * (p - q) for p, q in zip(expected, mine, strict=True))
        total += (gain + divergence) / math.log(2)
    return total / (len(ids) - 1)


@pytest.mark.parametrize("n_references", [1, 2])
def test_against_a_loop_over_the_vocabulary(tmp_path: Path, n_references: int) -> None:
    from transformers import AutoModelForCausalLM

    tokenizer = build_tokenizer()
    folders = [save_gpt2(tmp_path / str(i), seed=i, tokenizer=tokenizer) for i in range(n_references + 1)]
    texts = make_texts(3, seed=5, words=6)
    found = auditor.audit(folders[0], reference=folders[1:], members=texts, attacks=["informia"])
    models = [AutoModelForCausalLM.from_pretrained(folder) for folder in folders]
    wanted = [naive(models[0], models[1:], [0, *tokenizer(text)["input_ids"]]) for text in texts]
    np.testing.assert_allclose(found.samples.scores["informia"], wanted, rtol=2e-5)


def test_an_adapter_is_held_against_its_base_in_the_same_copy(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    tokenizer = build_tokenizer()
    folder = save_gpt2(tmp_path / "base", seed=0, tokenizer=tokenizer)
    base, texts = AutoModelForCausalLM.from_pretrained(folder), make_texts(3, seed=5, words=6)
    lora = LoraConfig(r=2, init_lora_weights=False, target_modules=["c_attn"], fan_in_fan_out=True)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        torch.manual_seed(1)
        adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), lora).eval()
    found = auditor.audit(adapted, tokenizer=tokenizer, members=texts, attacks=["informia"])
    wanted = [naive(adapted, [base], [0, *tokenizer(text)["input_ids"]]) for text in texts]
    np.testing.assert_allclose(found.samples.scores["informia"], wanted, rtol=2e-5, atol=1e-6)


def test_models_that_are_one_score_zero(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    folder = save_gpt2(tmp_path / "one", seed=0, tokenizer=tokenizer)
    twin = save_gpt2(tmp_path / "twin", seed=0, tokenizer=tokenizer)
    texts = make_texts(3, seed=5, words=6)
    found = auditor.audit(folder, reference=twin, members=texts, attacks=["informia"])
    np.testing.assert_allclose(found.samples.scores["informia"], 0, atol=1e-6)


def test_models_with_other_tokens_leave_it_out_or_refuse_it(tiny_models: dict[str, Path]) -> None:
    texts = make_texts(4, seed=3)
    with pytest.raises(auditor.ConfigError, match="token by token"):
        auditor.audit(tiny_models["target"], reference=tiny_models["other"], members=texts, attacks=["informia"])
    found = auditor.audit(tiny_models["target"], reference=tiny_models["other"], members=texts, attacks=["all"])
    assert "informia" not in found.samples.scores
    assert any("informia" in said for said in found.result.warnings)
