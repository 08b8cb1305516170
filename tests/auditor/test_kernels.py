"""Every kernel against arithmetic by hand and a float64 oracle, and the choice among them."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from auditor.engine.kernels import (
    N_TOP,
    PLAIN,
    Kernel,
    Moments,
    TokenStatistics,
    choice,
    choose_kernel,
    compiled,
    merge_moments,
    token_statistics,
)
from auditor.engine.kernels.largest import Largest

CPU = torch.device("cpu")
TIERS = [
    "plain",
    pytest.param("compiled", marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]),
    pytest.param("triton", marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore::RuntimeWarning")]),
]
"""Torch uses what it deprecates; Triton's interpreter is numpy, which warns of inf - inf."""

TOLERANCES = {"plain": (5e-5, 1e-4, 2e-4), "compiled": (1e-4, 1e-4, 5e-4), "triton": (5e-5, 1e-4, 2e-4)}
"""Nats of logprob and mean, nats squared of variance."""


@pytest.fixture(scope="module")
def built() -> Iterator[dict[str, Kernel]]:
    """Kernels, each compiled once."""
    kernels = {"plain": PLAIN}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")  # read when the kernel is defined
        patch.delitem(sys.modules, "auditor.engine.kernels.triton_kernel", raising=False)
        yield kernels


@pytest.fixture
def kernel(request: pytest.FixtureRequest, built: dict[str, Kernel]) -> Kernel:
    """Give the kernel that the test is parametrised with."""
    name: str = request.param
    if name == "triton":
        pytest.importorskip("triton")
    if name not in built:
        built[name] = choice._build(name)
    return built[name]


each_tier = pytest.mark.parametrize("kernel", TIERS, indirect=True)


