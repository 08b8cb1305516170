"""How many bits a model can hold: the measured bits per parameter of Morris et al. 2025."""

from dataclasses import dataclass

__all__ = ["BitsPerParameter", "bits_per_parameter"]


@dataclass(frozen=True, slots=True)
class BitsPerParameter:
    """A capacity constant and where it comes from."""

    value: float
    source: str


def bits_per_parameter(stored_dtype: str) -> BitsPerParameter:
    """Capacity constant of GPT-2 style models trained in a precision (arXiv:2505.24832, table 5: means).

    3.51 bits per parameter in bfloat16 and 3.83 in float32, each +- 0.1 between configurations; the whole table
    runs from 2.86 to 4.23, and every figure is a lower bound because training finds no global optimum. The
    precision a checkpoint is stored in stands for the one it was trained in, which a checkpoint does not say.
    """
    if stored_dtype == "float32":
        return BitsPerParameter(3.83, "Morris et al. 2025, table 5, float32 mean (checkpoint stored in float32)")
    return BitsPerParameter(3.51, f"Morris et al. 2025, table 5, bfloat16 mean (checkpoint stored in {stored_dtype})")
