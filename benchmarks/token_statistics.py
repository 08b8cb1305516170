"""From logits to statistics: the kernels side by side, and how large a job must be for compilation to pay.

All kernels visit the same logits in turn, several rounds, and ratios are taken within a round, of wall clock and of
processor time. ``naive`` is what published scripts do: softmax, log_softmax and their products, without the rank. On a
machine that others use, run with ``OMP_WAIT_POLICY=passive``: threads that spin at a barrier distort everything.

    OMP_NUM_THREADS=2 python benchmarks/token_statistics.py
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor
from torch._inductor.utils import fresh_cache

from auditor.engine.kernels import choose_kernel, token_statistics

VOCABULARIES = (50_257, 128_256)
MARGIN = 2.0


def naive(logits: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability, mean and variance as in the published Min-K%++ script."""
    p, log_p = logits.softmax(-1), logits.log_softmax(-1)
    mean = (p * log_p).sum(-1)
    return log_p.gather(1, token_ids[:, None])[:, 0], mean, (p * log_p.square()).sum(-1) - mean.square()


def seconds(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Time one call: wall clock and processor time of all threads."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - wall, time.process_time() - processor


def spread(values: Iterable[float]) -> str:
    """Format the median and the range."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):6.2f} [{ordered[0]:.2f}..{ordered[-1]:.2f}]"


def compare(n_vocabulary: int, n_rows: int, rounds: int, device: torch.device, dtype: torch.dtype) -> None:
    """Print a row for each kernel."""
    kernels: dict[str, Callable[[Tensor, Tensor], object]] = {"naive": naive, "plain": token_statistics}
    compile_seconds = 0.0
    for name in ("compiled", "triton") if device.type == "cuda" else ("compiled",):
        with fresh_cache():
            start = time.perf_counter()
            kernel, reason = choose_kernel(device, n_rows=n_rows, n_vocabulary=n_vocabulary, asked=name, dtype=dtype)
            if name == "compiled":
                compile_seconds = time.perf_counter() - start
        if kernel.name == name:
            kernels[name] = partial(token_statistics, kernel=kernel)
        else:
            print(reason)
    original = (2.0 * torch.randn((n_rows, n_vocabulary), device=device)).to(dtype)
    ids = torch.randint(0, n_vocabulary, (n_rows,), device=device)
    logits = torch.empty_like(original)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in kernels}
    for _ in range(rounds + 1):
        for name, kernel_of in kernels.items():
            logits.copy_(original)
            times[name].append(seconds(lambda work=kernel_of: work(logits, ids), device))  # type: ignore[misc]
    print(f"\nV = {n_vocabulary}, {n_rows} rows of {dtype}, {torch.get_num_threads()} threads, {device}")
    print(f"{'kernel':10s} {'ns/logit':>8s}   times as fast as naive: wall, processor")
    for name, pairs in times.items():
        wall, processor = zip(*pairs[1:], strict=True)  # the first round warms up
        of_naive = [
            spread(theirs / ours for theirs, ours in zip(column, own, strict=True))
            for column, own in zip(zip(*times["naive"][1:], strict=True), (wall, processor), strict=True)
        ]
        print(f"{name:10s} {statistics.median(wall) / logits.numel() * 1e9:8.3f}   {of_naive[0]}   {of_naive[1]}")
    if "compiled" in times:
        saved = [(p[0] - c[0]) / logits.numel() for p, c in zip(times["plain"][1:], times["compiled"][1:], strict=True)]
        ratios = [p[0] / c[0] for p, c in zip(times["plain"][1:], times["compiled"][1:], strict=True)]
        pays = MARGIN * compile_seconds / statistics.median(saved)
        print(f"compiled against plain, wall: {spread(ratios)}")
        print(f"compiled in {compile_seconds:.1f} s (no cache), pays {MARGIN:g} times from {pays:.1e} logits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=128, help="rows of logits at a time")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args()
    with torch.inference_mode():
        for n_vocabulary in VOCABULARIES:
            torch.compiler.reset()
            device, dtype = torch.device(options.device), getattr(torch, options.dtype)
            compare(n_vocabulary, options.rows, options.rounds, device, dtype)


if __name__ == "__main__":
    main()
