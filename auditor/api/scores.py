"""Token scores of some texts under one model, for whoever wants no audit."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attacks import TokenScores

from ..data import load_texts
from ..engine.loading.held import undisturbed
from ..engine.request import ScoringRequest
from ..engine.signals import collect_signals
from ..errors import ConfigError
from .asked import settled
from .surroundings import Watch, shown, unnoticed

__all__ = ["score"]


def score(
    model: Any, texts: Any, *, tokenizer: Any = None, progress: bool | Watch = True, **settings: Any
) -> TokenScores:
    """Score every token of some texts with one model, as an audit would.

    Parameters
    ----------
    model : path, id, transformers.PreTrainedModel or peft.PeftModel
        As the target of :func:`auditor.audit`.
    texts : texts
        As its members.
    tokenizer : tokenizer or path, optional
        Needed for a model in memory.
    progress : bool or callable
    **settings
        Keys of docs/config.md that say how models read and run: ``max_tokens``, ``prefix_token``, ``dtype``,
        ``device``, ``batch_tokens``, ``long_texts``, ``text_field``, ``split`` and others.

    Returns
    -------
    TokenScores
        Flat arrays, text after text in the order given: log-probabilities in nats, and what else attacks look at.

    Raises
    ------
    AuditError
        As :func:`auditor.audit` does.

    Examples
    --------
    >>> import auditor
    >>> auditor.score("models/base", ["a text"]).total_logprob  # doctest: +SKIP
    """
    if unfit := sorted(set(settings) & {"non_members", "retrained", "shadows", "attacks", "references", "engine"}):
        raise ConfigError(f"score takes no {unfit[0]}: it scores texts with one model; use auditor.audit")
    with unnoticed(), TemporaryDirectory(prefix="auditor-scores-") as folder:
        asked = settled(model, members=texts, tokenizer=tokenizer, settings=settings)
        config, given = asked.config, asked.given
        read, _ = load_texts(config.members, given.texts)
        request = ScoringRequest(
            sample_ids=[f"text-{i}" for i in range(len(read))],
            texts=read.texts,
            form=read.form,
            held=given.models,
            target_called="model",
        )
        with undisturbed(*(held.model for held in given.models.values())), shown(progress) as on_progress:
            collected = collect_signals(
                replace(config, references=()), request, scores_folder=Path(folder), on_progress=on_progress
            )
            return collected.signals.target
