"""Neighbours by a masked language model: the best swaps of one token, made once, in the text as it is written."""

import json
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from attacks.base import NEIGHBOUR, Need
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine import masked, neighbours
from auditor.engine.masked import MaskedModel, Swap, load_masked, open_masked
from auditor.engine.neighbours import Neighbours
from auditor.engine.ranks import Rank
from auditor.engine.request import ScoringRequest
from auditor.engine.signals import Collected, collect_signals, score_share
from auditor.errors import ConfigError, ModelError, ResultError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    "the",
    "of",
    "was",
    "in",
    "it",
    "ada",
    "bo",
    "had",
    "cafe",
    "##s",
    "##ing",
    "##er",
    "walk",
    "1",
    "2",
    ".",
    ",",
]
TEXTS = ["Ada  had walks.", "Bo\twas in\nthe Café, 1 2 2 1.", "Walking of It ²", "Ada  had walks."]


def build_wordpiece() -> Any:
    """Build an uncased WordPiece tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: i for i, piece in enumerate([*SPECIAL, *PIECES])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{f"{k}_token": v for k, v in names.items()})


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random BERT."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("mlm")
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        initializer_range=0.8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForMaskedLM(config)
    model.save_pretrained(folder)
    build_wordpiece().save_pretrained(folder)
    return folder


@pytest.fixture
def collect(tiny_models: dict[str, Path], bert: Path, tmp_path: Path) -> Callable[..., Collected]:
    """Return a function that scores texts and their neighbours."""

    def run(
        texts: Sequence[str] = TEXTS, *, n: int = 3, rank: Rank | None = None, needs: Any = None, **options: Any
    ) -> Any:
        config = AuditConfig(
            target=ModelSpec(path=str(tiny_models["target"])),
            members=DataSpec(path="unused"),
            **{"neighbour_model": str(bert), "neighbours": n, **options},
        )
        request = ScoringRequest(
            sample_ids=[f"s{i}" for i in range(len(texts))],
            texts=texts,
            needs=frozenset({Need.NEIGHBOURS} if needs is None else needs),
        )
        folder = tmp_path / "scores"
        if rank:
            return score_share(config, request, scores_folder=folder, rank=rank)
        return collect_signals(config, request, scores_folder=folder)

    return run


@pytest.fixture
def n_rewritten(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the texts that the masked model rewrites from now on."""
    rewritten: list[str] = []
    rewrite = MaskedModel.rewrite

    def watch(self: MaskedModel, text: str, n: int) -> Any:
        rewritten.append(text)
        return rewrite(self, text, n)

    monkeypatch.setattr(MaskedModel, "rewrite", watch)
    return rewritten


def naive_swaps(folder: Path, text: str, n: int) -> list[Swap]:
    """The oracle: one position a forward pass, in float64, over every entry of the vocabulary in Python."""
    import torch
    from transformers import AutoModelForMaskedLM

    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).double().eval(), build_wordpiece()
    pieces = [*SPECIAL, *PIECES]
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    kept = masked._dropout(text, len(ids), 16)
    found: dict[Swap, float] = {}
    for i, token in enumerate(ids):
        if token < len(SPECIAL):
            continue
        with torch.no_grad():
            embedded = model.get_input_embeddings()(torch.tensor([ids]))
            embedded[0, i] *= torch.from_numpy(kept[i])
            p = model(inputs_embeds=embedded).logits[0, i].softmax(-1).tolist()
        for candidate in sorted(range(len(p)), key=lambda v: -p[v])[:6]:
            same_kind = pieces[candidate].startswith("##") == pieces[token].startswith("##")
            if candidate != token and candidate >= len(SPECIAL) and same_kind:
                start, stop = encoded["offset_mapping"][i]
                found[Swap(start, stop, pieces[candidate].removeprefix("##"))] = p[candidate] / (1 - p[token])
    return nlargest(n, found, key=lambda swap: found[swap])


@pytest.mark.parametrize("text", TEXTS[:3])
@pytest.mark.parametrize("tokens_a_batch", [1, 24, 2**14])
def test_swaps_against_the_naive_loop(
    bert: Path, monkeypatch: pytest.MonkeyPatch, text: str, tokens_a_batch: int
) -> None:
    monkeypatch.setattr(masked, "_TOKENS_A_BATCH", tokens_a_batch)
    found = load_masked(open_masked(str(bert)), device="cpu").rewrite(text, 7)
    assert found.swaps == naive_swaps(bert, text, 7)
    assert found.whole
    assert len(found.swaps) == 7


