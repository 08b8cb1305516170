"""A probe leaves the model as it was, takes it out of its wrapping, and refuses what it cannot score."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.errors import ConfigError, DataError, ModelError
from helpers import make_texts, naive_logprobs, write_jsonl


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    return make_texts(12, seed=1), make_texts(12, seed=2)


def test_two_lists_and_two_files_are_the_same_probe(texts: Any, tmp_path: Path) -> None:
    from auditor.auditing.probe import read_probe

    files = [write_jsonl(tmp_path / f"{name}.jsonl", side, prefix=name) for name, side in zip("mn", texts, strict=True)]
    lists, read = read_probe(*texts), read_probe(*files)
    assert list(lists.texts) == list(read.texts) == [*texts[0], *texts[1]]
    assert lists.is_member.tolist() == read.is_member.tolist() == [True] * 12 + [False] * 12


def test_what_is_no_probe_is_refused(texts: Any) -> None:
    from auditor.auditing.probe import read_probe

    with pytest.raises(DataError, match="1 non-member with the exact text of a member"):
        read_probe(texts[0], [texts[0][3]])
    with pytest.raises(DataError, match="non_members in memory holds no texts"):
        read_probe(texts[0], [])
    for strange in ("", None, "\ud800"):
        with pytest.raises(DataError, match="non_member-1"):
            read_probe(texts[0], ["fine", strange])
    with pytest.raises(ConfigError, match="two files, or two lists"):
        read_probe(texts[0], "some.jsonl")


def test_the_mode_of_every_module_and_all_random_states_are_put_back(tiny_models: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from auditor.auditing.probe import undisturbed

    model = AutoModelForCausalLM.from_pretrained(tiny_models["target"]).train()
    model.transformer.h[0].eval()  # a frozen layer, say
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    with pytest.raises(KeyError), undisturbed(model):  # noqa: PT012
        assert not any(module.training for module in model.modules())
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        raise KeyError
    assert [module.training for module in model.modules()] == modes
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert torch.get_rng_state().equal(states[2])


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_a_model_in_pieces_is_refused(tiny_models: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from auditor.auditing.probe import whole_model

    model = AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    assert whole_model(torch.nn.DataParallel(model)) is model
    assert whole_model(torch.compile(model)) is model
    model.lm_head.weight.ds_id = 0
    with pytest.raises(ModelError, match="only a part of the model"):
        whole_model(model)
    with pytest.raises(ModelError, match="only a part of the model"):
        whole_model(AutoModelForCausalLM.from_pretrained(tiny_models["target"]).to("meta"))


def test_memory_that_runs_out_shrinks_the_batches(tiny_models: Any, texts: Any, monkeypatch: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from auditor.auditing import probe
    from auditor.config import AuditConfig, DataSpec, ModelSpec
    from auditor.engine.forward import OutOfMemory, Scorer

    config = AuditConfig(target=ModelSpec(path="none"), members=DataSpec(path="none"))
    model = AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    ready = probe.Probe.open(
        probe.read_probe(*texts), model, tokenizer, config, has_reference=False, folder=Path("none")
    )
    score, sizes = Scorer.score, []

    def tight(self: Any, batch: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise OutOfMemory("out of memory")
        return score(self, batch)

    monkeypatch.setattr(probe.Scorer, "score", tight)
    again = ready.score(model)
    assert max(sizes) > 3
    np.testing.assert_allclose(again.total_logprob, ready.reference.total_logprob, atol=1e-3)


def test_a_model_in_training_is_checked_at_every_measurement(tiny_models: Any, texts: Any, monkeypatch: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from auditor.auditing import probe
    from auditor.config import AuditConfig, DataSpec, ModelSpec
    from auditor.engine.forward import Scorer

    config = AuditConfig(target=ModelSpec(path="none"), members=DataSpec(path="none"))
    model = AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    ready = probe.Probe.open(
        probe.read_probe(*texts), model, tokenizer, config, has_reference=False, folder=Path("none")
    )
    score, sizes = Scorer.score, []

    def mixed(self: Any, batch: Any) -> Any:
        sizes.append(len(batch))
        return [replace(one, logprob=one.logprob - np.float32(0.1 * (len(batch) - 1))) for one in score(self, batch)]

    monkeypatch.setattr(probe.Scorer, "score", mixed)
    again = ready.score(model)
    assert sizes[-len(ready.sequences) :] == [1] * len(ready.sequences)
    np.testing.assert_allclose(again.total_logprob, ready.reference.total_logprob, atol=1e-3)
    monkeypatch.undo()

    model.transformer.ln_f.register_forward_hook(lambda _layer, _given, hidden: hidden + hidden.roll(-1, dims=1))
    with pytest.raises(ModelError, match="the model in training: the model is not causal"):
        ready.score(model)


def test_a_model_prepared_for_mixed_precision_is_scored_in_that_of_its_weights(tiny_models: Any, texts: Any) -> None:
    """Accelerate puts autocast around the forward: with it, tokens would be off by hundredths of a nat."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from auditor.auditing.probe import Probe, read_probe
    from auditor.config import AuditConfig, DataSpec, ModelSpec

    config = AuditConfig(target=ModelSpec(path="none"), members=DataSpec(path="none"))
    plain, wrapped = (AutoModelForCausalLM.from_pretrained(tiny_models["target"]) for _ in range(2))
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    AcceleratorState._reset_state(True)
    Accelerator(mixed_precision="bf16", cpu=True).prepare_model(wrapped)
    forward = wrapped.forward
    probe = Probe.open(read_probe(*texts), wrapped, tokenizer, config, has_reference=False, folder=Path("none"))
    AcceleratorState._reset_state(True)
    expected = [naive_logprobs(plain, one.ids, one.first_scored) for one in probe.sequences]
    np.testing.assert_allclose(probe.reference.logprob, np.concatenate(expected), atol=1e-4)
    assert wrapped.forward == forward
