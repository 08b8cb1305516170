"""The request to the engine: whose signals are wanted, for what, and the texts that serve some attacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attacks import Need

from ..documents.shadows import ShadowSet
from ..in_memory import HeldModel
from .loading.models import ModelFiles

__all__ = ["ScoringRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringRequest:
    """Everything that the engine is asked, but for the models and how they are run.

    Parameters
    ----------
    sample_ids, texts : sequence of str, length n_samples
    needs : frozenset of Need
        Union of what the attacks need.
    shots, member_shots : sequence of str
        Non-members, and members, none of them among the texts, that go before every text for attacks that need them.
    frequency_texts : sequence of str
        Texts, none of them among the others, in which the target's tokens are counted for attacks that need it.
    shadows : ShadowSet, optional
        What the last references are, if they are shadow models.
    seen : ndarray of bool, shape (n_references, n_samples), or None
        Whether a reference trained on a text; None if none did on any.
    form : str
        Form of all texts, one of `auditor.data.chat.FORMS`: what is not plain text is a conversation, packed.
    target_called : str
        What the first model is called to whoever waits.
    held : mapping of str to HeldModel
        Models in memory, by the path of their specifications.
    extract : str
        What is read of extraction (`AuditConfig.extract`), which has to fit into the target's window.
    check_target : callable, optional
        Told of the first model's files once they are hashed, before anything is scored; what it raises ends the run.
    """

    sample_ids: Sequence[str]
    texts: Sequence[str]
    needs: frozenset[Need] = frozenset()
    shots: Sequence[str] = ()
    member_shots: Sequence[str] = ()
    frequency_texts: Sequence[str] = ()
    shadows: ShadowSet | None = None
    seen: NDArray[np.bool_] | None = None
    form: str = "text"
    target_called: str = "target"
    held: Mapping[str, HeldModel] = field(default_factory=dict)
    extract: str = "none"
    check_target: Callable[[ModelFiles], None] | None = None
