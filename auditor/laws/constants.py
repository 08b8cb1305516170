"""Constants of a prediction: the paper's, or those measured on one's own architecture and text."""

from dataclasses import dataclass
from pathlib import Path

from ..config import AuditConfig
from ..documents.calibration import read_calibration
from ..documents.capacity import read_capacity
from .calibration import law_from
from .capacity import BitsPerParameter, bits_per_parameter, measured_bits_per_parameter
from .membership import PAPER_LAW, REFERENCE_LAW, MembershipLaw

__all__ = ["Constants", "read_constants"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What predictions rest on. ``capacity`` is None for the paper's constant of the target's precision."""

    capacity: BitsPerParameter | None
    law: MembershipLaw
    reference_law: MembershipLaw

    def capacity_for(self, stored_dtype: str) -> BitsPerParameter:
        """Return the capacity constant of a target stored in a precision."""
        return self.capacity or bits_per_parameter(stored_dtype)


def read_constants(config: AuditConfig) -> Constants:
    """Read the files of a measured capacity and a calibrated law, before anything is scored.

    Raises
    ------
    ResultError
        If a file cannot be read or is not what it should be.
    """
    capacity = None
    if config.bits_per_parameter is not None:
        capacity = BitsPerParameter(config.bits_per_parameter, "given (--bits-per-parameter)")
    if config.capacity is not None:
        capacity = measured_bits_per_parameter(read_capacity(Path(config.capacity)))
    if config.calibration is None:
        return Constants(capacity=capacity, law=PAPER_LAW, reference_law=REFERENCE_LAW)
    calibration = read_calibration(Path(config.calibration))
    return Constants(
        capacity=capacity, law=law_from(calibration, "loss"), reference_law=law_from(calibration, "reference")
    )
