"""``auditor predict``: the risk of a plan before anything is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from .kinds import AMOUNT, PATH
from .options import json_option, shared
from .output import check_figure, make_console, print_document, quiet_libraries

if TYPE_CHECKING:
    from ..engine.loading.configs import ModelShape
    from ..laws.capacity import BitsPerParameter
    from ..laws.membership import MembershipLaw
    from ..laws.prediction import Plan

__all__ = ["predict"]


@click.command()
@click.option("--params", type=AMOUNT, help=(
    "Parameters of the model, tied ones once, of a mixture all experts: 124M, 1.5B."))  # fmt: skip
@click.option("--model", metavar="M", help="Count them instead: a model folder, a config.json, or a hub id.")
@click.option("--samples", type=AMOUNT, help="Samples of the training set, each counted once.")
@click.option("--tokens", type=AMOUNT, help="Tokens of the training set, each counted once: 300B, 2T.")
@click.option("--data", metavar="DATA", help="Count samples and tokens of these texts (with --tokenizer).")
@click.option("--tokenizer", metavar="M", help="Tokenizer for --data.  [default: that of --model]")
@shared("--text-field", filled=True, help="Column of --data.")
@shared("--split", filled=True)
@click.option("--sample-tokens", type=AMOUNT, help=(
    "Tokens of a sample; other than 64 is an extrapolation.  [default: 64, or the mean of --data]"))  # fmt: skip
@click.option("--copies", type=AMOUNT, metavar="K", help=(
    "Also say what the law gives for a text that stands in the training set K times."))  # fmt: skip
@click.option("--epochs", type=AMOUNT, help="Passes over the data; few are an extrapolation.")
@click.option("--trainable", metavar="N|PEFT_DIR", help="Parameters that are trained, if not all: LoRA, frozen layers.")
@click.option("--fine-tuning", is_flag=True, help="Training starts from a trained model: an extrapolation.")
@click.option("--vocabulary", type=AMOUNT, metavar="N", help=(
    "Entries of the vocabulary: a token holds log2 N bits at most.  "
    "[default: that of --model or --tokenizer, else 262,144]"))  # fmt: skip
@click.option("--bits-per-token", type=AMOUNT, metavar="H",
              help="Information in a token of the data, such as the loss of a good model in bits.")  # fmt: skip
@click.option("--precision", type=click.Choice(["bf16", "fp32"]),
              help="Of the training: 3.51 or 3.83 bits per parameter.  [default: bf16]")  # fmt: skip
@shared("--bits-per-parameter", type=AMOUNT)
@shared("--capacity", name="capacity_file", type=PATH)
@shared("--calibration", name="calibration_file", type=PATH)
@click.option("--target-f1", type=float, metavar="X",
              help="Solve for data and model at which the loss attack has this F1.")  # fmt: skip
@click.option("--target-auc", type=float, metavar="X", help="The same for an AUC.")
@shared("--trust-remote-code")
@click.option("--plot", type=PATH, metavar="FILE",
              help="Draw the plan on the map of parameters and tokens: .svg, .png or .pdf.")  # fmt: skip
@json_option("the prediction as JSON")
def predict(plot: Path | None, as_json: bool, **options: Any) -> None:
    """Predict the risk before training: memorised bits, F1, AUC, and their ceiling.

    Give the model (--params or --model) and the data (--samples, --tokens or --data). With --target-f1 or
    --target-auc one of the two is enough: the other is solved for.
    """
    from ..laws.prediction import predict as predict_plan

    _check(options)
    check_figure(plot)
    try:
        plan = _plan(options)
        prediction = predict_plan(plan, target_f1=options["target_f1"], target_auc=options["target_auc"])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if plot is not None:
        from reports.plots import prediction_map

        prediction_map(prediction, plan.law, plot)
    if as_json:
        from ..documents.files import to_text

        print_document(to_text(prediction))
        return
    from reports import render_prediction

    make_console(stderr=False).print(render_prediction(prediction))
    if plot is not None:
        make_console(stderr=True).print(f"Map: {plot}", markup=False, soft_wrap=True)


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
    quiet_libraries()
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
        quiet_libraries()
        from ..config import DataSpec, ModelSpec
        from ..data import load_texts
        from ..engine.counting import count_texts

        spec = DataSpec(path=options["data"], text_field=options["text_field"], split=options["split"])
        texts, notes = load_texts(spec)
        size = count_texts(texts, ModelSpec.parse(options["tokenizer"] or options["model"]))
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
