"""Scores without an audit: figures of bare scores, token scores, predictions and epsilon as the commands give them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import auditor
from auditor.documents.files import to_text
from helpers import Ran, make_texts, naive_logprobs


def test_evaluate_by_hand() -> None:
    # pairs: 3 beats 0, -1, 2; 2 beats 0, -1 and ties 2 (1/2); 1 beats 0, -1: 7.5 of 9
    found = auditor.evaluate([3.0, 2.0, 1.0], [0.0, -1.0, 2.0], fpr=[0.4, 1.0])
    assert found.auc.value == 7.5 / 9
    assert (found.auc.n_members, found.auc.n_non_members) == (3, 3)
    # threshold 2: TPR 2/3, FPR 1/3; threshold 1: TPR 1, FPR 1/3: the largest difference is 2/3
    assert found.advantage.value == pytest.approx(2 / 3)
    assert [rate.value for rate in found.tpr_at_fpr] == [1.0, 1.0]
    assert found.roc is not None
    assert not found.inverted
    assert "AUC: 0.8333 [" in repr(found)


@given(
    st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=40),
    st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=40),
)
def test_evaluate_agrees_with_scikit_learn(members: list[float], non_members: list[float]) -> None:
    found = auditor.evaluate(members, non_members).auc
    labels = [True] * len(members) + [False] * len(non_members)
    assert found.value == pytest.approx(roc_auc_score(labels, [*members, *non_members]))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    members, others = np.repeat(rng.normal(0.5, 1, 20), 10), np.repeat(rng.normal(0, 1, 20), 10)
    alone = auditor.evaluate(members, others).auc
    grouped = auditor.evaluate(members, others, groups=(np.arange(200) // 10, 100 + np.arange(200) // 10)).auc
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.0, np.nan], [0.0]), "member_scores must be a vector of finite numbers, one a text; 1 of 2"),
        (([[1.0]], [0.0]), r"got the shape \(1, 1\)"),
        ((["x"], [0.0]), "member_scores must be numbers"),
        (([1.0], ["x"]), "non_member_scores must be numbers"),
    ],
)
def test_evaluate_refuses_what_are_no_scores(arguments: tuple, said: str) -> None:
    with pytest.raises(auditor.DataError, match=said):
        auditor.evaluate(*arguments)


def test_evaluate_refuses_what_does_not_fit() -> None:
    with pytest.raises(auditor.DataError, match="groups is a pair"):
        auditor.evaluate([1.0, 2.0], [0.0], groups=(["a"], ["b"]))
    with pytest.raises(auditor.DataError, match="cannot be evaluated"):
        auditor.evaluate([1.0, 2.0], [0.0], confidence=95)
    assert auditor.evaluate([1.0], []).auc.undefined_reason


def test_score_agrees_with_a_loop(tiny_models: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    texts = make_texts(5, seed=4)
    found = auditor.score(model, texts, tokenizer=tokenizer)
    wanted = [sum(naive_logprobs(model, [0, *tokenizer(text)["input_ids"]], 1)) for text in texts]
    np.testing.assert_allclose(found.total_logprob, wanted, rtol=1e-5)
    by_path = auditor.score(tiny_models["target"], texts)
    np.testing.assert_array_equal(found.logprob, by_path.logprob)
    short = auditor.score(model, texts, tokenizer=str(tiny_models["target"]), max_tokens=3, prefix_token="none")
    assert short.n_tokens.tolist() == [2] * 5
    with pytest.raises(auditor.ConfigError, match="score takes no non_members"):
        auditor.score(model, texts, tokenizer=tokenizer, non_members=texts)


def test_predict_is_what_the_command_prints(run: Callable[..., Ran], tiny_data: dict, tiny_models: dict) -> None:
    ran = run("predict", "--params", "124M", "--tokens", "300M", "--epochs", 2, "--json")
    assert json.loads(to_text(auditor.predict(params="124M", tokens=3e8, epochs=2))) == ran.document
    ran = run("predict", "--model", tiny_models["target"], "--data", tiny_data["members"], "--json")
    assert json.loads(to_text(auditor.predict(model=tiny_models["target"], data=tiny_data["members"]))) == ran.document
    for asked, said in (
        ({"params": 1e8}, "no data given"),
        ({"params": "many", "tokens": 1}, "params: "),
        ({"param": 1e8}, "predict takes no 'param'"),
        ({"params": 1e8, "tokens": 1e8, "samples": 3}, "give only one of"),
    ):
        with pytest.raises(auditor.ConfigError, match=said):
            auditor.predict(**asked)


def test_epsilon_is_what_the_command_prints(run: Callable[..., Ran]) -> None:
    ran = run("epsilon", "--canaries", 1000, "--guesses", 100, "--correct", 90, "--json")
    found = auditor.epsilon_lower_bound(canaries=1000, guesses=100, correct=90)
    assert json.loads(to_text(found)) == ran.document
    with pytest.raises(auditor.ConfigError, match="no bound on epsilon"):
        auditor.epsilon_lower_bound(canaries=10, guesses=100, correct=90)
