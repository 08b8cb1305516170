"""The hub: a section put into a model card there, which is a network, and so only when asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from reports.ci.model_card import BEGIN, DATASET_TYPE, END

from ..errors import ConfigError

if TYPE_CHECKING:
    from huggingface_hub import ModelCard, ModelCardData

__all__ = ["merge_model_card", "push_model_card"]


def push_model_card(text: str, metadata: Mapping[str, Any], *, repo_id: str, create_pr: bool = False) -> str:
    """Put our part into the model card of a repository on the hub, and leave the rest as it is.

    Uses the token of ``hf auth login`` or ``HF_TOKEN``. A repository without a card gets one.

    Parameters
    ----------
    text : str
        The section, between `BEGIN` and `END`.
    metadata : mapping
        Its ``model-index``, as ``reports.ci.model_card.model_card_metadata`` makes it; may be empty.
    repo_id : str
        ``owner/name``.
    create_pr : bool
        Open a pull request instead of committing to the main branch.

    Returns
    -------
    str
        Address of the commit or pull request.

    Raises
    ------
    ConfigError
        If the hub cannot be reached or refuses, or if the card there cannot be read.
    """
    if Path(repo_id).is_file():
        raise ConfigError(f"{repo_id!r} is a file here; give the repository on the hub as owner/name")
    card = _load(repo_id)
    try:
        merge_model_card(card, text, metadata)
    except ValueError as error:
        raise _refused(repo_id, error) from error
    try:
        return str(card.push_to_hub(repo_id, commit_message="Memorization audit", create_pr=create_pr))
    except Exception as error:  # whatever the hub's client raises: the HTTP library beneath it has changed before
        raise _refused(repo_id, error) from error


def _load(repo_id: str) -> "ModelCard":
    """Read the card on the hub; an empty one only if the hub itself says that there is none."""
    from huggingface_hub import ModelCard
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        card: ModelCard = ModelCard.load(repo_id)
        return card
    except RemoteEntryNotFoundError:
        return ModelCard("---\n{}\n---\n")
    except Exception as error:  # as above; a card that could not be read must never be replaced by an empty one
        raise _refused(repo_id, error) from error


def _refused(repo_id: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ConfigError(
        f"the model card of {repo_id!r} cannot be written: {reason}; check the name, `hf auth login` and the network"
    )


def merge_model_card(card: "ModelCard", text: str, metadata: Mapping[str, Any]) -> None:
    """Replace our part of a card and our figures in its metadata; put them at the end if there are none yet.

    Raises
    ------
    ValueError
        If the card holds a begin mark without an end mark, or the other way round.
    """
    from huggingface_hub.repocard_data import model_index_to_eval_results

    card.text = _with_section(card.text, text)
    data = cast("ModelCardData", card.data)
    kept = [one for one in data.eval_results or [] if one.dataset_type != DATASET_TYPE]
    name, ours = model_index_to_eval_results(metadata["model-index"]) if metadata else (None, [])
    data.eval_results = [*kept, *ours] or None
    data.model_name = (data.model_name or name) if data.eval_results else None


def _with_section(card: str, text: str) -> str:
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin and END not in card:
        return f"{card.rstrip()}\n\n{text.rstrip()}\n" if card.strip() else f"\n{text.rstrip()}\n"
    if not (begin and end):
        raise ValueError(f"it holds only one of {BEGIN} and {END}: put both around the old section, or take both out")
    return f"{before}{text.rstrip()}{after}"
