"""Predictions before training, from the options that the command line and programs share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..documents.prediction import Prediction
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..engine.loading.configs import ModelShape
    from ..laws.capacity import BitsPerParameter
    from ..laws.membership import MembershipLaw
    from ..laws.prediction import Plan

__all__ = ["predict", "predict_options"]


def predict(
    *,
    params: "float | str | None" = None,
    model: Any = None,
    samples: "float | str | None" = None,
    tokens: "float | str | None" = None,
    data: Any = None,
    tokenizer: Any = None,
    target_f1: float | None = None,
    target_auc: float | None = None,
    **more: Any,
) -> Prediction:
    """Predict the risk of a plan before training: memorized bits, F1, AUC and their ceiling.

    Parameters
    ----------
    params : number, optional
        Parameters of the model; ``"124M"`` and the like are read, too.
    model : path or id, optional
        Count them instead.
    samples, tokens : number, optional
        Size of the training set, each sample counted once.
    data : path or id, optional
        Count samples and tokens of these texts, with ``tokenizer`` (or that of ``model``).
    tokenizer : path or id, optional
    target_f1, target_auc : float, optional
        Solve for the data or the model at which the loss attack has this.
    **more
        The other options of ``auditor predict`` with ``_`` for ``-``: ``sample_tokens``, ``epochs``, ``copies``,
        ``trainable``, ``fine_tuning``, ``vocabulary``, ``bits_per_token``, ``precision``, ``bits_per_parameter``,
        ``capacity``, ``calibration``, ``text_field``, ``split``, ``trust_remote_code``.

    Returns
    -------
    Prediction
        What ``auditor predict --json`` prints.

    Raises
    ------
    AuditError
        As the command says it.

    Notes
    -----
    Many parameters: these are the command's.

    Examples
    --------
    >>> import auditor
    >>> round(auditor.predict(params="124M", tokens="300M").capacity_bits / 1e6)
    435
    """
    from ..amounts import parse_amount

    given = dict(params=params, model=model, samples=samples, tokens=tokens, data=data, tokenizer=tokenizer,
                 target_f1=target_f1, target_auc=target_auc) | more  # fmt: skip
    for name in ("capacity", "calibration"):
        if name in given:
            given[f"{name}_file"] = None if (file := given.pop(name)) is None else Path(file)
    if unknown := sorted(set(given) - set(_DEFAULTS)):
        known = ", ".join(name.removesuffix("_file") for name in _DEFAULTS)
        raise ConfigError(f"predict takes no {unknown[0]!r}; it takes: {known}")
    for name in _AMOUNTS:
        if isinstance(value := given.get(name), str):
            try:
                given[name] = parse_amount(value)
            except ValueError as error:
                raise ConfigError(f"{name}: {error}") from error
    for name in ("model", "data", "tokenizer", "trainable"):
        if given.get(name) is not None:
            given[name] = str(given[name])
    return predict_options(_DEFAULTS | given)[0]


_AMOUNTS = ("params", "samples", "tokens", "sample_tokens", "epochs", "copies", "vocabulary", "bits_per_token",
            "bits_per_parameter")  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("model", "data", "tokenizer", "trainable", "precision", "capacity_file", "calibration_file")),
    **dict.fromkeys((*_AMOUNTS, "target_f1", "target_auc")),
    **{
        "text_field": "text",
        "split": "train",
        "score": "completion",
        "chat_template": None,
        "fine_tuning": False,
        "trust_remote_code": False,
    },
}


def predict_options(options: dict[str, Any]) -> "tuple[Prediction, Plan]":
    """Predict from the options of ``auditor predict`` by name, all of them, None where one is not given.

    Raises
    ------
    AuditError
        As the command says it.
    """
    from ..laws.prediction import predict as predict_plan

    _check(options)
    try:
        plan = _plan(options)
        return predict_plan(plan, target_f1=options["target_f1"], target_auc=options["target_auc"]), plan
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check(options: dict[str, Any]) -> None:
    """Refuse combinations that say two things or nothing."""
    for names in (("params", "model"), ("samples", "tokens", "data"), ("target_f1", "target_auc"),
                  ("bits_per_parameter", "capacity_file"), ("precision", "bits_per_parameter"),
                  ("precision", "capacity_file")):  # fmt: skip
        given = [_flag(name) for name in names if options[name] is not None]
        if len(given) > 1:
            raise ConfigError(f"give only one of {', '.join(given)}")
    has_target = options["target_f1"] is not None or options["target_auc"] is not None
    has_model = options["params"] is not None or options["model"] is not None
    has_data = any(options[name] is not None for name in ("samples", "tokens", "data"))
    if not has_model and not (has_target and has_data):
        raise ConfigError("no model given: use --params N or --model M (or a target and the data, to solve for it)")
    if not has_data and not (has_target and has_model):
        raise ConfigError(
            "no data given: use --samples N, --tokens N or --data DATA (or a target and the model, to solve for it)"
        )
    for name in ("target_f1", "target_auc"):
        target = options[name]
        if target is not None and not 0.5 < target < 1:
            hint = f"; a percentage? use {target / 100:g}" if 50 < target < 100 else ""
            raise ConfigError(
                f"{_flag(name)} must lie between 0.5 (a coin flip) and 1, both excluded, got {target:g}{hint}"
            )
    if options["tokenizer"] is not None and options["data"] is None:
        raise ConfigError("--tokenizer counts the tokens of --data: give that too")
    if options["data"] is not None and options["tokenizer"] is None and options["model"] is None:
        raise ConfigError("--data needs a tokenizer to count with: give --tokenizer M")
    if options["params"] is not None and options["params"] < 1:
        raise ConfigError(f"--params must be at least 1, got {options['params']:g}")


def _flag(name: str) -> str:
    return "--" + name.removesuffix("_file").replace("_", "-")


def _plan(options: dict[str, Any]) -> "Plan":
    """Collect the plan from the options: count what is to be counted, read what is to be read."""
    from ..laws.membership import LAW_SAMPLE_TOKENS
    from ..laws.prediction import Plan

    notes: tuple[str, ...] = ()
    params = None if options["params"] is None else round(options["params"])
    vocabulary = None if options["vocabulary"] is None else round(options["vocabulary"])
    if options["model"] is not None:
        shape = _shape(options)
        params, vocabulary, notes = shape.n_parameters, vocabulary or shape.n_vocabulary, shape.notes
    trainable = None if options["trainable"] is None else _count_trainable(options["trainable"])
    size = _Data(options) if options["data"] is not None else None
    sample_tokens = options["sample_tokens"] or (size.mean_tokens if size else LAW_SAMPLE_TOKENS)
    tokens = size.tokens if size else options["tokens"]
    if options["samples"] is not None:
        tokens = options["samples"] * sample_tokens
    dataset_bits, source = None, "not given (--bits-per-token, or --data)"
    if options["bits_per_token"] is not None:
        source = f"{options['bits_per_token']:g} bits per token, as given"
    elif size is not None:
        dataset_bits, source = size.compressed_bits, "size of the texts under LZMA, an upper limit"
    law, reference_law = _laws(options["calibration_file"])
    return Plan(
        params=params,
        tokens=tokens,
        capacity=_bits_per_parameter(options),
        sample_tokens=sample_tokens,
        trainable_params=trainable,
        fine_tuning=options["fine_tuning"],
        epochs=options["epochs"],
        bits_per_token=options["bits_per_token"],
        dataset_bits=dataset_bits,
        dataset_bits_source=source,
        n_vocabulary=vocabulary or (size.n_vocabulary if size else None),
        copies=options["copies"],
        law=law,
        reference_law=reference_law,
        notes=(*notes, *(size.notes if size else ())),
    )


def _shape(options: dict[str, Any]) -> "ModelShape":
    """Build the model without weights: its parameters and its vocabulary can be counted."""
    from ..config import ModelSpec
    from ..engine.loading.configs import open_shape

    spec = ModelSpec.parse(options["model"])
    return open_shape(spec, trust_remote_code=options["trust_remote_code"])


def _count_trainable(given: str) -> int:
    """Read a count, or count the parameters of an adapter."""
    from ..amounts import parse_amount

    if Path(given).is_dir():
        from ..engine.loading.adapters import count_adapter

        return count_adapter(given)
    try:
        return round(parse_amount(given))
    except ValueError as error:
        raise ConfigError(f"--trainable: neither a number nor a folder of a PEFT adapter: {error}") from error


class _Data:
    """The size of the texts given with ``--data``."""

    def __init__(self, options: dict[str, Any]) -> None:
        from ..config import DataSpec, ModelSpec
        from ..data import load_texts
        from ..engine.counting import count_texts

        spec = DataSpec(path=options["data"], text_field=options["text_field"], split=options["split"])
        read, notes = load_texts(spec)
        size = count_texts(
            read.texts,
            ModelSpec.parse(options["tokenizer"] or options["model"]),
            form=read.form,
            score=options["score"],
            chat_template=options["chat_template"],
        )
        if not size.n_tokens:
            raise ConfigError(f"--data {options['data']}: the tokenizer makes no tokens of these texts")
        self.tokens = float(size.n_tokens)
        self.mean_tokens = size.n_tokens / size.n_texts
        self.n_vocabulary = size.n_vocabulary
        self.compressed_bits = size.compressed_bits
        repeats = size.n_texts - size.n_distinct
        repeated = f"{repeats:,} of {size.n_texts:,} texts repeat another one: each copy was counted as a sample"
        self.notes = (*notes, *([repeated] if repeats else []))


def _bits_per_parameter(options: dict[str, Any]) -> "BitsPerParameter":
    """Choose the capacity constant: given, measured, or the paper's for a precision."""
    from ..laws.capacity import BitsPerParameter, bits_per_parameter

    if options["bits_per_parameter"] is not None:
        if not 0.01 <= options["bits_per_parameter"] < 64:
            raise ConfigError(f"--bits-per-parameter must be in [0.01, 64), got {options['bits_per_parameter']:g}")
        return BitsPerParameter(options["bits_per_parameter"], "given (--bits-per-parameter)")
    if options["capacity_file"] is not None:
        from ..documents.capacity import read_capacity
        from ..laws.capacity import measured_bits_per_parameter

        return measured_bits_per_parameter(read_capacity(options["capacity_file"]))
    if options["precision"] == "fp32":
        return bits_per_parameter("float32", reason="--precision fp32")
    named = "--precision bf16" if options["precision"] else "precision not given, bf16 assumed"
    return bits_per_parameter("bfloat16", reason=named)


def _laws(calibration_file: Path | None) -> tuple["MembershipLaw", "MembershipLaw"]:
    """Choose the laws of the loss attack and of the attack with a reference: the paper's, or measured ones."""
    from ..laws.membership import PAPER_LAW, REFERENCE_LAW

    if calibration_file is None:
        return PAPER_LAW, REFERENCE_LAW
    from ..documents.calibration import read_calibration
    from ..laws.calibration import law_from

    calibration = read_calibration(calibration_file)
    return law_from(calibration, "loss"), law_from(calibration, "reference")
