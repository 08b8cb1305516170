"""Scales of the sweep on text: three sizes of a laptop, or the two models of the paper's table 4."""

from ...documents.reproduction import Scale
from ..sweep import CalibrationPlan

__all__ = ["text_plan"]


def text_plan(scale: Scale, *, n_vocabulary: int, sample_tokens: int, device: str) -> CalibrationPlan:
    """Choose the sweep on text: three sizes of a laptop, or the two models of the paper's table 4."""
    from transformers import GPT2Config

    rest = {"vocab_size": n_vocabulary, "n_positions": sample_tokens, "bos_token_id": 0, "eos_token_id": 0}

    def config(**shape: float) -> str:
        return str(GPT2Config(**rest, **shape).to_json_string(use_diff=False))

    if scale == "paper":
        return CalibrationPlan(
            configs=(
                config(n_layer=12, n_embd=768, n_head=12),
                config(n_layer=48, n_embd=1600, n_head=25),
            ),
            ratios=(0.0121148, 0.0493517, 0.1096699),
            epochs=300.0,
            least_steps=100_000,
            reference_steps=100_000,
            longer=0.0,
            whole_references=True,
            batch_size=2048,
            learning_rates=(6e-4, 1.5e-4),
            n_held_out=10_000,
            n_reference=1_000_000,
            device=device,
        )
    return CalibrationPlan(
        configs=tuple(config(n_layer=1, n_embd=width, n_head=4) for width in (8, 12, 16)),
        larger_reference=config(n_layer=1, n_embd=32, n_head=4),
        whole_references=True,
        ratios=(0.004, 0.008, 0.0125, 0.025, 0.05, 0.1),
        epochs=60.0,
        least_steps=1_000,
        reference_steps=1_500,
        longer=0.0,
        optimizer="soap",
        n_held_out=1_000,
        n_reference=2_000,
        device=device,
    )