@dataclass
class FakeModel:
    """A masked model of one's own choosing: probabilities of ``the of was`` at two positions."""

    p: Any
    device: str = "cpu"

    def get_input_embeddings(self) -> Any:
        import torch

        return torch.nn.Embedding(len(SPECIAL) + len(PIECES), 4)

    def __call__(self, *, inputs_embeds: Any, attention_mask: Any) -> Any:
        import torch

        logits = torch.full((len(inputs_embeds), 4, len(SPECIAL) + len(PIECES)), -torch.inf)
        logits[:, 1, 5:8], logits[:, 2, 5:8] = torch.tensor(self.p, dtype=torch.float64).log().float()
        return SimpleNamespace(logits=logits)


def test_worth_by_hand(bert: Path) -> None:
    files = open_masked(str(bert))
    # "the": of .3 / (1 - .5) = .6, was .2 / .5 = .4; "of": was .08 / (1 - .9) = .8, the .02 / .1 = .2
    found = MaskedModel(files, FakeModel([[0.5, 0.3, 0.2], [0.02, 0.9, 0.08]])).rewrite("The of", 4).swaps
    assert found == [Swap(4, 6, "was"), Swap(0, 3, "of"), Swap(0, 3, "was"), Swap(4, 6, "the")]
    # certain of "of": was 1e-9 / .1 = 1e-8 is worth more than of 1e-9 / 1 = 1e-9, which ends up last
    sure = MaskedModel(files, FakeModel([[1e-9, 1e-9, 1], [5e-10, 1, 1e-9]])).rewrite("The of", 4).swaps
    assert sure == [Swap(0, 3, "was"), Swap(4, 6, "was"), Swap(4, 6, "the"), Swap(0, 3, "of")]


def test_dropout_leaves_three_in_ten_and_depends_on_the_text_alone() -> None:
    kept = masked._dropout("a", 50, 200)
    assert sorted(set(kept.ravel().tolist())) == [0, pytest.approx(1 / 0.3)]
    assert abs((kept > 0).mean() - 0.3) < 0.02  # 4 standard errors of 10,000 draws
    np.testing.assert_array_equal(kept, masked._dropout("a", 50, 200))
    assert (kept != masked._dropout("b", 50, 200)).any()


def test_one_token_changes_and_everything_else_stays(collect: Callable[..., Collected], bert: Path) -> None:
    tokenizer = build_wordpiece()
    views = [one.view for one in collect().plan.passes[1:]]
    for text in TEXTS:
        changed = [view.change(text) for view in views]
        assert len({text, *changed}) == 4
        encoded = tokenizer(text, return_offsets_mapping=True)
        for other in changed:
            here = [(i, j) for i, j in encoded["offset_mapping"] if _is_spliced(text, other, i, j)]
            assert len(here) == 1
            differs = [a != b for a, b in zip(text.split(), other.split(), strict=True)]
            assert sum(differs) == 1
            if "walk" not in text.lower():  # a stem replaced may make a word that is unknown as a whole
                after = tokenizer(other)["input_ids"]
                assert sum(a != b for a, b in zip(encoded["input_ids"], after, strict=True)) == 1


def _is_spliced(text: str, other: str, start: int, stop: int) -> bool:
    """Whether one text is another with a piece of the vocabulary in place of some characters."""
    pieces = (piece.removeprefix("##") for piece in PIECES)
    return start < stop and any(other == text[:start] + piece + text[stop:] for piece in pieces)


def test_neighbours_are_scored_like_texts_of_their_own(collect: Callable[..., Collected]) -> None:
    found = collect()
    assert [one.view.name for one in found.plan.passes] == ["text", *(f"{NEIGHBOUR}_{i}" for i in range(3))]
    for one, scores in zip(found.plan.passes[1:], found.signals.family(NEIGHBOUR), strict=True):
        direct = collect(one.show(TEXTS), needs=())
        assert direct.n_tokens_scored == 0
        np.testing.assert_array_equal(scores.logprob, direct.signals.target.logprob)


