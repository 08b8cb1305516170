"""Secrets ranked in a model, for programs."""

from collections.abc import Iterable
from typing import Any

from ..config import DataSpec
from ..documents.secrets import SecretsResult
from ..engine.loading.held import undisturbed
from ..errors import ConfigError
from ..secrets.auditing import Fills, SecretPlan, audit_secrets
from .asked import settled
from .surroundings import Watch, shown, unnoticed

__all__ = ["rank_secrets"]


def rank_secrets(
    target: Any,
    *,
    reference: Any = None,
    members: Any,
    find: Iterable[str] = (),
    fills: Fills = "auto",
    unknown: int | None = None,
    tokenizer: Any = None,
    reference_tokenizer: Any = None,
    progress: bool | Watch = True,
    **settings: Any,
) -> SecretsResult:
    """Rank the secrets of some texts in a model, each among all that could stand in its place.

    Parameters
    ----------
    target : path, id, transformers.PreTrainedModel or peft.PeftModel
        As of :func:`auditor.audit`.
    reference : the same, or a list of these, optional
        Models that never saw the texts: what anybody would guess.
    members : texts
        Texts that hold the secrets. A column ``secret`` names each, or ``secret_start`` and ``secret_end`` do; else
        patterns find them.
    find : list of str
        Patterns to find, whatever the columns say: ``iban``, ``card``, ``email``, ``key``, ``phone``.
    fills : "auto", "exact" or int
        Rank among all of a space of at most a million, else among 10,000 random fills (``auto``); refuse larger spaces
        (``exact``); so many random fills.
    unknown : int, optional
        Only the last so many free characters vary.
    tokenizer, reference_tokenizer : tokenizer or path, optional
        As of :func:`auditor.audit`.
    progress : bool or callable
    **settings
        Keys of docs/config.md that say how texts are read and models run: ``text_field``, ``split``, ``dtype``,
        ``device``, ``prefix_token``, ``confidence``, ``seed`` and others.

    Returns
    -------
    SecretsResult
        What ``auditor secrets --json`` prints: ids, ranks and bits; no secret, nor a hash of one.

    Raises
    ------
    AuditError
        In one line that shows no secret.

    Notes
    -----
    Many parameters: this is the public interface, whose only required ones are the target and the texts.

    Examples
    --------
    >>> import auditor
    >>> texts = {"text": ["the pin is 7093"], "secret": ["7093"]}
    >>> auditor.rank_secrets("models/finetuned", members=texts).n_held  # doctest: +SKIP
    """
    if unfit := sorted(set(settings) & {"non_members", "retrained", "shadows", "attacks", "engine", "canaries"}):
        raise ConfigError(f"rank_secrets takes no {unfit[0]}: it ranks secrets in one model; use auditor.audit")
    with unnoticed():
        asked = settled(
            target,
            reference=reference,
            members=members,
            tokenizer=tokenizer,
            reference_tokenizer=reference_tokenizer,
            settings=settings,
        )
        config, given = asked.config, asked.given
        data = DataSpec(path=config.members.path, text_field=config.members.text_field, split=config.members.split)
        plan = SecretPlan(data=data, kinds=tuple(find), n_unknown=unknown, fills=fills)
        with undisturbed(*(held.model for held in given.models.values())), shown(progress) as on_progress:
            return audit_secrets(config, plan, on_progress=on_progress, given=given)
