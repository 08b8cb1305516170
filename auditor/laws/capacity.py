"""Capacity of a model: the measured bits per parameter of Morris et al. 2025."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..documents.capacity import CapacityMeasurement

__all__ = ["BitsPerParameter", "bits_per_parameter", "measured_bits_per_parameter", "memorized_bits"]


@dataclass(frozen=True, slots=True)
class BitsPerParameter:
    """A capacity constant, where it comes from, and the warnings of the measurement that it comes from.

    ``lora_rank`` is the rank of the LoRA that it was measured with, bits of each trained parameter; else None.
    """

    value: float
    source: str
    warnings: tuple[str, ...] = ()
    lora_rank: int | None = None


def bits_per_parameter(dtype: str, *, reason: str | None = None) -> BitsPerParameter:
    """Capacity constant of GPT-2 style models trained in a precision (arXiv:2505.24832, table 5: means).

    3.51 bits per parameter in bfloat16 and 3.83 in float32, each +- 0.1 between configurations; the whole table
    runs from 2.86 to 4.23, and every figure is a lower bound because training finds no global optimum. The
    precision a checkpoint is stored in stands for the one it was trained in, which a checkpoint does not say.

    Parameters
    ----------
    dtype : str
        ``float32``, or anything shorter, which counts as bfloat16.
    reason : str, optional
        Why this precision; by default that the checkpoint is stored in it.
    """
    reason = f"checkpoint stored in {dtype}" if reason is None else reason
    if dtype == "float32":
        return BitsPerParameter(3.83, f"Morris et al. 2025, table 5, float32 mean ({reason})")
    return BitsPerParameter(3.51, f"Morris et al. 2025, table 5, bfloat16 mean ({reason})")


def measured_bits_per_parameter(measured: "CapacityMeasurement") -> BitsPerParameter:
    """Take the constant from a measurement of ``auditor capacity``, a lower bound."""
    best, rank = measured.best, measured.lora_rank
    counted = f"{measured.n_parameters:,} parameters"
    if rank is not None:
        counted = f"the {measured.n_trained_parameters or 0:,} parameters of a LoRA of rank {rank}"
    return BitsPerParameter(
        measured.bits_per_parameter,
        f"measured, a lower bound: {measured.model}, {counted}, {measured.precision}, {best.steps:,} steps",
        warnings=tuple(f"the measurement of capacity warned: {warning}" for warning in measured.warnings),
        lora_rank=rank,
    )


def memorized_bits(capacity_bits: float, dataset_bits: float | None) -> float:
    """Bits that a model trained long enough holds of its data: all of them, or as many as fit.

    ``min(capacity, H(X))`` (arXiv:2505.24832, section 3: within 4.2% of the measured bits in the sweep over sample
    lengths). If the dataset's bits are not known, the capacity, which is then an upper limit.
    """
    return capacity_bits if dataset_bits is None else min(capacity_bits, dataset_bits)
