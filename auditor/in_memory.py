"""Things given in memory instead of by path: models, texts and attacks, by the words that stand for them in a config.

A configuration is plain text, so that it can be written into the result. Where Python hands over an object, its place
in the configuration holds words such as ``members in memory (list of 60)``, and this holds the object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attacks import Attack

__all__ = ["NOTHING", "HeldModel", "InMemory"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldModel:
    """A model that its owner holds, and gets back as it was.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
    tokenizer : transformers.PreTrainedTokenizerBase
        A copy of its owner's, or one that was loaded.
    """

    model: Any
    tokenizer: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InMemory:
    """What an audit is given in memory.

    Parameters
    ----------
    models : mapping of str to HeldModel
        By the path of their specifications.
    texts : mapping of str to object
        By the path of their specifications; the kinds are those of `auditor.data.held_texts`.
    attacks : mapping of str to subclass of Attack
        By name: those that are no part of this product.
    """

    models: Mapping[str, HeldModel] = field(default_factory=dict)
    texts: Mapping[str, Any] = field(default_factory=dict)
    attacks: Mapping[str, type[Attack]] = field(default_factory=dict)


NOTHING = InMemory()
