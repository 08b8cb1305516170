"""Bits of unintended memorization in a language model, and membership-inference audits.

``import auditor`` is instant: nothing heavy is imported until it is used.
"""

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .siblings import refuse_foreign_siblings
from .version import __version__

if TYPE_CHECKING:
    from .api.audits import Audit, audit, read_audit
    from .api.epsilon import epsilon_lower_bound
    from .api.evaluation import Evaluation, evaluate
    from .api.forecast import predict
    from .api.scores import score
    from .api.secrets import rank_secrets
    from .errors import AuditError, ConfigError, DataError, ModelError, ResultError

__all__ = [
    "Audit",
    "AuditError",
    "ConfigError",
    "DataError",
    "Evaluation",
    "ModelError",
    "ResultError",
    "__version__",
    "audit",
    "epsilon_lower_bound",
    "evaluate",
    "predict",
    "rank_secrets",
    "read_audit",
    "score",
]

_HOMES = {
    "api.audits": ("Audit", "audit", "read_audit"),
    "api.epsilon": ("epsilon_lower_bound",),
    "api.evaluation": ("Evaluation", "evaluate"),
    "api.forecast": ("predict",),
    "api.scores": ("score",),
    "api.secrets": ("rank_secrets",),
    "errors": ("AuditError", "ConfigError", "DataError", "ModelError", "ResultError"),
}
"""Modules that are imported when one of their names is first used."""

refuse_foreign_siblings()


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            state = random.getstate()
            try:
                return getattr(import_module(f".{home}", __name__), name)
            finally:
                random.setstate(state)  # some libraries draw from it when they are imported
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
