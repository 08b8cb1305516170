"""Near-verbatim extraction and other temperatures: by hand, against every sequence, and against a plain loop."""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from auditor.config import AuditConfig, ExtractSpec
from auditor.engine.near_verbatim import BEAMS, beam_log_p, n_edits, near_verbatim_log2_p
from auditor.engine.request import ScoringRequest
from auditor.engine.signals import collect_signals
from auditor.engine.suffixes import Suffix, suffix_of
from auditor.engine.tempered import sampled_logprobs, tempered_log2_p
from auditor.estimates.extraction import TOP_K, near_verbatim, sample_extraction, tempered
from helpers import make_texts
from helpers_engine import load_plainly

LEVEL, N = 0.95, 12


class Chain:
    """A model in which the next token depends on the one before it alone."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.table, self.n_read = logits, 0

    def __call__(self, parents: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        self.n_read += len(tokens)
        return self.table[list(tokens)]


def chain(probabilities: list[list[float]]) -> Chain:
    return Chain(torch.tensor(probabilities).log())


def bound(model: Chain, ids: Sequence[int], *, beams: int = 99, edits: int = 1, top_k: int = 40) -> float:
    """Bound for a suffix after the first id."""
    suffix = Suffix(ids, range(1, len(ids)))
    return beam_log_p(model.table[[ids[0]]], model, suffix, beams=beams, edits=edits, top_k=top_k)


def test_two_tokens_by_hand() -> None:
    """After 0 comes 0 with .9; after 1 comes 0 with .4. Wanted 0 0: .81 itself, .9 * .1 and .1 * .4 with one other."""
    model = chain([[0.9, 0.1], [0.4, 0.6]])
    assert math.exp(bound(model, [0, 0, 0], edits=0)) == pytest.approx(0.81)
    assert math.exp(bound(model, [0, 0, 0], edits=1)) == pytest.approx(0.81 + 0.09 + 0.04)
    assert math.exp(bound(model, [0, 0, 0], edits=2)) == pytest.approx(1.0)
    assert math.exp(bound(model, [0, 0, 0], edits=1, beams=2)) == pytest.approx(0.81 + 0.09)
    assert math.exp(bound(model, [0, 0, 0], edits=1, beams=1)) == pytest.approx(0.81)


def test_the_suffix_itself_is_always_kept() -> None:
    """The likeliest continuation is a wrong one at every token, and one beam still finds the suffix."""
    model = chain([[0.1, 0.9], [0.1, 0.9]])
    assert math.exp(bound(model, [0, 0, 0], edits=1, beams=1)) == pytest.approx(0.01)
    assert math.exp(bound(model, [0, 0, 0], edits=1, beams=2)) == pytest.approx(0.01 + 0.09)


def test_what_others_say_is_given_and_costs_nothing() -> None:
    """Of 0 | 0 (1 given) 0: .9 and then .4 after the given 1."""
    model = chain([[0.9, 0.1], [0.4, 0.6]])
    suffix = Suffix([0, 0, 1, 0], [1, 3])
    found = beam_log_p(model.table[[0]], model, suffix, beams=9, edits=0, top_k=40)
    assert math.exp(found) == pytest.approx(0.9 * 0.4)


@pytest.mark.parametrize("edits", [0, 1, 2])
def test_with_beams_enough_it_is_the_sum_over_all_sequences(edits: int, rng: np.random.Generator) -> None:
    logits = torch.tensor(rng.normal(size=(4, 4)))
    wanted = rng.integers(0, 4, 5).tolist()
    p = torch.softmax(logits, dim=1).numpy()
    total = 0.0
    for written in itertools.product(range(4), repeat=4):
        if sum(a != b for a, b in zip(written, wanted[1:], strict=True)) <= edits:
            total += float(np.prod([p[a, b] for a, b in itertools.pairwise((wanted[0], *written))]))
    assert math.exp(bound(Chain(logits), wanted, edits=edits, beams=4**4)) == pytest.approx(total)
    fewer = [bound(Chain(logits), wanted, edits=edits, beams=n) for n in (1, 2, 5, 20, 256)]
    assert fewer == sorted(fewer)
    assert fewer[-1] == pytest.approx(math.log(total))


def test_a_token_beyond_the_likeliest_is_never_drawn() -> None:
    model = chain([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    assert bound(model, [0, 2, 0], edits=0, top_k=2) == -math.inf
    of_two = 0.5 / 0.8
    assert math.exp(bound(model, [0, 0, 0], edits=0, top_k=2)) == pytest.approx(of_two**2)
    assert math.exp(bound(model, [0, 2, 0], edits=1, top_k=2)) == pytest.approx(of_two)  # 0 or 1 for the 2: all of it


def test_the_cost_is_that_of_its_beams(rng: np.random.Generator) -> None:
    model = Chain(torch.tensor(rng.normal(size=(30, 30))))
    bound(model, rng.integers(0, 30, 51).tolist(), beams=20, edits=5)
    assert model.n_read <= 20 * 49


def test_temperatures_by_hand() -> None:
    """Of .5, .3, .2 at temperature 1/2: squares .25, .09, .04 over .38; of the top two over .34."""
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    assert sampled_logprobs(logits, 3, 0.5).exp()[0].tolist() == pytest.approx([0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38])
    assert sampled_logprobs(logits, 2, 0.5).exp()[0].tolist() == pytest.approx([0.25 / 0.34, 0.09 / 0.34, 0.0])
    roots = [math.sqrt(p) for p in (0.5, 0.3, 0.2)]
    assert sampled_logprobs(logits, 3, 2.0).exp()[0].tolist() == pytest.approx([root / sum(roots) for root in roots])


def test_a_tie_at_the_end_of_the_likeliest_is_not_drawn() -> None:
    logits = torch.tensor([[0.4, 0.2, 0.2, 0.2]]).log()
    found = sampled_logprobs(logits, 2, 1.0).exp()[0].tolist()
    assert found == pytest.approx([0.4 / 0.6, 0.0, 0.0, 0.0])
    assert sampled_logprobs(logits, 4, 1.0).exp()[0].tolist() == pytest.approx([0.4, 0.2, 0.2, 0.2])


def test_rates_by_hand() -> None:
    """Of 4 members 1 is extractable word for word and 2 more nearly; of 2 non-members none: .75 less 0."""
    near, verbatim = np.array([-1.0, -9.0, -9.9, -20.0, -11.0, -np.inf]), np.array([-2.0, -10.0, -30.0, -30, -40, -40])
    sides = np.array([True, True, True, True, False, False])
    found = near_verbatim(near, verbatim, sides, edited_share=0.1, n_beams=20, groups=None, level=LEVEL)
    assert (found.rate_members.value, found.rate_non_members.value, found.rate_beyond.value) == (0.75, 0.0, 0.75)
    assert (found.verbatim_rate_members.value, found.n_gained_members) == (0.25, 2)
    assert (found.n_members, found.n_non_members) == (4, 2)
    at = tempered(0.5, verbatim, sides, groups=None, level=LEVEL)
    assert (at.temperature, at.rate_members.value, at.rate_non_members.value) == (0.5, 0.25, 0.0)
    assert [n_edits(n) for n in (9, 10, 19, 50)] == [0, 1, 1, 5]


# Real models


def read_alone(model: Any, prompt: Sequence[int], follow: dict[int, list[int]], parents: Sequence[int],
               tokens: Sequence[int]) -> torch.Tensor:  # fmt: skip
    """Read every continuation whole, without a cache."""
    before = [follow[parent] if follow else [] for parent in parents]
    follow.clear()
    follow.update({i: [*one, token] for i, (one, token) in enumerate(zip(before, tokens, strict=True))})
    with torch.no_grad():
        return torch.stack([model(torch.tensor([[*prompt, *one]])).logits[0, -1] for one in follow.values()])


@pytest.fixture(scope="module")
def collected(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, AuditConfig]:
    config = AuditConfig.from_options({"target": str(tiny_models["target"]), "members": "x"})
    request = ScoringRequest(sample_ids=[f"t{i}" for i in range(N)], texts=make_texts(N, seed=3))
    return collect_signals(config, request, scores_folder=tmp_path_factory.mktemp("scores")), config


def test_at_temperature_one_it_is_what_the_scores_say(collected: tuple[Any, AuditConfig]) -> None:
    found, config = collected
    cut = ExtractSpec(prefix=4, suffix=2)
    stored = sample_extraction(found.signals, cut)
    for top_k, expected in ((TOP_K, stored.log2_p), (1000, stored.log2_p_unrestricted)):
        (again,) = tempered_log2_p(
            found.plan, range(N), config, cut, stored.suffix_tokens, top_k=top_k, temperatures=[1.0]
        )  # fmt: skip
        assert again == pytest.approx(expected, abs=1e-3)
    assert np.isfinite(stored.log2_p_unrestricted).all()


def test_the_cache_reads_what_a_model_without_one_reads(
    collected: tuple[Any, AuditConfig], tiny_models: dict[str, Path]
) -> None:
    """From the whole vocabulary, as a model that was not trained ranks no suffix among its 40 likeliest."""
    found, config = collected
    cut = ExtractSpec(prefix=4, suffix=10)
    stored = sample_extraction(found.signals, cut)
    bounds = near_verbatim_log2_p(found.plan, range(3), config, cut, stored.suffix_tokens, top_k=1000)
    assert np.isfinite(bounds).all()
    model, _ = load_plainly(tiny_models["target"])
    for place, log2_near in enumerate(bounds):
        suffix = suffix_of(found.plan.passes[0], place, cut, stored.suffix_tokens)
        prompt, follow = suffix.ids[: suffix.places[0]], dict[int, list[int]]()
        with torch.no_grad():
            logits = model(torch.tensor([prompt])).logits[:, -1]
        step = partial(read_alone, model, prompt, follow)
        alone = beam_log_p(logits, step, suffix, beams=BEAMS, edits=1, top_k=1000)
        assert log2_near == pytest.approx(alone / math.log(2), abs=1e-3)
        assert log2_near > stored.log2_p_unrestricted[place] + 0.01
