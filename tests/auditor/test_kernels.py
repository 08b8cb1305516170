"""Token statistics against arithmetic by hand and a float64 oracle."""

import math

import pytest
import torch

from auditor.engine.kernels import token_statistics


def test_two_words_by_hand() -> None:
    # p = (1/4, 3/4); ln 3 apart. mean = .25 ln .25 + .75 ln .75; variance = .25 * .75 * (ln 3)^2
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    found = token_statistics(logits, torch.tensor([0, 1]))
    mean = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    variance = 0.25 * 0.75 * math.log(3) ** 2
    assert found.logprob.tolist() == pytest.approx([math.log(0.25), math.log(0.75)], abs=1e-6)
    assert found.logprob_mean.tolist() == pytest.approx([mean, mean], abs=1e-6)
    assert found.logprob_variance.tolist() == pytest.approx([variance, variance], abs=1e-6)
    assert found.rank.tolist() == [1, 0]


@pytest.mark.parametrize("n_vocabulary", [3, 997, 50_257, 128_256])
@pytest.mark.parametrize("scale", [0.1, 2.0, 12.0])
def test_against_float64(n_vocabulary: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((7, n_vocabulary), generator=generator) * scale + 30
    ids = torch.randint(0, n_vocabulary, (7,), generator=generator)
    log_p = logits.double().log_softmax(-1)
    p = log_p.exp()
    mean = (p * log_p).sum(-1)
    found = token_statistics(logits.clone(), ids)
    true = log_p.gather(1, ids[:, None])
    torch.testing.assert_close(found.logprob.double(), true[:, 0], atol=2e-5, rtol=1e-6)
    torch.testing.assert_close(found.logprob_mean.double(), mean, atol=2e-5, rtol=1e-6)
    variance = (p * (log_p - mean[:, None]).square()).sum(-1)
    torch.testing.assert_close(found.logprob_variance.double(), variance, atol=1e-4, rtol=1e-5)
    assert found.rank.tolist() == (log_p > true).sum(-1).tolist()


def test_blocks_do_not_matter() -> None:
    logits = torch.randn((300, 5_000), generator=torch.Generator().manual_seed(0))
    ids = torch.arange(300)
    together = token_statistics(logits.clone(), ids)
    for row in (0, 51, 52, 53, 299):
        alone = token_statistics(logits[row : row + 1].clone(), ids[row : row + 1])
        assert alone.logprob.item() == pytest.approx(together.logprob[row].item(), abs=2e-6)
        assert alone.logprob_variance.item() == pytest.approx(together.logprob_variance[row].item(), abs=2e-5)


def test_masked_vocabulary_is_as_if_it_were_not_there() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5, -math.inf, -math.inf]])
    found = token_statistics(logits, torch.tensor([1]))
    bare = token_statistics(torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([1]))
    for name in ("logprob", "logprob_mean", "logprob_variance"):
        assert getattr(found, name).item() == pytest.approx(getattr(bare, name).item(), abs=1e-6)


def test_certain_and_uniform_distributions_are_finite() -> None:
    certain = token_statistics(torch.tensor([[0.0, 500.0]]), torch.tensor([1]))
    assert (certain.logprob.item(), certain.logprob_mean.item(), certain.logprob_variance.item()) == (
        0.0,
        0.0,
        0.0,
    )
    uniform = token_statistics(torch.full((1, 1000), 3.0), torch.tensor([5]))
    assert uniform.logprob.item() == pytest.approx(-math.log(1000), abs=1e-5)
    assert uniform.logprob_variance.item() == pytest.approx(0.0, abs=1e-5)
    assert uniform.rank.item() == 0  # nobody is strictly better


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_get_float32_statistics(dtype: torch.dtype) -> None:
    logits = (torch.randn((4, 1000), generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    found = token_statistics(logits.clone(), torch.arange(4))
    exact = logits.double().log_softmax(-1)[torch.arange(4), torch.arange(4)]
    assert found.logprob.dtype == torch.float32
    torch.testing.assert_close(found.logprob.double(), exact, atol=1e-5, rtol=1e-6)


def test_nan_logits_stay_nan() -> None:
    found = token_statistics(torch.tensor([[0.0, math.nan, 1.0], [0.0, 1.0, 2.0]]), torch.tensor([0, 0]))
    assert math.isnan(found.logprob[0].item())
    assert not math.isnan(found.logprob[1].item())
