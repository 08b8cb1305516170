"""The errors a user can cause: one line each, saying what was given, what is allowed and what to do."""

__all__ = ["AuditError", "ConfigError", "DataError", "ModelError", "ResultError"]


class AuditError(Exception):
    """Base of every error that the command line prints as one ``Error: ...`` line (exit code 2)."""


class ConfigError(AuditError):
    """An option, a configuration file or a combination of options that cannot be run."""


class DataError(AuditError):
    """Texts that cannot be audited as they are; nothing is dropped or repaired silently."""


class ModelError(AuditError):
    """A model or tokenizer that cannot be loaded or does not behave as a causal language model."""


class ResultError(AuditError):
    """A result file that cannot be read, or is not what it claims to be."""
