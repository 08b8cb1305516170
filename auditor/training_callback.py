"""A callback of a ``Trainer`` that audits every k steps what the model remembers while it trains."""

import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback

from .auditing.probe import FIGURES, Probe, Texts, read_probe, undisturbed, whole_model
from .config import AuditConfig, DataSpec, ModelSpec, Score
from .documents.estimate import Estimate
from .errors import ConfigError
from .gates.policy import Policy, read_policy

__all__ = ["MemorizationCallback", "StopAbove", "StopRule"]

_LOG = logging.getLogger(__name__)
_CONTROL_LEVEL = 0.999
"""Level at which the sides are called different before training: one false alarm in a thousand runs."""

_OF_METRIC = {
    "attacks.loss.auc": ("loss_auc",),
    "attacks.reference.auc": ("reference_auc",),
    "attacks.headline.auc": ("reference_auc",),
    "attacks.best.auc": ("loss_auc", "reference_auc"),
    "attacks.any.auc": ("loss_auc", "reference_auc"),
    "memorization.debiased_bits_per_member": ("bits_per_member",),
    "memorization.bits_per_token": ("bits_per_token",),
    "memorization.capacity_used": ("capacity_used",),
}
"""The figures of the callback that a gate of a policy is about; there is always a reference, so it is the headline."""

StopRule = Callable[[Mapping[str, Estimate]], str | None]
"""Reads the figures of one audit, and returns why training should stop, or None."""


@dataclass(frozen=True, slots=True)
class StopAbove:
    """Stop when the whole interval of a figure lies above its limit; a figure without a value stops nothing.

    Parameters
    ----------
    limits : mapping of str to float
        By figure: ``loss_auc``, ``reference_auc``, ``bits_per_member``, ``bits_per_token`` or ``capacity_used``.

    Raises
    ------
    ConfigError
        If there is no such figure, or a limit is not finite.
    """

    limits: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if name not in FIGURES or not math.isfinite(limit):
                raise ConfigError(f"cannot stop above {name} = {limit}: limits are numbers of {', '.join(FIGURES)}")

    @classmethod
    def of_policy(cls, policy: Policy) -> "StopAbove":
        """Take from a policy the upper limits of figures that are known while training, unless they are waived today.

        A gate fails here, and only here, if its whole interval is beyond the limit: what is not decided yet stops
        nothing, whatever the policy says of inconclusive gates. The best attack is each of the two that are run here.
        Lower limits and all other figures wait for the audit.

        Raises
        ------
        ConfigError
            If there is no such gate.
        """
        today = datetime.now(UTC).date()
        limits: dict[str, float] = {}
        for gate in policy.gates:
            if gate.max is not None and not any(waiver.covers(gate.name, today) for waiver in policy.waivers):
                for name in _OF_METRIC.get(gate.metric, ()):
                    limits[name] = min(gate.max, limits.get(name, math.inf))
        if not limits:
            known = ", ".join(_OF_METRIC)
            raise ConfigError(
                f"policy {policy.source}: no gate can stop training; it takes a max, not waived, of {known}"
            )
        return cls(limits)

    def __call__(self, figures: Mapping[str, Estimate]) -> str | None:
        """Say which limits are broken."""
        broken = []
        for name, limit in self.limits.items():
            found = figures[name]
            if found.low is not None and found.low > limit:
                interval = f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}]"
                broken.append(f"{name} {interval} is above {limit:g}")
        return "; ".join(broken) or None


