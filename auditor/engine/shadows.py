"""Shadow models as opened for an audit: whether they are those of their manifest, trained on texts as it reads them."""

from collections.abc import Sequence

from ..documents.shadows import ShadowRun, ShadowSet
from ..errors import ConfigError, ResultError
from .models import OpenedModel
from .plan import Plan
from .tokens import text_window

__all__ = ["check_shadows"]


def check_shadows(models: Sequence[OpenedModel], plan: Plan, shadows: ShadowSet, *, max_tokens: int | None) -> None:
    """Refuse shadows of other bytes than their manifest says, and such as were trained on other parts of the texts.

    Parameters
    ----------
    models : sequence of OpenedModel
        All of the audit; the shadows come last.
    plan : Plan
    shadows : ShadowSet
    max_tokens : int or None
        Most tokens of a text that the audit scores.

    Raises
    ------
    ResultError, ConfigError
        If so.
    """
    settings, opened = shadows.manifest.settings, models[len(models) - len(shadows.models) :]
    for model, run in zip(opened, shadows.manifest.shadows, strict=True):
        if changed := _changed(model, run):
            otherwise = ", or give the --tokenizer that it was trained with" if changed == "tokenizer" else ""
            raise ResultError(
                f"--shadows: the {changed} of {run.folder} is not what its manifest says (SHA-256); remove that folder "
                "and run `auditor shadows` again to train it anew" + otherwise
            )
        prefix = model.encoder.prefix
        if prefix.ids != settings.prefix_ids:
            raise ConfigError(
                f"--shadows: {run.folder} was trained with the tokens {list(settings.prefix_ids)} before every text, "
                f"and this audit puts {list(prefix.ids)} there; give --prefix-token {_option(settings.prefix_ids)}"
            )
        chat = model.encoder.chat
        score = "all" if chat is None else chat.score
        if (score, None if chat is None else chat.template_sha256) != (settings.score, settings.chat_template_sha256):
            raise ConfigError(
                f"--shadows: {run.folder} was trained with --score {settings.score}, and this audit scores {score}, or "
                "they have different chat templates: give --score and --chat-template as to `auditor shadows`"
            )
        window = text_window(prefix, model.files.context_window, max_tokens)
        if window != settings.window:
            raise ConfigError(
                f"--shadows: {run.folder} was trained on {_tokens(settings.window)} of a text, and this audit reads "
                f"{_tokens(window)}; give --max-tokens as to `auditor shadows`, or train them with that of the audit"
            )
    if plan.windowed.any():
        raise ConfigError(
            f"--long-texts stride scores {int(plan.windowed.sum())} texts beyond the {_tokens(settings.window)} that "
            "the --shadows were trained on; leave it out"
        )


def _changed(model: OpenedModel, run: ShadowRun) -> str | None:
    """Name what of a shadow is not as it was trained."""
    stated = {"weights": run.weights_sha256, "configuration": run.config_sha256, "tokenizer": run.tokenizer_sha256}
    key = model.key
    found = {"weights": key.weights_sha256, "configuration": key.config_sha256, "tokenizer": key.tokenizer_sha256}
    return next((what for what, sha256 in stated.items() if sha256 not in (None, found[what])), None)


def _option(prefix_ids: Sequence[int]) -> str:
    """Write the option that puts these tokens before every text."""
    return str(prefix_ids[0]) if len(prefix_ids) == 1 else "auto" if prefix_ids else "none"


def _tokens(window: int | None) -> str:
    return "all tokens" if window is None else f"at most {window:,} tokens"
