"""The models of an audit before their weights are loaded: files, tokenizers, windows and the keys of their scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..config import AuditConfig, ModelSpec
from ..errors import ConfigError
from .loading.adapters import changes_its_base
from .loading.models import ModelFiles, choose_device, choose_dtype, open_model
from .store import PassKey
from .tokens import Encoder, tokenizer_fingerprint

__all__ = ["OpenedModel", "open_models", "open_one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A model as this audit uses it.

    Parameters
    ----------
    shots : tuple of int
        Token ids of the texts that attacks put before every text; empty if none does.
    n_shots : int
        How many texts these are.
    """

    role: str
    files: ModelFiles
    encoder: Encoder
    key: PassKey
    device: str
    shots: tuple[int, ...] = ()
    n_shots: int = 0
    scoring_path: str = "not run: all scores were stored"

    def with_shots(self, texts: Sequence[str]) -> "OpenedModel":
        """Take as many texts, from the first on, as fill half the window at most.

        Raises
        ------
        ConfigError
            If not even the first fits.
        """
        window = self.encoder.window
        ids: list[int] = []
        n_shots = 0
        for tokens in self.encoder.encode(texts):
            if window is not None and len(ids) + len(tokens) > window // 2:
                break
            ids += tokens
            n_shots += 1
        if not ids:
            raise ConfigError(f"--shots: the first text alone fills more than half the window of {window} tokens")
        return replace(self, shots=tuple(ids), n_shots=n_shots)

    def is_base_of(self, other: "OpenedModel") -> bool:
        """Whether the other model is this one with an adapter on it, which leaves it as it is when switched off."""
        adapter = other.files.spec.adapter
        if adapter is None or self.files.spec != replace(other.files.spec, adapter=None):
            return False
        return not changes_its_base(adapter)


def open_models(config: AuditConfig, *, local_rank: int | None = None, device: str | None = None) -> list[OpenedModel]:
    """Open the target and each reference; no weights are loaded.

    Parameters
    ----------
    config : AuditConfig
    local_rank : int, optional
        Place among the processes of this machine, each of which takes a GPU of its own if there are several.
    device : str, optional
        Where models will run if not in this process; it need not exist here.

    Raises
    ------
    ModelError, ConfigError
        If a model cannot be used, or the device does not exist.
    """
    device = device or choose_device(config.device)
    if local_rank is not None and device == "cuda":
        device = choose_device(f"cuda:{local_rank}")
    models = [open_one(config.target, "target", config, device)]
    models += [open_one(spec, "reference", config, device) for spec in config.references]
    return _same_windows(models) if config.long_texts == "stride" else models


def open_one(spec: ModelSpec, role: str, config: AuditConfig, device: str) -> OpenedModel:
    """Open a model's files and settle how an audit that runs it on a device reads texts with it."""
    files = open_model(spec, trust_remote_code=config.trust_remote_code)
    encoder = Encoder.build(
        files.tokenizer,
        rule=config.prefix_token,
        n_vocabulary=files.n_vocabulary,
        context_window=files.context_window,
        max_tokens=config.max_tokens,
    )
    key = PassKey(
        weights_sha256=files.weights_sha256,
        config_sha256=files.config_sha256,
        tokenizer_sha256=tokenizer_fingerprint(files.tokenizer),
        prefix_token_ids=encoder.prefix.ids,
        dtype=choose_dtype(config.dtype, device=device, stored=files.compute_dtype),
    )
    return OpenedModel(role=role, files=files, encoder=encoder, key=key, device=device)


def _same_windows(models: Sequence[OpenedModel]) -> list[OpenedModel]:
    """Give all models the shortest window: a longer context alone would look like memorization."""
    window = min((model.encoder.window for model in models if model.encoder.window is not None), default=None)
    return [replace(model, encoder=replace(model.encoder, window=window)) for model in models]
