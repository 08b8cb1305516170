"""The check of one GPU, in at most six minutes: right scores, their speed, and survival of full memory.

    python benchmarks/gpu_check.py --json gpu.json
    python benchmarks/gpu_check.py --device cpu --quick

Five steps, each by itself, the costly ones last:

* ``kernel``: the Triton kernel is compiled and compared with arithmetic in float64;
* ``layouts``: packed, padded and single scoring in float32 and bfloat16, compared with a float64 loop;
* ``memory``: a batch that does not fit is halved until it does, and the scores are those of a run that had room;
* ``idle``: an audit's own scoring under a profiler: the share of the time in which no kernel ran, at most 5%;
* ``speed``: tokens a second, and operations as a share of the measured peak of a matrix product, for shapes of 1B and
  7B parameters with random weights and 128,256 entries, beside a padded batched loop and vLLM if it is installed.

What needs a card says null with the reason where there is none. Nothing is read from a network.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import click
import numpy as np
import torch
import transformers
from growth import TOKENIZER_TEXTS, build_tokenizer, make_texts
from throughput import GEMM_REPEATS, model_flops, model_shapes
from transformers import LlamaConfig, LlamaForCausalLM
from workloads import make_sequences, n_vocabulary

from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine.batches import Budget, make_batches
from auditor.engine.forward import OutOfMemory, Scorer, SequenceScores
from auditor.engine.kernels import PLAIN, Kernel, choose_kernel, token_statistics
from auditor.engine.request import ScoringRequest
from auditor.engine.scoring import ScoringProgress, free_memory
from auditor.engine.signals import collect_signals
from auditor.engine.tokens import TokenSequence

Answer = dict[str, Any]

SECONDS = 360.0
"""No step starts when fewer are left than it takes (:data:`STEPS`)."""

VOCABULARY = 128_256
BATCH_TOKENS = 16_384
PEER_TOKENS = 4096
"""Of a padded batch of the loop, whose whole logits take 2 GB in float32."""

TOLERANCES = {"logprob": 1e-4, "logprob_mean": 1e-4, "logprob_variance": 5e-4, "rank": 0.0}
"""Of a kernel on given logits against float64: nats, nats, nats squared, tokens."""

LAYOUT_TOLERANCES = {"float32": 1e-3, "bfloat16": 0.5}
"""Nats of a token, against a float64 model of the same weights: what the engine itself takes for rounding."""

IDLE_SHARE = 0.05

_COMMON: dict[str, Any] = {"max_position_embeddings": 4096, "bos_token_id": 0, "eos_token_id": 0}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 2048, "initializer_range": 0.1},
    "60m": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6,
            "num_key_value_heads": 2, "vocab_size": VOCABULARY, "initializer_range": 0.1},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": VOCABULARY},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 32, "vocab_size": VOCABULARY, "tie_word_embeddings": False},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Where:
    """On what the check runs, and how much of it."""

    device: torch.device
    quick: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def has_card(self) -> bool:
        """Whether there is a GPU."""
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return SECONDS - (time.monotonic() - self.began)

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.has_card:
            torch.cuda.synchronize(self.device)


def build(shape: str, where: Where, dtype: torch.dtype) -> Any:
    """Build a Llama of random weights on the device, in evaluation mode."""
    tied = {"tie_word_embeddings": True}
    config = LlamaConfig(**(_COMMON | tied | SHAPES[shape]))
    torch.manual_seed(0)
    with torch.device(where.device):
        model = LlamaForCausalLM._from_config(config, dtype=dtype)
    return model.eval().requires_grad_(False)


# kernel


def check_kernel(where: Where) -> Answer:
    """Compare each kernel with float64; the Triton one is compiled for each type of logits."""
    found: Answer = {"plain": worst_of_kernel(PLAIN, where, torch.float32)}
    if not where.has_card:
        return found | {"triton": None, "why": "it is compiled for a GPU, and there is none"}
    found["triton"] = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        began = time.monotonic()
        kernel, why = choose_kernel(where.device, n_rows=1, n_vocabulary=VOCABULARY, asked="triton", dtype=dtype)
        if kernel.name != "triton":
            return found | {"passed": False, "why": why}
        seconds = time.monotonic() - began
        name = str(dtype).removeprefix("torch.")
        found["triton"][name] = worst_of_kernel(kernel, where, dtype) | {"seconds_to_compile": seconds}
    worst = [found["plain"], *found["triton"].values()]
    return found | {"passed": all(one[name] <= limit for one in worst for name, limit in TOLERANCES.items())}


def worst_of_kernel(kernel: Kernel, where: Where, dtype: torch.dtype) -> dict[str, float]:
    """Largest differences to float64 over rows that are ordinary, peaked, flat, and masked at one end."""
    columns = (997,) if where.quick else (997, 50_257, VOCABULARY)
    worst = dict.fromkeys(TOLERANCES, 0.0)
    for n_columns in columns:
        logits, ids = rows_that_differ(n_columns)
        logits, ids = logits.to(where.device, dtype), ids.to(where.device)
        with torch.inference_mode():
            found = token_statistics(logits.clone(), ids, kernel)
        for name, exact in statistics_in_float64(logits, ids).items():
            difference = (getattr(found, name).double() - exact).abs().max()
            worst[name] = max(worst[name], float(difference))
    return worst


def rows_that_differ(n_columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw logits, shape (67, n_columns), and true ids, shape (67,)."""
    generator = torch.Generator().manual_seed(n_columns)
    logits = 3.0 * torch.randn((67, n_columns), generator=generator)
    ids = torch.randint(0, n_columns // 2, (67,), generator=generator)
    logits[0, ids[0]] += 60.0
    logits[1] = 1.0
    logits[2, n_columns // 2 :] = -torch.inf
    return logits, ids


def statistics_in_float64(logits: torch.Tensor, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Log-probability, mean, variance and rank by their definitions."""
    log_p = logits.double().log_softmax(-1)
    p = log_p.exp()
    mean = torch.where(p > 0, p * log_p, 0.0).sum(-1)
    return {
        "logprob": log_p.gather(1, ids[:, None])[:, 0],
        "logprob_mean": mean,
        "logprob_variance": torch.where(p > 0, p * (log_p - mean[:, None]).square(), 0.0).sum(-1),
        "rank": (logits > logits.gather(1, ids[:, None])).sum(-1).double(),
    }


# layouts


def compare_layouts(where: Where) -> Answer:
    """Score the same sequences packed, padded and singly, in two precisions, and compare with float64."""
    shape = "tiny" if where.quick else "60m"
    sequences = make_sequences(
        6 if where.quick else 48, n_vocabulary=SHAPES[shape]["vocab_size"], median_tokens=60, seed=0
    )
    found: Answer = {}
    for name, tolerance in LAYOUT_TOLERANCES.items():
        model = build(shape, where, getattr(torch, name))
        exact = loop_in_float64(model, sequences)
        found[name] = {}
        for layout, scores in scored_by_layout(model, sequences).items():
            if isinstance(scores, str):
                found[name][layout] = {"worst_nats": None, "why": scores}
                continue
            worst = max(float(np.abs(one.logprob - right).max()) for one, right in zip(scores, exact, strict=True))
            found[name][layout] = {"worst_nats": worst, "passed": worst <= tolerance}
        del model
        free_memory()
    return found | {"passed": all(one.get("passed", True) for by in found.values() for one in by.values())}


def scored_by_layout(model: Any, sequences: Sequence[TokenSequence]) -> dict[str, list[SequenceScores] | str]:
    """Score in every layout, or say why there is none."""
    packing, padding = Scorer(model, name="packed"), Scorer(model, name="padded", pack=False)
    return {
        "packed": packing.score(sequences) if packing.packs else why_not_packed(model),
        "padded": padding.score(sequences),
        "single": [padding.score([one])[0] for one in sequences],
    }


def why_not_packed(model: Any) -> str:
    """Say what packing lacks."""
    if model.dtype == torch.float32:
        return "flash-attn packs in half precision only"
    return "flash-attn is not installed" if find_spec("flash_attn") is None else "a packed batch came out otherwise"


@torch.inference_mode()
def loop_in_float64(model: Any, sequences: Sequence[TokenSequence]) -> list[np.ndarray[Any, Any]]:
    """Log-probabilities of the scored tokens by a float64 copy of a model, one sequence at a time."""
    twin = LlamaForCausalLM(model.config).double().to(model.device).eval()
    twin.load_state_dict({key: value.double() for key, value in model.state_dict().items()})
    found = []
    for sequence in sequences:
        ids = torch.tensor([sequence.ids], device=model.device)
        logprob = twin(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
        found.append(logprob.gather(1, ids[0, 1:, None])[:, 0].cpu().numpy())
    return found


# memory


def run_out_of_memory(where: Where) -> Answer:
    """Score with a budget that cannot fit; compare with a run that had room, and score once more afterwards."""
    shape, n, room = ("tiny", 32, 2**26) if where.quick else ("60m", 2000, 2**31)
    model = build(shape, where, torch.float32)
    scorer = Scorer(model, name="memory")
    sequences = make_sequences(n, n_vocabulary=n_vocabulary(model), median_tokens=400, seed=1)
    plain = scored_ahead(scorer, sequences, Budget(2048))
    budget = Budget(count_tokens(sequences))
    with at_most_more(room, where):
        halved = scored_ahead(scorer, sequences, budget)
    again = scored_ahead(scorer, sequences, Budget(2048))
    worst = max(float(np.abs(one.logprob - right.logprob).max()) for one, right in zip(halved, plain, strict=True))
    same = all(np.array_equal(one.logprob, right.logprob) for one, right in zip(again, plain, strict=True))
    passed = bool(budget.halved_from) and worst <= LAYOUT_TOLERANCES["float32"] and same
    return {
        "halved_from": budget.halved_from,
        "went_on_with": budget.tokens,
        "worst_nats": worst,
        "same_bits_afterwards": same,
        "passed": passed,
    }


@contextmanager
def at_most_more(n_bytes: int, where: Where) -> Iterator[None]:
    """Let this process have so much memory more than it holds: on the card, or of the host's addresses."""
    free_memory()
    if where.has_card:
        total = torch.cuda.get_device_properties(where.device).total_memory
        torch.cuda.set_per_process_memory_fraction(
            (torch.cuda.memory_reserved(where.device) + n_bytes) / total, where.device
        )
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, where.device)
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def scored_ahead(scorer: Scorer, sequences: Sequence[TokenSequence], budget: Budget) -> list[SequenceScores]:
    """Score as an audit does: longest first, one batch ahead, halved if it does not fit."""
    lengths = np.array([len(one.ids) for one in sequences])
    left = np.argsort(-lengths, kind="stable")
    found: dict[int, SequenceScores] = {}
    running: list[tuple[list[int], Any]] = []
    while len(left):
        one = np.ones_like(left)
        batch = left[next(make_batches(lengths[left], one, budget, packed=scorer.packs))].tolist()
        try:
            running.append((batch, scorer.start([sequences[i] for i in batch])))
        except OutOfMemory:
            if len(batch) == 1:
                raise
            free_memory()
            budget.halve()
            continue
        left = left[len(batch) :]
        while len(running) > scorer.runs_ahead:
            done, scores = running.pop(0)
            found.update(zip(done, scores.scores(), strict=True))
    for done, scores in running:
        found.update(zip(done, scores.scores(), strict=True))
    return [found[i] for i in range(len(sequences))]


# idle


def measure_idle(where: Where) -> Answer:
    """Let the engine score generated texts with a model of a folder, and profile all but its loading."""
    shape, n = ("tiny", 40) if where.quick else ("1b", 6000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = build_tokenizer(list(make_texts(TOKENIZER_TEXTS, words=100, seed=3)))
        dtype = torch.bfloat16 if where.has_card else torch.float32
        build(shape, where, dtype).save_pretrained(folder / "model")
        free_memory()
        tokenizer.save_pretrained(folder / "model")
        texts = list(make_texts(n, words=100, seed=4))
        watch = ProfiledScoring(where)
        collect_signals(
            AuditConfig(
                target=ModelSpec(path=str(folder / "model")), members=DataSpec(path="unused"), device=where.device.type
            ),
            ScoringRequest(sample_ids=[f"s{i}" for i in range(n)], texts=texts),
            scores_folder=folder / "scores",
            on_progress=watch,
        )
    tokens = {"tokens": watch.n_tokens, "tokens_per_second": watch.n_tokens / watch.seconds}
    if not where.has_card:
        return tokens | {"idle_share": None, "why": "a CPU that scores is not idle; there is no device to wait"}
    idle = 1 - busy_share(watch.kernels())
    return tokens | {"idle_share": idle, "passed": idle <= IDLE_SHARE}


class ProfiledScoring:
    """Watches the progress of scoring, and profiles from its first batch to its last."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._profile = torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CUDA if where.has_card else torch.profiler.ProfilerActivity.CPU]
        )
        self._began = 0.0
        self.seconds, self.n_tokens = 0.0, 0

    def __call__(self, progress: ScoringProgress) -> None:
        """Start when scoring starts, stop when all is scored."""
        if not progress.label.startswith("scoring"):
            return
        if not self._began:
            self._began = time.perf_counter()
            self._profile.start()
        if progress.done_tokens == progress.total_tokens and not self.seconds:
            self._where.wait()
            self._profile.stop()
            self.seconds, self.n_tokens = time.perf_counter() - self._began, progress.done_tokens

    def kernels(self) -> list[tuple[float, float]]:
        """Start and end of whatever ran on the device, microseconds."""
        events = [event for event in self._profile.events() or () if event.device_type.name == "CUDA"]
        return [(event.time_range.start, event.time_range.end) for event in events]


def busy_share(intervals: Sequence[tuple[float, float]]) -> float:
    """Share of the time from the first start to the last end that lies in an interval."""
    busy, reached = 0.0, min(start for start, _ in intervals)
    began = reached
    for start, end in sorted(intervals):
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy / (reached - began)


# speed


def measure_speed(shape: str, where: Where) -> Answer:
    """Tokens a second of ours, a padded batched loop and vLLM; ours also as a share of the matrix-product peak."""
    shape, n = ("tiny", 20) if where.quick else (shape, 4000)
    sequences = make_sequences(n, n_vocabulary=SHAPES[shape]["vocab_size"], median_tokens=160, seed=0)
    few = sequences[: max(8, n // 8)]
    model = build(shape, where, torch.bfloat16 if where.has_card else torch.float32)
    config = model.config
    found = speed_of_ours(model, sequences, where)
    found["loop_tokens_per_second"] = speed_of_loop(model, few, where)
    found["times_the_loop"] = found["ours_tokens_per_second"] / found["loop_tokens_per_second"]
    del model
    free_memory()
    return found | speed_of_vllm(config, few, where)


def speed_of_ours(model: Any, sequences: Sequence[TokenSequence], where: Where) -> Answer:
    """Time our own scoring, and what a matrix product reaches."""
    n_tokens = count_tokens(sequences)
    kernel, why = choose_kernel(where.device, n_rows=n_tokens, n_vocabulary=n_vocabulary(model), dtype=model.dtype)
    scorer = Scorer(model, name="ours", kernel=kernel, why=why)
    peak = gemm_flops_per_second(model, where)
    scored_ahead(scorer, sequences[:8], Budget(BATCH_TOKENS))
    seconds = timed(lambda: scored_ahead(scorer, sequences, Budget(BATCH_TOKENS)), where)
    return {
        "parameters": sum(one.numel() for one in model.parameters()),
        "path": scorer.path,
        "tokens": n_tokens,
        "ours_tokens_per_second": n_tokens / seconds,
        "matrix_peak_tflops": peak / 1e12,
        "share_of_peak": model_flops(model, sequences) / seconds / peak,
    }


def speed_of_loop(model: Any, sequences: Sequence[TokenSequence], where: Where) -> float:
    """Tokens a second of the padded batched loop."""
    padded_loop(model, sequences[:4])
    return count_tokens(sequences) / timed(lambda: padded_loop(model, sequences), where)


def count_tokens(sequences: Sequence[TokenSequence]) -> int:
    """Count the tokens of sequences, prefixes too."""
    return sum(len(one.ids) for one in sequences)


def timed(run: Callable[[], object], where: Where) -> float:
    """Return the seconds that something took, until the device was done."""
    where.wait()
    began = time.perf_counter()
    run()
    where.wait()
    return time.perf_counter() - began


def gemm_flops_per_second(model: Any, where: Where) -> float:
    """Best rate of a matrix product at the model's own shapes and precision, each weighted as the model uses it."""
    body, head = model_shapes(model)
    rows = 64 if where.quick else 8192
    operations = seconds = 0.0
    for shape in {*body, head}:
        left, right = (torch.randn(size, device=where.device).to(model.dtype) for size in ((rows, shape[0]), shape))
        best = min(timed(lambda a=left, b=right: torch.mm(a, b), where) for _ in range(GEMM_REPEATS))  # type: ignore[misc]
        n_uses = [*body, head].count(shape)
        operations += n_uses * 2.0 * rows * shape[0] * shape[1]
        seconds += n_uses * best
    return operations / seconds


@torch.inference_mode()
def padded_loop(model: Any, sequences: Sequence[TokenSequence]) -> list[np.ndarray[Any, Any]]:
    """Score in padded batches, longest first, with an attention mask and whole logits, as a plain script does."""
    found = []
    left = sorted((one.ids for one in sequences), key=len, reverse=True)
    while left:
        rows = left[: max(1, PEER_TOKENS // len(left[0]))]
        left = left[len(rows) :]
        ids = torch.zeros((len(rows), len(rows[0])), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        logprob = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        true = logprob.gather(2, ids[:, 1:, None])[..., 0].cpu().numpy()
        found += [values[: len(row) - 1] for values, row in zip(true, rows, strict=True)]
    return found


def speed_of_vllm(config: Any, sequences: Sequence[TokenSequence], where: Where) -> Answer:
    """Tokens a second of vLLM's log-probabilities of prompts, with random weights of the same shape."""
    nothing: Answer = {"vllm_tokens_per_second": None}
    if not where.has_card:
        return nothing | {"vllm_why": "vLLM is measured on a GPU only, and there is none"}
    if find_spec("vllm") is None:
        return nothing | {"vllm_why": "vllm is not installed"}
    if where.left < 120:
        return nothing | {"vllm_why": f"{where.left:.0f} s were left, and it takes 120 to start"}
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found,unused-ignore]

    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        engine = LLM(model=folder, load_format="dummy", skip_tokenizer_init=True, gpu_memory_utilization=0.6)
        asked = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        prompts = [{"prompt_token_ids": list(one.ids)} for one in sequences]
        engine.generate(prompts[:4], asked, use_tqdm=False)
        seconds = timed(lambda: engine.generate(prompts, asked, use_tqdm=False), where)
    return {"vllm_tokens_per_second": count_tokens(sequences) / seconds}


STEPS: dict[str, tuple[float, Callable[[Where], Answer]]] = {
    "kernel": (40, check_kernel),
    "layouts": (40, compare_layouts),
    "memory": (40, run_out_of_memory),
    "speed-1b": (60, lambda where: measure_speed("1b", where)),
    "idle": (60, measure_idle),
    "speed-7b": (80, lambda where: measure_speed("7b", where)),
}
"""What is asked, and how many seconds must be left for it (assumed, as no card was at hand)."""


def run_step(name: str, where: Where) -> Answer:
    """Run one step; a failure is an answer, and the next step runs all the same."""
    needed, step = STEPS[name]
    if where.left < needed:
        return {"passed": None, "why": f"{where.left:.0f} s were left, and it may take {needed:.0f}"}
    began = time.monotonic()
    try:
        answer = step(where)
    except Exception as error:  # whatever a driver, a compiler or a kernel can raise
        answer = {"passed": False, "why": f"{type(error).__name__}: {str(error).strip()}"[:2000]}
    free_memory()
    return answer | {"seconds": time.monotonic() - began}


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--quick", is_flag=True, help="Tiny shapes: whether the script itself runs.")
@click.option("--steps", default=",".join(STEPS), show_default=True, help="Some of them.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write all answers.")
def main(device: str, quick: bool, steps: str, json_path: Path | None) -> None:
    """Run the steps one after the other; end with code 1 if one of them failed."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("torch sees no GPU here; --device cpu --quick shows that the script itself runs")
    if unknown := set(steps.split(",")) - set(STEPS):
        raise click.BadParameter(f"no step {', '.join(sorted(unknown))}; there are: {', '.join(STEPS)}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    where = Where(torch.device(device), quick)
    document: Answer = {
        "device": torch.cuda.get_device_name() if where.has_card else "cpu",
        "quick": quick,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "steps": {},
    }
    for name in steps.split(","):
        print(f"  {name} ...", file=sys.stderr, flush=True)
        document["steps"][name] = answer = run_step(name, where)
        print(f"{name}: {json.dumps(answer)}", flush=True)
        if json_path is not None:
            json_path.write_text(json.dumps(document, indent=1))
    verdicts = [answer.get("passed", True) for answer in document["steps"].values()]
    right, failed, left_out = (verdicts.count(one) for one in (True, False, None))
    print(f"{right} steps right or measured, {failed} failed, {left_out} not run")
    sys.exit(int(False in verdicts))


if __name__ == "__main__":
    main()
