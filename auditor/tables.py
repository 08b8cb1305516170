"""What was audited, in rows: one a sample, and one a side of the data."""

from typing import Literal

from .config import AuditConfig
from .data import SampleSet
from .documents.result import DataResult, SideData
from .documents.sample_table import SampleTable
from .engine.signals import Collected
from .estimates.scores import SampleScores

__all__ = ["describe_data", "sample_table"]


def sample_table(config: AuditConfig, data: SampleSet, collected: Collected, scores: SampleScores) -> SampleTable:
    """Collect the row of every sample."""
    plan, bits = collected.plan, scores.bits
    return SampleTable(
        sample_id=data.ids,
        text_sha256=data.text_sha256,
        is_member=data.is_member,
        group=data.groups,
        n_tokens=plan.passes[0].n_scored,
        n_bytes=plan.n_bytes,
        target_bits=scores.target_bits,
        reference_bits=None if bits is None else bits.reference,
        signed_bits=None if bits is None else bits.signed,
        memorized_bits=None if bits is None else bits.memorized,
        scores=scores.attacks,
        text=tuple(plan.texts) if config.include_text else None,
    )


def describe_data(config: AuditConfig, data: SampleSet, collected: Collected, table: SampleTable) -> DataResult:
    """Describe the texts of both sides and what was cut."""
    windows = [model.encoder.window for model in collected.models if model.encoder.window is not None]

    def side(name: Literal["members", "non_members"], path: str) -> SideData:
        here = table.is_member == (name == "members")
        cut = (data.text_bytes - table.n_bytes)[here]
        return SideData(
            path=path,
            n_samples=int(here.sum()),
            n_groups=data.n_groups(name),
            n_bytes=int(table.n_bytes[here].sum()),
            n_tokens=int(table.n_tokens[here].sum()),
            sha256=data.sha256(name),
            n_cut=int((cut > 0).sum()),
            n_bytes_cut=int(cut.sum()),
            n_windowed=int(collected.plan.windowed[here].sum()),
            n_repeated=data.n_repeated(name),
            n_dropped=data.n_dropped(name),
            notes=tuple(data.notes.get(name, ())),
        )

    return DataResult(
        members=side("members", str(config.members)),
        non_members=None if config.non_members is None else side("non_members", str(config.non_members)),
        window_tokens=min(windows, default=None),
        long_texts=config.long_texts,
    )