def statistics_in_float64(logits: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log-probability, mean, variance and rank by their definitions."""
    log_p = logits.double().log_softmax(-1)
    p = log_p.exp()
    true = log_p.gather(1, ids[:, None])
    terms = torch.where(p > 0, p * log_p, 0.0)
    mean = terms.sum(-1)
    squares = torch.where(p > 0, p * (log_p - mean[:, None]).square(), 0.0)
    return true[:, 0], mean, squares.sum(-1), (logits > logits.gather(1, ids[:, None])).sum(-1)


def assert_close(kernel: Kernel, found: TokenStatistics, logits: Tensor, ids: Tensor) -> None:
    """Compare within the tolerances of the tier."""
    logprob, mean, variance, rank = statistics_in_float64(logits, ids)
    for ours, exact, tolerance in zip(
        (found.logprob, found.logprob_mean, found.logprob_variance),
        (logprob, mean, variance),
        TOLERANCES[kernel.name],
        strict=True,
    ):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), exact, atol=tolerance, rtol=1e-6)
    assert found.rank.dtype == torch.int64
    assert found.rank.tolist() == rank.tolist()
    mass = logits.double().log_softmax(-1).topk(min(N_TOP, logits.shape[1])).values.logsumexp(-1)
    assert found.logprob_top40.dtype == torch.float32
    torch.testing.assert_close(found.logprob_top40.double(), mass, atol=TOLERANCES[kernel.name][0], rtol=1e-6)
    assert found.logprob_top40.max() <= 0


@each_tier
def test_two_words_by_hand(kernel: Kernel) -> None:
    # p = (1/4, 3/4); ln 3 apart. mean = .25 ln .25 + .75 ln .75; variance = .25 * .75 * (ln 3)^2
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    found = token_statistics(logits, torch.tensor([0, 1]), kernel)
    mean = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    variance = 0.25 * 0.75 * math.log(3) ** 2
    assert found.logprob.tolist() == pytest.approx([math.log(0.25), math.log(0.75)], abs=1e-6)
    assert found.logprob_mean.tolist() == pytest.approx([mean, mean], abs=1e-6)
    assert found.logprob_variance.tolist() == pytest.approx([variance, variance], abs=1e-6)
    assert found.rank.tolist() == [1, 0]


@each_tier
@pytest.mark.parametrize("n_vocabulary", [3, 997, 50_257, 128_256])
@pytest.mark.parametrize("scale", [0.1, 2.0, 12.0])
def test_against_float64(kernel: Kernel, n_vocabulary: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((7, n_vocabulary), generator=generator) * scale + 30
    ids = torch.randint(0, n_vocabulary, (7,), generator=generator)
    assert_close(kernel, token_statistics(logits.clone(), ids, kernel), logits, ids)


@each_tier
def test_rows_around_do_not_matter(kernel: Kernel) -> None:
    logits = torch.randn((300, 5_000), generator=torch.Generator().manual_seed(0))
    ids = torch.arange(300)
    together = token_statistics(logits.clone(), ids, kernel)
    for row in (0, 103, 104, 105, 299):
        for last in (row + 1, min(row + 3, 300)):
            alone = token_statistics(logits[row:last].clone(), ids[row:last], kernel)
            assert alone.logprob[0].item() == pytest.approx(together.logprob[row].item(), abs=2e-6)
            assert alone.logprob_variance[0].item() == pytest.approx(together.logprob_variance[row].item(), abs=2e-5)


@each_tier
def test_masked_vocabulary_is_as_if_it_were_not_there(kernel: Kernel) -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5, -math.inf, -math.inf]])
    found = token_statistics(logits, torch.tensor([1]), kernel)
    bare = token_statistics(torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([1]), kernel)
    for name in ("logprob", "logprob_mean", "logprob_variance"):
        assert getattr(found, name).item() == pytest.approx(getattr(bare, name).item(), abs=1e-6)


@each_tier
def test_a_vocabulary_masked_at_its_start_or_nearly_all(kernel: Kernel) -> None:
    logits = torch.full((2, 9_001), -math.inf)
    logits[0, 8_000:] = torch.randn(1_001, generator=torch.Generator().manual_seed(0))
    logits[1, 5] = -7.0
    ids = torch.tensor([9_000, 5])
    assert_close(kernel, token_statistics(logits.clone(), ids, kernel), logits, ids)


@each_tier
def test_a_masked_token_has_probability_zero(kernel: Kernel) -> None:
    found = token_statistics(torch.tensor([[1.0, -math.inf, 2.0]]), torch.tensor([1]), kernel)
    assert found.logprob.item() == pytest.approx(-1e4, rel=1e-3)
    assert found.rank.item() == 2
    assert math.isfinite(found.logprob_mean.item())


@each_tier
def test_certain_and_uniform_distributions_are_finite(kernel: Kernel) -> None:
    certain = token_statistics(torch.tensor([[0.0, 500.0]]), torch.tensor([1]), kernel)
    assert certain.logprob.item() == certain.logprob_mean.item() == certain.logprob_variance.item() == 0.0
    uniform = token_statistics(torch.full((1, 1000), 3.0), torch.tensor([5]), kernel)
    assert uniform.logprob.item() == pytest.approx(-math.log(1000), abs=1e-5)
    assert uniform.logprob_variance.item() == pytest.approx(0.0, abs=1e-5)
    assert uniform.rank.item() == 0  # nobody is strictly better


@each_tier
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_get_float32_statistics(kernel: Kernel, dtype: torch.dtype) -> None:
    logits = (torch.randn((4, 1000), generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    ids = torch.arange(4)
    assert_close(kernel, token_statistics(logits.clone(), ids, kernel), logits, ids)


@each_tier
@pytest.mark.parametrize("undefined", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 1, 2, 4_999])
def test_undefined_logits_stay_nan(kernel: Kernel, undefined: float, where: int) -> None:
    logits = torch.randn((2, 5_000), generator=torch.Generator().manual_seed(1))
    logits[0, where] = undefined
    found = token_statistics(logits, torch.tensor([1, 1]), kernel)
    for column in (found.logprob, found.logprob_mean, found.logprob_variance):
        assert column.isnan().tolist() == [True, False]


@each_tier
def test_a_row_masked_as_a_whole_is_undefined(kernel: Kernel) -> None:
    found = token_statistics(torch.full((1, 10), -math.inf), torch.tensor([3]), kernel)
    assert found.logprob.isnan().all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_kernel_serves_every_shape() -> None:
    fresh = compiled.build()
    torch.compiler.reset()
    with torch.inference_mode():
        fresh(torch.randn((5, 321)), torch.zeros(5))
        with torch.compiler.set_stance("fail_on_recompile"):
            for n_rows in (1, 2, 3, 64):
                found = fresh(torch.randn((n_rows, 321)), torch.zeros(n_rows))
                assert found.top.shape == (n_rows,)
            for n_columns in (7, 320, 2048):
                assert fresh(torch.randn((4, n_columns)), torch.zeros(4)).top.shape == (4,)


def test_a_small_job_gets_the_plain_kernel() -> None:
    kernel, reason = choose_kernel(CPU, n_rows=1000, n_vocabulary=50_000)
    assert kernel is PLAIN
    assert reason == "plain: 5.0e+07 logits to visit"


def test_a_large_job_gets_the_compiled_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "build", lambda: Kernel("compiled", PLAIN))  # as if compiled
    kernel, reason = choose_kernel(CPU, n_rows=10**12, n_vocabulary=50)
    assert (kernel.name, reason) == ("compiled", "compiled: 5.0e+13 logits to visit")


def test_a_kernel_compiled_here_is_right() -> None:
    kernel, reason = choose_kernel(CPU, n_rows=1, n_vocabulary=1000, asked="compiled")
    if kernel is PLAIN:
        pytest.skip(reason)
    assert reason == "compiled: asked for"
    with torch.inference_mode():
        logits, ids = 5 * torch.randn((9, 1000), generator=torch.Generator().manual_seed(0)), torch.arange(9)
        assert_close(kernel, token_statistics(logits.clone(), ids, kernel), logits, ids)


def test_without_a_compiler_the_plain_kernel_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> Kernel:
        raise RuntimeError("No working C++ compiler found\n  in /usr/bin\n")

    monkeypatch.setattr(compiled, "build", build)
    kernel, reason = choose_kernel(CPU, n_rows=10**12, n_vocabulary=50)
    assert kernel is PLAIN
    assert reason == ("plain: 5.0e+13 logits to visit; not compiled (RuntimeError: No working C++ compiler found)")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("top", "logprob"),
        ("log_z", "logprob"),
        ("mean", "logprob_mean"),
        ("variance", "logprob_variance"),
        ("above", "rank"),
    ],
)
def test_a_wrong_kernel_is_found_out(monkeypatch: pytest.MonkeyPatch, part: str, name: str) -> None:
    def wrong(logits: Tensor, true: Tensor) -> Moments:
        found = PLAIN(logits, true)
        getattr(found, part)[2] += 1
        return found

    monkeypatch.setattr(compiled, "build", lambda: Kernel("compiled", wrong))
    kernel, reason = choose_kernel(CPU, n_rows=1, n_vocabulary=50, asked="compiled")
    assert kernel is PLAIN
    assert reason == f"plain: asked for; not compiled (ArithmeticError: its {name} differs from the plain one by 1)"


def test_a_kernel_that_loses_nan_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "build", lambda: Kernel("compiled", lambda x, true: PLAIN(x.nan_to_num(), true)))
    kernel, reason = choose_kernel(CPU, n_rows=1, n_vocabulary=50, asked="compiled")
    assert kernel is PLAIN
    assert "differs" in reason


@each_tier
@pytest.mark.parametrize("width", [1, 7, 400, 997])
def test_parts_of_a_vocabulary_are_put_together(kernel: Kernel, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn((6, 997), generator=generator) + torch.tensor([[0.0], [300], [-300], [0], [0], [0]])
    logits[3, 500] += 90  # all of the probability in one part
    ids = torch.tensor([0, 5, 996, 500, 499, 501])
    true = logits.gather(1, ids[:, None])[:, 0]
    parts = [kernel(part.clone(), true) for part in logits.split(width, dim=1)]
    assert_close(kernel, merge_moments(parts, true, logits.topk(N_TOP).values), logits, ids)


def test_the_mass_of_the_likeliest_and_ties_by_hand() -> None:
    # 43 entries: one of weight 4, two of weight 2 (tied), 37 of weight 1, three of weight 1/2; the 40 likeliest hold
    # 4 + 4 + 37 = 45 of 46.5
    weights = torch.tensor([1.0] * 20 + [2.0, 0.5, 4.0, 0.5, 2.0, 0.5] + [1.0] * 17)
    logits = weights.log().repeat(4, 1)
    found = token_statistics(logits, torch.tensor([22, 20, 0, 21]))
    assert found.logprob_top40.tolist() == pytest.approx([math.log(45 / 46.5)] * 4, abs=1e-6)
    assert found.rank.tolist() == [0, 1, 3, 40]
    assert found.tied.tolist() == [0, 1, 36, 0]  # of what lies beyond the 40 likeliest, ties are not counted


@pytest.mark.parametrize("n_columns", [1, 15, 16, 39, 40, 41, 640, 641, 3000])
@pytest.mark.parametrize("width", [1, 13, 64, 700, 3000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_largest_are_those_of_a_sort(n_columns: int, width: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(n_columns)
    logits = (3 * torch.randn((9, n_columns), generator=generator)).to(dtype)  # many ties in bfloat16
    logits[0] = 1.0
    logits[1, n_columns // 2 :] = -torch.inf
    logits[2] = logits[2].sort().values
    before, largest = logits.clone(), Largest()
    for part in logits.split(width, dim=1):
        largest.see(part)
    assert torch.equal(logits, before)
    assert torch.equal(largest.logits, logits.float().sort(1, descending=True).values[:, :N_TOP])


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="'fast' is not one of auto, plain, compiled, triton"):
        choose_kernel(CPU, n_rows=1, n_vocabulary=50, asked="fast")


CHOOSE = """
import torch
from auditor.engine.kernels import choose_kernel
kernel, reason = choose_kernel(torch.device("cpu"), n_rows=1, n_vocabulary=50, asked={asked!r})
print(reason)
"""


def chosen(asked: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Choose in a process of its own, whose standard error is seen."""
    code = CHOOSE.format(asked=asked)
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )


@pytest.mark.slow
def test_choosing_is_silent_with_and_without_a_compiler(tmp_path: Path) -> None:
    found = chosen("compiled", TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "a"), CXX="/nowhere/g++")
    assert found.stdout.startswith("plain: asked for; not compiled (")
    assert found.stderr == ""
    found = chosen("compiled", TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "b"))
    assert found.stdout == "compiled: asked for\n"
    assert found.stderr == ""


@pytest.mark.slow
def test_triton_without_a_gpu_falls_back() -> None:
    found = chosen("triton", TRITON_INTERPRET="0", CUDA_VISIBLE_DEVICES="")
    assert found.stdout.startswith("plain: asked for; not triton (")
    assert found.stderr == ""