class MemorizationCallback(TrainerCallback):  # type: ignore[misc]
    """Audit the model that is being trained, in its own process, and write the figures to the trainer's log.

    Before the first step, every ``every_steps`` steps and at the end, the texts of a probe set are scored with the
    weights as they are in memory; nothing is saved. Training goes on to the last bit as it would have gone without:
    the model scores in evaluation mode and without gradients, and its modes and all random states are put back.

    Parameters
    ----------
    members, non_members : str, Path or sequence of str
        Texts that training uses, and texts of the same distribution that it does not: both as files that ``auditor
        audit`` takes, or both as lists of texts, or of rows such as ``{"messages": [...]}``. Conversations are read
        with the tokenizer's chat template and scored where TRL trains on them.
    every_steps : int
        Optimizer steps from one audit to the next.
    early : bool
        Also look after a quarter, half and all of the first epoch, as far as they come before the first of these:
        fine-tunes memorize most in their first epochs (Slack and Al Moubayed 2025, arXiv:2510.11372; read, not
        measured here).
    reference : str or Path, optional
        A model that never saw the members. Without one, bits are counted against the model as it was when training
        started: what training added, the style of the data included, which the difference to the non-members takes
        off.
    stop_when : callable, optional
        Given the figures by name, returns why training should stop, or None; :class:`StopAbove` is one. The intervals
        that it is given are wider than those of the log: Bonferroni's correction for the planned number of looks
        (``max_steps / every_steps``, and the early ones), without which repeated looks stop harmless runs more and
        more often, and for the limits of a :class:`StopAbove`. Another rule that reads several figures adds up their
        false alarms. An audit at the end stops nothing.
    policy : str, Path or Policy, optional
        Stop by the gates of a policy instead; see :meth:`StopAbove.of_policy`.
    at_end : bool
        Whether to audit the model that training ends with.
    tokenizer : optional
        The trainer's, if it has one.
    max_tokens : int, optional
        Score at most so many tokens of a text.
    prefix_token : str
        As in :class:`AuditConfig`.
    score : {"completion", "all"}
        Which tokens of conversations are scored, as in :class:`AuditConfig`.
    chat_template : str, optional
        File of a chat template, instead of the tokenizer's own.
    level : float
        Confidence level of the intervals in the log, each on its own.
    batch_tokens : int
        Tokens in a forward pass; fewer once memory has run out.
    scores_folder : Path, optional
        Score store for the reference, so that a restart need not run it; by default a temporary folder.
    text_field : str
        Column of the texts in files.
    log_prefix : str
        Before every name in the log.

    Attributes
    ----------
    figures : mapping of str to Estimate
        Of the last audit.
    stop_reason : str or None
        Why training was stopped: figures only, no text.

    Raises
    ------
    ConfigError, DataError, ModelError
        Here or when training starts, if texts, model and settings do not go together.

    Notes
    -----
    The log gets ``audit/loss_auc``, ``audit/reference_auc``, ``audit/bits_per_member`` (debiased),
    ``audit/bits_per_token`` and ``audit/capacity_used``, each with ``_low`` and ``_high``; ``audit/seconds`` that it
    took; and ``audit/stopped`` if it stopped training. A figure without a value is left out, and a warning says why.
    The capacity used counts the probe's members alone.

    Weights are scored in the precision in which they are trained, without autocast. Of several processes with the
    whole model each, the first one audits while the others wait; sharded models are refused.

    Many parameters: this is a public interface whose only required ones are the texts and ``every_steps``; flat
    keywords are what trainers' other callbacks take.

    Examples
    --------
    >>> rule = StopAbove({"loss_auc": 0.7})
    >>> callback = MemorizationCallback(["a text"], ["another"], every_steps=100, stop_when=rule)
    >>> callback.attach(trainer).train()  # doctest: +SKIP
    """

    def __init__(
        self,
        members: Texts,
        non_members: Texts,
        *,
        every_steps: int,
        early: bool = True,
        reference: str | Path | None = None,
        stop_when: StopRule | None = None,
        policy: str | Path | Policy | None = None,
        at_end: bool = True,
        tokenizer: Any = None,
        max_tokens: int | None = None,
        prefix_token: str = "auto",
        score: Score = "completion",
        chat_template: str | None = None,
        level: float = 0.95,
        batch_tokens: int = 2048,
        scores_folder: Path | None = None,
        text_field: str = "text",
        log_prefix: str = "audit/",
    ) -> None:
        if every_steps < 1:
            raise ConfigError(f"every_steps must be at least 1, got {every_steps}")
        if stop_when is not None and policy is not None:
            raise ConfigError("give stop_when or policy, not both")
        if policy is not None:
            stop_when = StopAbove.of_policy(policy if isinstance(policy, Policy) else read_policy(Path(policy)))
        self._data = read_probe(members, non_members, text_field)
        self._config = AuditConfig(
            target=ModelSpec.parse(str(reference)),
            members=DataSpec(path="in memory"),
            max_tokens=max_tokens,
            prefix_token=prefix_token,
            score=score,
            chat_template=chat_template,
            confidence=level,
            batch_tokens=batch_tokens,
        )
        self._has_reference, self._scores_folder = reference is not None, scores_folder
        self._every_steps, self._at_end, self._stop_when = every_steps, at_end, stop_when
        self._wants_early, self._early = early, frozenset[int]()
        self._tokenizer, self._prefix = tokenizer, log_prefix
        self._trainer: Any = None
        self._probe: Probe | None = None
        self._unsaid = set(FIGURES)
        self._n_looks, self._last_step = 1, -1
        self.figures: Mapping[str, Estimate] = {}
        self.stop_reason: str | None = None

    def attach(self, trainer: Any) -> Any:
        """Add this to a trainer (a :class:`transformers.Trainer`, TRL's among them), and return the trainer.

        A callback that is only passed to ``Trainer(callbacks=[...])`` is never told of the trainer, and is called
        after W&B, MLflow and TensorBoard have written what is logged.
        """
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        self._trainer = trainer
        return trainer

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **_others: Any
    ) -> None:
        """Score the probe set before anything is learnt."""
        if self._trainer is None:
            raise ConfigError("MemorizationCallback cannot reach the trainer's log: call callback.attach(trainer)")
        if state.global_step > 0 and not self._has_reference:
            raise ConfigError(
                "MemorizationCallback without a reference counts bits from the start of training, but this run goes "
                "on from a checkpoint: give a reference"
            )
        tokenizer = self._tokenizer or getattr(processing_class, "tokenizer", processing_class)
        if tokenizer is None:
            raise ConfigError("MemorizationCallback needs a tokenizer: give it one, or the trainer a processing_class")
        whole = whole_model(model)
        self._early = _early_steps(state, self._every_steps) if self._wants_early else frozenset()
        n_regular = (state.max_steps - state.global_step) // self._every_steps
        self._n_looks = max(1, n_regular + len(self._early))
        if not state.is_world_process_zero:
            return
        with undisturbed(whole), tempfile.TemporaryDirectory(prefix="auditor-scores-") as temporary:
            self._probe = Probe.open(
                self._data, whole, tokenizer, self._config,
                has_reference=self._has_reference, folder=self._scores_folder or Path(temporary),
            )  # fmt: skip
        self._audit(state, control, whole)
        if state.global_step == 0:
            self._warn_if_sides_differ(self._probe.measure(whole, level=_CONTROL_LEVEL)["loss_auc"])

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_others: Any) -> None:
        """Audit if it is time, and stop training if the rule says so."""
        if state.global_step % self._every_steps == 0 or state.global_step in self._early:
            self._audit(state, control, whole_model(model), may_stop=True)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_others: Any) -> None:
        """Audit what training ends with."""
        if self._at_end and (state.global_step != self._last_step or args.load_best_model_at_end):
            self._audit(state, control, whole_model(model))

    def _audit(self, state: Any, control: Any, model: Any, *, may_stop: bool = False) -> None:
        """Measure and log in the first process; stop training in all."""
        self._last_step = state.global_step
        asked = self._stop_when is not None and may_stop
        reason = self._measure(control, model, asked=asked) if self._probe is not None else None
        if asked and (reason := _from_first_process(reason, self._trainer.args.world_size)) is not None:
            self.stop_reason = reason
            control.should_training_stop = True
            _LOG.warning("training is stopped at step %d: %s", state.global_step, reason)

    def _measure(self, control: Any, model: Any, *, asked: bool) -> str | None:
        """Score the probe set, log what is found, and return why training should stop, if it should."""
        assert self._probe is not None
        started, level = time.monotonic(), self._config.confidence
        scores = self._probe.score(model)
        self.figures = self._probe.estimate(scores, model, level=level)
        reason = None
        if asked and self._stop_when is not None:
            n_limits = len(self._stop_when.limits) if isinstance(self._stop_when, StopAbove) else 1
            corrected = 1 - (1 - level) / (self._n_looks * n_limits)
            reason = self._stop_when(self._probe.estimate(scores, model, level=corrected))
        logs = self._entries() | {f"{self._prefix}seconds": time.monotonic() - started}
        if reason is not None:
            logs[f"{self._prefix}stopped"] = 1.0
        should_log = control.should_log
        # not trainer.log: TRL's adds its running means of the training loss to whatever is logged first
        Trainer.log(self._trainer, logs)
        control.should_log = should_log
        return reason

    def _entries(self) -> dict[str, float]:
        """Return every figure with the ends of its interval; say once why one has no value."""
        entries: dict[str, float] = {}
        for name, found in self.figures.items():
            if found.value is not None and found.low is not None and found.high is not None:
                ends = {"": found.value, "_low": found.low, "_high": found.high}
                entries |= {f"{self._prefix}{name}{end}": float(value) for end, value in ends.items()}
            elif name in self._unsaid:
                self._unsaid.remove(name)
                _LOG.warning("%s%s is not logged: %s", self._prefix, name, found.undefined_reason)
        return entries

    def _warn_if_sides_differ(self, found: Estimate) -> None:
        """Before training no attack can tell the sides apart, unless they differ or the model knows the members."""
        if found.low is not None and found.high is not None and not found.low <= 0.5 <= found.high:
            _LOG.warning(
                "before training the loss alone tells members from non-members (AUC %.3f): the sides differ, or the "
                "model had seen one of them; later figures of the loss are not evidence of memorization",
                found.value,
            )


def _early_steps(state: Any, every_steps: int) -> frozenset[int]:
    """Return the steps after a quarter, half and all of the first epoch that lie before the first regular look."""
    epoch = state.max_steps / max(1, state.num_train_epochs)  # of a stream, which has no epochs, next to nothing
    steps = (round(share * epoch) for share in (0.25, 0.5, 1.0))
    return frozenset(step for step in steps if state.global_step < step < min(every_steps, state.max_steps))


def _from_first_process(reason: str | None, n_processes: int) -> str | None:
    """Tell every process what the first one found, so that all stop at the same step."""
    if n_processes == 1:
        return reason
    from accelerate.utils import broadcast_object_list

    said: list[str | None] = broadcast_object_list([reason])
    return said[0]
