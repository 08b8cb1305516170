"""From texts to signals: against the naive loop, whatever the batching, and never twice."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from attacks import AFTER_SHOTS, LOWERCASE, Need
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine import plan, scoring
from auditor.engine import signals as passes
from auditor.engine.forward import OutOfMemory, Running, Scorer
from auditor.engine.packing import packing_of
from auditor.engine.request import ScoringRequest
from auditor.engine.signals import Collected, collect_signals
from auditor.engine.tokens import TokenSequence
from auditor.engine.trial import Trial
from auditor.errors import ConfigError, ModelError
from helpers import build_tokenizer, make_texts, naive_logprobs, save_gpt2
from helpers_engine import load_plainly

ALL = frozenset({Need.REFERENCE, Need.LOWERCASE})


@pytest.fixture
def collect(tiny_models: dict[str, Path], tmp_path: Path) -> Callable[..., Collected]:
    """Return a function that scores texts with the tiny models."""

    def run(
        texts: list[str],
        *,
        references: tuple[str, ...] = ("reference",),
        needs: frozenset[Need] = frozenset({Need.REFERENCE}),
        scores: str = "scores",
        target: Path | None = None,
        shots: Sequence[str] = (),
        **options: Any,
    ) -> Collected:
        config = AuditConfig(
            target=ModelSpec(path=str(target or tiny_models["target"])),
            references=tuple(ModelSpec(path=str(tiny_models[name])) for name in references),
            members=DataSpec(path="unused"),
            **options,
        )
        return collect_signals(
            config,
            ScoringRequest(sample_ids=[f"s{i}" for i in range(len(texts))], texts=texts, needs=needs, shots=shots),
            scores_folder=tmp_path / scores,
        )

    return run


@pytest.fixture
def texts() -> list[str]:
    found = make_texts(12, seed=5)
    return [*found, "x", "İstanbul ÇOK güzel", "<b>&amp;</b>\x00\u202e\r\n\t", found[0]]


def test_totals_against_the_naive_loop(
    collect: Callable[..., Collected], texts: list[str], tiny_models: dict[str, Path]
) -> None:
    signals = collect(texts, references=("reference", "other"), needs=ALL).signals
    assert not signals.aligned
    parts = [
        ("target", signals.target, texts),
        ("target", signals.views[LOWERCASE], [text.lower() for text in texts]),
        ("reference", signals.references[0], texts),
        ("other", signals.references[1], texts),
    ]
    for name, found, view in parts:
        model, tokenizer = load_plainly(tiny_models[name])
        for i, text in enumerate(view):
            ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
            naive = naive_logprobs(model, ids, 1)
            assert found.n_tokens[i] == len(naive)
            assert found.total_logprob[i] == pytest.approx(sum(naive), abs=1e-5 * len(naive))


@pytest.mark.parametrize("batch_tokens", [30, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 64, 100_000))])
def test_batching_and_order_do_not_matter(
    collect: Callable[..., Collected], texts: list[str], batch_tokens: int
) -> None:
    plain = collect(texts).signals
    other = collect(texts[::-1], batch_tokens=batch_tokens, scores=f"b{batch_tokens}").signals
    np.testing.assert_allclose(other.target.total_logprob[::-1], plain.target.total_logprob, atol=1e-4)
    np.testing.assert_allclose(
        np.concatenate([x.ravel() for x in list(other.target.per_text(other.target.logprob_variance))[::-1]]),
        plain.target.logprob_variance,
        atol=1e-4,
    )


def test_blocks_are_the_whole_in_parts(
    collect: Callable[..., Collected], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [*texts, "Ada had 12345 of it. " * 9]  # which is cut
    whole = collect(long, references=("other",), needs=ALL)
    monkeypatch.setattr(plan, "_BLOCK", 5)
    monkeypatch.setattr(passes, "_BLOCK", 3)
    parts = collect(long, references=("other",), needs=ALL)
    assert parts.plan.text_keys == whole.plan.text_keys
    np.testing.assert_array_equal(parts.plan.n_bytes, whole.plan.n_bytes)
    np.testing.assert_array_equal(parts.plan.unread, whole.plan.unread)
    found = [(places, block) for places, block in parts.blocks()]
    assert [places.stop - places.start for places, _ in found] == [3] * 5 + [2]
    assert [text for _, block in found for text in block.texts] == list(whole.signals.texts)
    for scores in (lambda one: one.target, lambda one: one.references[0], lambda one: one.views[LOWERCASE]):
        joined = np.concatenate([scores(block).logprob for _, block in found])
        np.testing.assert_array_equal(joined, scores(whole.signals).logprob)


def test_same_text_is_scored_once_and_nothing_twice(
    collect: Callable[..., Collected], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = collect(texts, needs=frozenset({Need.REFERENCE}))
    assert first.n_tokens_reused == first.signals.target.n_tokens[0] + first.signals.references[0].n_tokens[0]
    n_scored: list[int] = []
    start = Scorer.start
    monkeypatch.setattr(Scorer, "start", lambda self, batch: n_scored.append(len(batch)) or start(self, batch))
    loaded: list[str] = []
    load_weights = scoring.load_weights

    def watch(files: Any, **options: Any) -> Any:
        loaded.append(files.spec.path)
        return load_weights(files, **options)

    monkeypatch.setattr(scoring, "load_weights", watch)
    again = collect(texts)
    assert (n_scored, loaded, again.n_tokens_scored) == ([], [], 0)
    np.testing.assert_array_equal(again.signals.target.logprob, first.signals.target.logprob)
    more = collect(texts, needs=ALL)  # one attack more: the lowercase pass of the target, nothing else
    assert len(loaded) == 1
    assert "target" in loaded[0]
    assert more.n_tokens_scored <= more.signals.views[LOWERCASE].n_tokens.sum()


def pack_untried(scorer: Scorer) -> None:
    scorer._packing = packing_of(scorer._model, torch.device("cpu"))


def test_a_batch_started_before_the_last_is_waited_for_changes_nothing(
    collect: Callable[..., Collected], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = collect(texts, needs=ALL, batch_tokens=60)
    seen: list[str] = []
    start, scores = Scorer.start, Running.scores
    monkeypatch.setattr(Scorer, "check", lambda scorer, trial: None)
    monkeypatch.setattr(Scorer, "_try_packing", pack_untried)
    monkeypatch.setattr(Scorer, "start", lambda scorer, batch: seen.append("start") or start(scorer, batch))
    monkeypatch.setattr(Running, "scores", lambda batch: seen.append("scores") or scores(batch))
    monkeypatch.setattr(Scorer, "runs_ahead", True)
    ahead = collect(texts, needs=ALL, batch_tokens=60, scores="ahead")
    one_pass = seen[: 1 + next(i for i, pair in enumerate(pairwise(seen)) if pair == ("scores", "scores")) + 1]
    assert one_pass[:4] == ["start", "start", "scores", "start"]
    assert one_pass.count("start") == one_pass.count("scores") > 2
    for one, other in ((ahead.signals.target, plain.signals.target),
                       (ahead.signals.references[0], plain.signals.references[0]),
                       (ahead.signals.views[LOWERCASE], plain.signals.views[LOWERCASE])):  # fmt: skip
        for name in ("logprob", "logprob_mean", "logprob_variance", "rank", "logprob_max", "tied"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_runs_is_kept_when_the_next_batch_does_not_fit(
    collect: Callable[..., Collected], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = collect(texts, references=(), needs=frozenset(), batch_tokens=60)
    start, calls = Scorer.start, 0

    def full(scorer: Scorer, batch: Sequence[TokenSequence]) -> Running:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OutOfMemory("no room")
        return start(scorer, batch)

    monkeypatch.setattr(Scorer, "check", lambda scorer, trial: None)
    monkeypatch.setattr(Scorer, "_try_packing", pack_untried)
    monkeypatch.setattr(Scorer, "runs_ahead", True)
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "start", full)
        with pytest.raises(OutOfMemory):
            collect(texts, references=(), needs=frozenset(), batch_tokens=60, scores="full")
    rest = collect(texts, references=(), needs=frozenset(), batch_tokens=60, scores="full")
    assert 0 < rest.n_tokens_scored < plain.n_tokens_scored
    np.testing.assert_array_equal(rest.signals.target.logprob, plain.signals.target.logprob)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_unbroken(
    collect: Callable[..., Collected], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = collect(texts, batch_tokens=40, scores="whole")
    start, calls = Scorer.start, 0

    def killed(self: Scorer, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return start(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "start", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(texts, batch_tokens=40, scores="broken")
    resumed = collect(texts, batch_tokens=40, scores="broken")
    assert 0 < resumed.n_tokens_scored < whole.n_tokens_scored
    np.testing.assert_array_equal(resumed.signals.target.logprob, whole.signals.target.logprob)
    np.testing.assert_array_equal(resumed.signals.references[0].logprob, whole.signals.references[0].logprob)


@pytest.mark.slow
def test_changed_weights_are_scored_anew(collect: Callable[..., Collected], tmp_path: Path) -> None:
    texts = ["Ada had 1.", "Bo had 2."]
    folder = save_gpt2(tmp_path / "changing", seed=7)
    before = collect(texts, target=folder)
    save_gpt2(tmp_path / "changing", seed=8)
    after = collect(texts, target=folder)
    assert after.n_tokens_scored == after.signals.target.n_tokens.sum()
    assert not np.allclose(before.signals.target.logprob, after.signals.target.logprob)


def test_prefix_changes_the_scores_and_the_key(collect: Callable[..., Collected]) -> None:
    texts = ["Ada had 1.", "Bo had 2."]
    separator, none = collect(texts), collect(texts, prefix_token="none")
    assert (separator.signals.target.n_tokens - none.signals.target.n_tokens == 1).all()
    assert none.n_tokens_scored == none.signals.target.n_tokens.sum() * 2
    assert separator.models[0].encoder.prefix.ids == (0,)


def test_long_texts_are_cut_at_the_same_character(collect: Callable[..., Collected]) -> None:
    texts = ["Ada had 12345 of it. " * 40, "Bo had 2."]
    found = collect(texts, references=("other",))
    cut, whole = found.signals.texts
    assert whole == texts[1]
    assert texts[0].startswith(cut)
    target, other = (model.encoder for model in found.models)
    assert (target.window, other.window) == (63, 63)
    longest = max(len(target.encode([cut])[0]), len(other.encode([cut])[0]))
    assert longest <= 63
    one_more = texts[0][: len(cut) + 1]
    assert max(len(target.encode([one_more])[0]), len(other.encode([one_more])[0])) > 63


def test_strides_score_everything_and_agree_within_the_first_window(collect: Callable[..., Collected]) -> None:
    texts = ["Ada had 12345 of it. " * 40, "Bo had 2."]
    cut, whole = collect(texts), collect(texts, long_texts="stride")
    assert whole.signals.texts == tuple(texts)
    assert whole.plan.windowed.tolist() == [True, False]
    n = int(cut.signals.target.n_tokens[0]) - 5
    np.testing.assert_allclose(whole.signals.target.logprob[:n], cut.signals.target.logprob[:n], atol=2e-5)
    encoder = whole.models[0].encoder
    assert whole.signals.target.n_tokens[0] == len(encoder.encode([texts[0]])[0])


def test_max_tokens(collect: Callable[..., Collected]) -> None:
    found = collect(["Ada had 12345 of it. " * 5], max_tokens=7)
    assert found.signals.target.n_tokens.tolist() == [7]


def test_no_prefix_and_two_tokenizers_is_refused(collect: Callable[..., Collected]) -> None:
    with pytest.raises(ConfigError, match="different first token unscored"):
        collect(["Ada had 1.", "Bo had 2."], references=("other",), prefix_token="none")


def test_aligned_attacks_refuse_other_tokenizers(collect: Callable[..., Collected]) -> None:
    needs = frozenset({Need.ALIGNED_TOKENS, Need.REFERENCE})
    text = "The of and a to in he was that it his her with as had she for on 12345."
    assert collect([text], needs=needs).signals.aligned
    with pytest.raises(ConfigError, match="token by token"):
        collect([text], needs=needs, references=("other",))


def test_shots_are_read_once_and_not_scored(
    collect: Callable[..., Collected],
    texts: list[str],
    tiny_models: dict[str, Path],
    tmp_path: Path,
) -> None:
    shots = ["Ada had 1. ", "Bo had 2. ", "too long for half the window " * 9]
    found = collect(texts, references=(), needs=frozenset({Need.SHOTS}), shots=shots)
    model, tokenizer = load_plainly(tiny_models["target"])
    before = [0, *tokenizer("Ada had 1. ")["input_ids"], *tokenizer("Bo had 2. ")["input_ids"]]
    assert found.models[0].shots[AFTER_SHOTS].ids == tuple(before[1:])
    assert any("2 of 3 shots stand before every text" in note for note in found.notes)
    assert found.models[0].shots_notes() == [found.notes[-1]]
    after = found.signals.views[AFTER_SHOTS]
    for i, text in enumerate(found.plan.texts):  # some are cut: shots and text share the window
        naive = naive_logprobs(model, [*before, *tokenizer(text)["input_ids"]], len(before))
        assert after.n_tokens[i] == len(naive) == found.signals.target.n_tokens[i]
        assert after.total_logprob[i] == pytest.approx(sum(naive), abs=1e-5 * len(naive) + 1e-5)
    with pytest.raises(ConfigError, match="more than half the window of 63 tokens; give shorter ones"):
        collect(texts, references=(), needs=frozenset({Need.SHOTS}), scores="none", shots=shots[2:])
    assert not [file for file in tmp_path.glob("none/**/*") if file.is_file()]  # told before anything is scored


@pytest.mark.slow
def test_texts_that_are_cut_for_the_shots_are_counted(
    collect: Callable[..., Collected], tiny_models: dict[str, Path]
) -> None:
    _, tokenizer = load_plainly(tiny_models["target"])
    shot, needs = "Ada had 1. ", frozenset({Need.SHOTS})
    n_shot = len(tokenizer(shot)["input_ids"])
    texts = ["1" * 5, "2" * (63 - n_shot), "3" * (64 - n_shot), "4" * 63, "5" * 90]
    assert [len(tokenizer(text)["input_ids"]) for text in texts] == [len(text) for text in texts]
    found = collect(texts, references=(), needs=needs, shots=[shot])
    assert [len(text) for text in found.plan.texts] == [5, *[63 - n_shot] * 4]
    (note,) = found.notes
    assert note.startswith(f"3 of 5 texts were cut, or cut shorter, because they have to fit after the shots ({n_shot}")
    assert not collect(texts[:2], references=(), needs=needs, shots=[shot]).notes
    assert not collect(texts, references=()).notes
    assert not collect(texts, references=(), needs=needs, shots=[shot], long_texts="stride").notes
    bound = collect(texts, references=("reference",), needs=needs, shots=[shot], max_tokens=63 - n_shot)
    assert bound.notes[0].startswith("4 of 5 texts")  # the shots take their room from what is asked for, too


def test_control_marks_in_a_text_are_noted(collect: Callable[..., Collected]) -> None:
    found = collect(["Ada <|endoftext|> 1.", "Bo had 2."])
    assert any("1 of 2 texts contain special tokens of the target" in note for note in found.notes)


def test_progress_reaches_the_total(
    collect: Callable[..., Collected], tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    seen: list[scoring.ScoringProgress] = []
    config = AuditConfig(target=ModelSpec(path=str(tiny_models["target"])), members=DataSpec(path="unused"))
    collect_signals(
        config,
        ScoringRequest(sample_ids=["a", "b"], texts=["Ada had 1.", "Bo had 2."]),
        scores_folder=tmp_path / "p",
        on_progress=seen.append,
    )
    assert seen[-1].done_tokens == seen[-1].total_tokens > 0


@pytest.mark.slow
def test_half_precision_is_another_pass(collect: Callable[..., Collected]) -> None:
    texts = ["Ada had 1.", "Bo had 2."]
    full, half = collect(texts), collect(texts, dtype="bfloat16")
    assert half.models[0].key.dtype == "bfloat16"
    assert half.n_tokens_scored == full.n_tokens_scored
    np.testing.assert_allclose(half.signals.target.logprob, full.signals.target.logprob, atol=0.3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "configuration cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "missing weight files"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "only pickled weights",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"1234567890"), "weights cannot be loaded"),
        (lambda folder: edit(folder, model_type="t5", is_encoder_decoder=True), "encoder-decoder"),
        (lambda folder: edit(folder, model_type="clip"), "not a causal LM"),
        (lambda folder: edit(folder, n_layer=3), "missing from the checkpoint"),
        (lambda folder: edit(folder, vocab_size=200), "vocabulary ends at 199|cannot be loaded"),
    ],
)
def test_damaged_models_are_refused(
    collect: Callable[..., Collected],
    tiny_models: dict[str, Path],
    tmp_path: Path,
    damage: Callable[[Path], Any],
    message: str,
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_models["target"], folder)
    damage(folder)
    with pytest.raises(ModelError, match=message):
        collect(["Ada had 1."], target=folder)


def test_weights_are_known_by_their_tensors_not_by_their_files(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from auditor.engine.loading.models import open_model

    plain = open_model(ModelSpec(path=str(tiny_models["target"])))
    folder = tmp_path / "sharded"
    shutil.copytree(tiny_models["target"], folder)
    edit(folder, transformers_version="0.0.0", dtype="bfloat16")
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    (folder / "model.safetensors").unlink()
    save_file({name: tensors[name] for name in names[:3]}, folder / "x-1.safetensors")
    save_file({name: tensors[name] for name in names[3:]}, folder / "x-2.safetensors")
    index = {name: "x-1.safetensors" if name in names[:3] else "x-2.safetensors" for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    sharded = open_model(ModelSpec(path=str(folder)))
    assert sharded.weights_sha256 == plain.weights_sha256
    assert sharded.config_sha256 != plain.config_sha256
    assert sharded.stored_dtype == "float32"  # what the tensors are, not what the configuration says
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, folder / "model.safetensors")
    both = open_model(ModelSpec(path=str(folder)))  # transformers takes model.safetensors if there is one
    assert both.weights_sha256 != plain.weights_sha256
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ModelError, match="not an index"):
        open_model(ModelSpec(path=str(folder)))


def test_strides_give_all_models_the_same_context(
    collect: Callable[..., Collected], tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    from transformers import GPT2LMHeadModel

    short = tmp_path / "short"
    shutil.copytree(tiny_models["target"], short)
    model = GPT2LMHeadModel.from_pretrained(short)
    model.transformer.wpe.weight.data = model.transformer.wpe.weight.data[:20].clone()
    model.config.n_positions = 20
    model.save_pretrained(short)
    texts = ["Ada had 12345 of it. " * 10]
    found = collect(texts, references=(), needs=frozenset(), target=short, long_texts="stride")
    config = AuditConfig(
        target=ModelSpec(path=str(tiny_models["target"])),
        references=(ModelSpec(path=str(short)),),
        members=DataSpec(path="unused"),
        long_texts="stride",
    )
    both = collect_signals(
        config,
        ScoringRequest(sample_ids=["a"], texts=texts, needs=frozenset({Need.REFERENCE})),
        scores_folder=tmp_path / "both",
    )
    np.testing.assert_allclose(both.signals.target.logprob, both.signals.references[0].logprob, atol=2e-5)
    np.testing.assert_allclose(both.signals.target.logprob, found.signals.target.logprob, atol=2e-5)
    assert both.plan.windowed.tolist() == [True]


def test_characters_without_a_token_are_counted(collect: Callable[..., Collected], tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate("<abcdefghijklmnopqrstuvwxyz .")}
    backend = Tokenizer(models.BPE(vocab=letters, merges=[]))  # no unknown token, no byte fallback
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    deaf = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<")
    folder = save_gpt2(tmp_path / "deaf", seed=3, tokenizer=deaf)
    found = collect(["plain words", "half 日本語 heard"], target=folder)
    assert found.plan.unread.tolist() == [[0, 3], [0, 0]]


def test_the_check_is_made_of_the_longest_and_the_shortest_text(
    collect: Callable[..., Collected], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Trial] = []
    check = Scorer.check
    monkeypatch.setattr(Scorer, "check", lambda scorer, trial: tried.append(trial) or check(scorer, trial))
    texts = ["Ada had", "Ada had 12345 of it. " * 4, "It was Ada who had 7 of it."]
    found = collect(texts, references=(), needs=frozenset())
    encoder = found.models[0].encoder
    longest, shortest = (encoder.sequences(encoder.encode([texts[i]])[0])[0] for i in (1, 0))
    (trial,) = tried
    assert (trial.batch[0], trial.batch[2]) == (longest, shortest)
    assert "packed batches" in found.models[0].scoring_path


@pytest.mark.parametrize("needs", [frozenset(), frozenset({Need.SHOTS})])
def test_a_model_whose_batches_differ_is_scored_one_text_at_a_time(
    needs: frozenset[Need], collect: Callable[..., Collected], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["Ada had", "Ada had 12345 of it. " * 4, "It was Ada who had 7 of it."]
    asked: dict[str, Any] = {"references": (), "needs": needs, "shots": ["Ada had 1. "] if needs else []}
    right = collect(texts, **asked)
    assert right.models[0].scoring_path.startswith("packed batches")
    start = Scorer.start

    def mixed(scorer: Scorer, batch: Sequence[TokenSequence]) -> SimpleNamespace:
        changed = np.float32(0.1 * (len(batch) - 1))
        scores = [replace(one, logprob=one.logprob - changed) for one in start(scorer, batch).scores()]
        return SimpleNamespace(scores=lambda: scores)

    monkeypatch.setattr(Scorer, "start", mixed)
    found = collect(texts, scores="again", **asked)
    assert found.models[0].scoring_path.startswith("one text at a time, as those of a batch come out otherwise")
    np.testing.assert_allclose(found.signals.target.logprob, right.signals.target.logprob, atol=1e-5)
    for name, view in right.signals.views.items():
        np.testing.assert_allclose(found.signals.views[name].logprob, view.logprob, atol=1e-5)


def test_a_prefix_beyond_the_vocabulary_is_refused(collect: Callable[..., Collected], tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    folder = save_gpt2(tmp_path / "bos", seed=3, tokenizer=tokenizer)
    tokenizer.add_special_tokens({"bos_token": "<new>"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="BOS"):
        collect(["Ada"], target=folder, prefix_token="bos")


def test_tensors_without_a_place_are_noted(
    collect: Callable[..., Collected], tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "deep"
    shutil.copytree(tiny_models["target"], folder)
    edit(folder, n_layer=1)
    assert any("have no place in the architecture" in note for note in collect(["Ada"], target=folder).notes)


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def test_a_model_that_is_not_there(collect: Callable[..., Collected]) -> None:
    with pytest.raises(ModelError, match="no such model folder"):
        collect(["x"], target=Path("/nowhere/at/all"))
    with pytest.raises(ModelError, match="neither a local folder nor a model that the hub gives"):
        collect(["x"], target=Path("nobody-has/this-model"))


def test_a_device_that_is_not_there(collect: Callable[..., Collected]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelError, match="cannot be used"):
        collect(["x"], device="cuda")
    with pytest.raises(ModelError, match="cannot be used"):
        collect(["x"], device="toaster")


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_against_its_own_base(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    base, tokenizer = load_plainly(tiny_models["target"])
    adapted = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", target_modules=["c_attn"], r=2))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.5)
    adapted.save_pretrained(tmp_path / "adapter")
    config = AuditConfig.from_options(
        {"target": str(tiny_models["target"]), "members": "unused", "adapter": str(tmp_path / "adapter")}
    )
    assert config.references == (ModelSpec(path=str(tiny_models["target"])),)
    text = "Ada had 12345 of it."
    found = collect_signals(
        config, ScoringRequest(sample_ids=["a"], texts=[text]), scores_folder=tmp_path / "scores"
    ).signals
    ids = [0, *tokenizer(text)["input_ids"]]
    naive = naive_logprobs(adapted.eval(), ids, 1)
    assert found.target.total_logprob[0] == pytest.approx(sum(naive), abs=1e-4)
    assert abs(found.target.total_logprob[0] - found.references[0].total_logprob[0]) > 0.1
    from safetensors.torch import load_file, save_file

    misfit = tmp_path / "misfit"
    shutil.copytree(tmp_path / "adapter", misfit)
    tensors = load_file(misfit / "adapter_model.safetensors")
    save_file({k.replace(".h.", ".layers."): v for k, v in tensors.items()}, misfit / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="do not fit this model"):
        collect_signals(
            replace(config, target=ModelSpec(path=str(tiny_models["target"]), adapter=str(misfit))),
            ScoringRequest(sample_ids=["a"], texts=[text]),
            scores_folder=tmp_path / "scores",
        )
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        collect_signals(
            replace(config, target=ModelSpec(path=str(tiny_models["target"]), adapter=str(tmp_path))),
            ScoringRequest(sample_ids=["a"], texts=[text]),
            scores_folder=tmp_path / "scores",
        )
