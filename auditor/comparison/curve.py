"""The curve of a training run: the audits of its checkpoints as one document, each beside the one before.

The order of the fields is the file format.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..documents.curve import AttackPoint, Curve, CurvePoint, Failed, Rise, sound_neighbours, steps_of
from ..documents.estimate import Estimate
from ..documents.result import AttackResult, AuditResult, Verdict, worst_verdict
from ..documents.sample_table import SampleTable
from ..stats.change import Change, auc_change, mean_change
from ..stats.clusters import with_copies
from ..stats.p_values import holm
from ..version import __version__

__all__ = ["Tracer", "checkpoint_names", "step_of"]

NO_REFERENCE = "no reference model was given (--reference), so there are no bits"
OUTPUTS = ("scores", "curve.json", "curve.html", "curve.md")
"""What else lies beside the folders of the checkpoints."""


def checkpoint_names(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Name the folder of outputs of each checkpoint: the end of its path, made safe for any file system.

    Parameters
    ----------
    paths : sequence of str

    Returns
    -------
    names : list of str
        Of letters, digits, ``.``, ``_`` and ``-``; no two alike, even where case does not count.
    notes : list of str
        What was renamed.

    Examples
    --------
    >>> checkpoint_names(["run/checkpoint-10", "a b/x y", "other/checkpoint-10"])[0]
    ['checkpoint-10', 'x_y', 'checkpoint-10-2']
    """
    names: list[str] = []
    notes: list[str] = []
    taken = {name.casefold() for name in OUTPUTS}
    for path in paths:
        plain = Path(path).name
        name = safe = re.sub(r"[^A-Za-z0-9._-]+", "_", plain)[:80].strip(".") or "checkpoint"
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{safe}-{number}"
        taken.add(name.casefold())
        names.append(name)
        if name != plain:
            notes.append(f"the checkpoint {path} is called {name}: its own name is taken or holds other characters")
    return names, notes