def test_made_once_for_the_owner_only(
    collect: Callable[..., Collected], tmp_path: Path, n_rewritten: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = collect()
    assert n_rewritten == TEXTS[:3]  # equal texts once
    (file,) = (tmp_path / "scores").glob("neighbours-*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    lines = file.read_text().splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["swaps", "text", "whole"]] * 3
    assert not any(text in file.read_text() for text in TEXTS)
    monkeypatch.setattr(neighbours, "load_masked", None)
    again = collect(TEXTS[::-1])
    assert again.n_tokens_scored == 0
    for view, scores in first.signals.views.items():
        other = list(again.signals.views[view].per_text(again.signals.views[view].logprob))[::-1]
        np.testing.assert_array_equal(np.concatenate(other), scores.logprob)


def test_a_torn_line_is_made_again_and_nothing_else(
    collect: Callable[..., Collected], tmp_path: Path, n_rewritten: list[str]
) -> None:
    collect()
    (file,) = (tmp_path / "scores").glob("neighbours-*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    collect()
    assert n_rewritten == [*TEXTS[:3], TEXTS[2]]
    assert file.read_bytes() == whole  # what was torn is cut off
    collect()
    assert len(n_rewritten) == 4


@pytest.mark.parametrize(
    "line", ["[]", "null", "7", "{", '{"text": 1}', '{"text": "%s", "swaps": [[1, 2]], "whole": true}' % ("a" * 32)]
)
def test_foreign_lines_are_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "n.jsonl").write_text(line + "\n")
    stored = Neighbours(tmp_path / "n.jsonl", 2)
    assert stored.missing(["a", "b", "a"]).tolist() == [0, 1]
    with pytest.raises(ResultError, match="run again"):
        stored.neighbour("a", number=0)


def test_other_numbers_and_models_have_files_of_their_own(
    collect: Callable[..., Collected], tmp_path: Path, n_rewritten: list[str]
) -> None:
    three, two = collect(), collect(n=2)
    assert len(n_rewritten) == 6
    assert len(list((tmp_path / "scores").glob("neighbours-*.jsonl"))) == 2
    np.testing.assert_array_equal(three.signals.views["neighbour_1"].logprob, two.signals.views["neighbour_1"].logprob)


def test_too_few_neighbours_come_again_and_are_noted(collect: Callable[..., Collected]) -> None:
    found = collect(["of", "²", "Ada had walks. 1 2 1 2 1 2 1 2 1 2 1 2"], n=20)
    change = [one.view.change for one in found.plan.passes[1:]]
    shown = [view("of") for view in change]
    n = len(set(shown))
    assert 1 < n <= 6
    assert shown == [shown[i % n] for i in range(20)]
    assert {view("²") for view in change} == {"²"}  # unknown to the neighbour model
    assert found.notes == (
        "1 of 3 texts have fewer than 20 neighbours: those count repeatedly",
        "1 of 3 texts have no neighbour: the text itself stands in for each",
        "1 of 3 texts are longer than the 16 tokens that the neighbour model reads: words of the first ones only were "
        "replaced",
    )


def test_texts_are_rewritten_as_they_are_scored(collect: Callable[..., Collected], n_rewritten: list[str]) -> None:
    found = collect(["Ada had it. " * 40])
    assert tuple(n_rewritten) == found.signals.texts
    assert len(n_rewritten[0]) < 480


def test_several_processes_wait_for_one(collect: Callable[..., Any]) -> None:
    second = Rank(rank=1, world=2, run="x")
    with pytest.raises(ConfigError, match="3 texts have no neighbours yet, and only a single process makes them"):
        collect(rank=second)
    assert collect().n_tokens_scored > 0
    collect(rank=second)


def test_no_or_the_wrong_model(
    collect: Callable[..., Collected], tiny_models: dict[str, Path], bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="give --neighbour-model"):
        collect(neighbour_model=None)
    with pytest.raises(ModelError, match="gpt2 is not a masked language model"):
        collect(neighbour_model=str(tiny_models["target"]))
    with pytest.raises(ModelError, match="no such model folder"):
        collect(neighbour_model="/nowhere/at/all")
    import shutil

    folder = shutil.copytree(bert, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="only pickled weights"):
        collect(neighbour_model=str(folder))
    folder = shutil.copytree(bert, tmp_path / "deeper")
    config = json.loads((folder / "config.json").read_text())
    bare = shutil.copytree(bert, tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*", "vocab*"))
    with pytest.raises(ModelError, match=r"no tokenizer .* or give a --neighbour-model whose folder") as refused:
        collect(neighbour_model=str(bare))
    assert "--tokenizer" not in str(refused.value)
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"tensors are missing from the checkpoint"):
        collect(neighbour_model=str(folder))


def test_pieces_of_a_byte_level_model(tiny_models: dict[str, Path]) -> None:
    """RoBERTa's tokenizer writes the space before a word into the word, and one letter as several tokens."""
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
        initializer_range=0.8,
    )
    assert masked._window(config, tokenizer) == 38  # positions 0 and 1 are the padding's
    files: Any = SimpleNamespace(tokenizer=tokenizer, config=config, window=38)
    files.read = lambda text: masked.MaskedFiles.read(files, text)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MaskedModel(files, RobertaForMaskedLM(config).eval())
    text = "Ada  had \u4e2d it.\n She was in it"
    swaps = model.rewrite(text, 1000).swaps
    assert len(swaps) > 10
    place = text.index("\u4e2d")
    for swap in swaps:
        assert not swap.start <= place < swap.stop  # three bytes, three tokens: none of them is a letter
        assert swap.word.strip() == swap.word != text[swap.start : swap.stop]
        other = swap.apply(text)
        assert other.split(swap.word)[0] == text[: swap.start] or swap.word in text
        assert [x for x in other if x.isspace()] == [x for x in text if x.isspace()]