def step_of(path: str) -> int | None:
    """Read the number at the end of a checkpoint's name.

    Examples
    --------
    >>> step_of("run/checkpoint-1000"), step_of("run/model-20.gguf"), step_of("run/final")
    (1000, 20, None)
    """
    found = re.search(r"(?<![0-9])[0-9]{1,15}$", Path(path).name.removesuffix(".gguf"))
    return int(found[0]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Paired:
    """What the pairing of two checkpoints needs of each sample; ``texts`` is a digest of the texts as scored."""

    texts: str
    groups: list[str | None] | None
    is_member: NDArray[np.bool_]
    bits: NDArray[np.float64] | None
    score: NDArray[np.float64] | None


class Tracer:
    """Collects the audits of checkpoints, in order of training, into a curve.

    Only the last audit's samples are kept: 16 bytes a text, its group, and the documents' figures.

    Parameters
    ----------
    target : str
        The pattern that named the checkpoints.
    n_checkpoints : int
        That it named.
    notes : sequence of str
        Warnings that hold for the whole curve.
    """

    def __init__(self, *, target: str, n_checkpoints: int, notes: Sequence[str] = ()) -> None:
        self._target, self._n_checkpoints, self._notes = target, n_checkpoints, tuple(notes)
        self._audits: list[tuple[str, str, AuditResult]] = []
        self._changes: list[tuple[Change | None, Estimate | None]] = []
        self._failed: list[Failed] = []
        self._last: _Paired | None = None
        self._headline: str | None = None

    def add(
        self, label: str, path: str, result: AuditResult, samples: SampleTable, *, headline: AttackResult | None
    ) -> None:
        """Add the next checkpoint's audit, and the attack of it that verdicts rest on."""
        self._headline = headline.attack if headline else None
        now = _paired(samples, self._headline)
        level = float(result.config["confidence"])
        self._changes.append(_changes(self._last, now, level) if self._last is not None else (None, None))
        self._audits.append((label, path, result))
        self._last = now

    def fail(self, label: str, path: str, reason: str) -> None:
        """Say that a checkpoint could not be audited."""
        self._failed.append(Failed(label=label, path=path, reason=reason))

    @property
    def n_audited(self) -> int:
        """How many checkpoints were audited so far."""
        return len(self._audits)

    @property
    def failed(self) -> tuple[Failed, ...]:
        """The checkpoints that could not be audited."""
        return tuple(self._failed)

    def _starts(self) -> list[str]:
        """Name the checkpoints that are the reference itself."""
        labels = [label for label, _, result in self._audits if _is_the_reference(result)]
        return [f"{label} is the reference itself: its bits are 0 by definition" for label in labels]

    def curve(self) -> Curve:
        """Return the curve of what was added so far; needs at least one audit."""
        adjusted = holm([bits.p_value if bits is not None else None for bits, _ in self._changes])
        points = tuple(
            _point(label, path, result, change, p)
            for (label, path, result), change, p in zip(self._audits, self._changes, adjusted, strict=True)
        )
        result = self._audits[0][2]
        level = float(result.config["confidence"])
        references = [model.path for model in result.provenance.models if model.role == "reference"]
        return Curve(
            auditor_version=__version__,
            target=self._target,
            references=tuple(references),
            n_checkpoints=self._n_checkpoints,
            n_members=result.data.members.n_samples,
            n_non_members=result.data.non_members.n_samples if result.data.non_members else 0,
            level=level,
            calibrated=result.data.non_members is not None,
            headline_attack=self._headline,
            points=points,
            largest_rise=_largest_rise(points, 1 - level),
            failed=self.failed,
            warnings=(*self._notes, *self._starts(), *_warnings(points, result)),
        )


def _is_the_reference(result: AuditResult) -> bool:
    """Whether a checkpoint is the one reference itself, as at step 0, and nothing else forbids a verdict on it."""
    found = () if result.soundness is None else result.soundness.checks
    vetoes = {check.name for check in found if check.verdict == "veto"}
    return vetoes == {"distinct_models"} and [model.role for model in result.provenance.models].count("reference") == 1


def _soundness(result: AuditResult) -> Verdict | None:
    """Return the worst verdict of the checks; to be the reference is no fault of where a curve starts."""
    if result.soundness is None or not _is_the_reference(result):
        return None if result.soundness is None else result.soundness.verdict
    return worst_verdict(check.verdict for check in result.soundness.checks if check.name != "distinct_models")


def _paired(samples: SampleTable, headline: str | None) -> _Paired:
    """Keep what a comparison with the next checkpoint needs."""
    texts = sha256("".join(samples.text_sha256).encode())
    texts.update(samples.n_bytes.tobytes())
    return _Paired(
        texts=texts.hexdigest(),
        groups=with_copies(samples.group, samples.text_sha256),
        is_member=samples.is_member,
        bits=samples.memorized_bits,
        score=None if headline is None else samples.scores[headline],
    )


def _changes(before: _Paired, after: _Paired, level: float) -> tuple[Change, Estimate]:
    """Compare two neighbours text by text."""

    def undefined(reason: str) -> Estimate:
        return Estimate.undefined(reason, level=level)

    if before.texts != after.texts:
        reason = undefined("the two checkpoints were not scored on the same texts, cut at the same places")
        return Change(estimate=reason, p_value=None), reason
    bits, area = Change(estimate=undefined(NO_REFERENCE), p_value=None), undefined("no attack was run")
    if before.bits is not None and after.bits is not None:
        bits = mean_change(before.bits, after.bits, after.is_member, level=level, groups=after.groups)
    if before.score is not None and after.score is not None:
        area = auc_change(before.score, after.score, after.is_member, level=level, groups=after.groups).estimate
    return bits, area


def _point(
    label: str, path: str, result: AuditResult, changes: tuple[Change | None, Estimate | None], p_value: float | None
) -> CurvePoint:
    """Take from one audit what the curve shows of it."""
    level = float(result.config["confidence"])
    target, memory, drawn = result.provenance.models[0], result.memorization, result.extraction
    bits = used = Estimate.undefined(NO_REFERENCE, level=level)
    if memory is not None:
        bits = memory.debiased_bits_per_member if memory.calibrated else memory.clipped_bits_per_member
        used = memory.capacity_used
    bits_change, area_change = changes
    return CurvePoint(
        label=label,
        step=step_of(path),
        path=path,
        weights_sha256=target.weights_sha256,
        n_parameters=target.n_parameters,
        soundness=_soundness(result),
        bits_per_member=bits,
        capacity_used=used,
        attacks=tuple(_attack_point(attack) for attack in result.attacks),
        bits_change=None if bits_change is None else bits_change.estimate,
        bits_change_p=p_value,
        auc_change=area_change,
        extraction_rate_members=None if drawn is None else drawn.rate_members,
        extraction_rate_beyond=None if drawn is None else drawn.rate_beyond,
    )


def _attack_point(attack: AttackResult) -> AttackPoint:
    rates = [rate for rate in attack.tpr_at_fpr if rate.value is not None] or attack.tpr_at_fpr
    return AttackPoint(attack=attack.attack, auc=attack.auc, tpr=min(rates, key=lambda rate: rate.fpr))


def _largest_rise(points: Sequence[CurvePoint], error: float) -> Rise | None:
    """Find the largest rise among those that hold after Holm."""
    rises = [
        Rise(before=before.label, after=after.label, change=after.bits_change, p_value=after.bits_change_p)
        for before, after in sound_neighbours(points)
        if after.bits_change is not None
        and after.bits_change_p is not None
        and (after.bits_change.low or 0) > 0
        and after.bits_change_p <= error
    ]
    return max(rises, key=lambda rise: rise.change.value or 0.0, default=None)


def _warnings(points: Sequence[CurvePoint], result: AuditResult) -> list[str]:
    """Say what makes the curve other than it looks."""
    found: list[str] = []
    by_weights: dict[str, list[str]] = {}
    for point in points:
        by_weights.setdefault(point.weights_sha256, []).append(point.label)
    found += [
        f"{', '.join(labels)} have the same weights: they are one model, or a copy went wrong"
        for labels in by_weights.values()
        if len(labels) > 1
    ]
    if steps_of(points) is None:
        found.append(
            "not every checkpoint has a number at the end of its name, larger than the one before: the curve is drawn "
            "in the order of the names, evenly spaced"
        )
    vetoed = [point.label for point in points if point.soundness == "veto"]
    if vetoed:
        found.append(f"a soundness check forbids a verdict on {', '.join(vetoed)}: see the report there")
    if points and result.data.non_members is None:
        found.append("no non-members were given: bits are uncalibrated upper figures, and there is no AUC")
    if any(result.config.get(key) is not None for key in ("train_samples", "train_tokens")):
        found.append("--train-samples, --train-tokens and --epochs describe one moment of training: at the other "
                     "checkpoints the prediction in the report is for that moment, not for theirs")  # fmt: skip
    return found
