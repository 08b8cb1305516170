"""``auditor calibrate``: the membership law, measured on one's own architecture, tokenizer and text."""

from pathlib import Path
from typing import Any

import click
import cloup

from ..errors import ConfigError
from .kinds import FLOATS, PLACE
from .options import folder_option, printing_options, shared
from .output import deliver, make_console, make_folder, quiet_libraries, refuse_models_at_sight

__all__ = ["calibrate"]

_PHASES = ("loading PyTorch", "reading the texts", "training the sweep")


@cloup.command(short_help="Fit the membership law to your own text.")
@click.option("--data", type=PLACE, metavar="DATA", required=True, help="Texts of the kind that will be trained on.")
@folder_option("calibration.json, calibration.svg and what is needed to go on", default="calibration")
@shared("--text-field", "--dataset-split", filled=True)
@click.option(
    "--tokenizer", type=PLACE, metavar="M", help="Tokenizer of a model.  [default: a BPE of --vocabulary on all texts]"
)
@click.option("--vocabulary", type=click.IntRange(min=257), default=512,
              help="Tokens of the BPE that is trained if no tokenizer is given.")  # fmt: skip
@click.option("--model", "models", type=PLACE, metavar="M", multiple=True,
              help="Configuration of a model size (config.json, folder or hub id), once for each.  "
                   "[default: two GPT-2 style models]")  # fmt: skip
@click.option("--ratios", type=FLOATS, help="64-token samples per parameter.  [default: .0125,.025,.05,.1,.2]")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="Passes over the members.  [default: 300]")
@click.option("--least-steps", type=click.IntRange(min=1), help="Updates of a cell at least.  [default: 1000]")
@click.option("--longer", type=click.FloatRange(min=0),
              help="How many times longer one cell is trained again; 0: not at all.  [default: 3]")  # fmt: skip
@click.option("--reference-steps", type=click.IntRange(min=1), help="Updates of a reference.  [default: 8000]")
@click.option("--reference-samples", "n_reference", type=click.IntRange(min=1),
              help="Samples for references at least; they get all that are left.  [default: 2000]")  # fmt: skip
@click.option("--sample-tokens", type=click.IntRange(min=2), default=64, help="Tokens of a sample.")
@click.option("--held-out", type=click.IntRange(min=1), default=2000, help="Non-members.")
@click.option("--seed", type=click.IntRange(min=0), default=0)
@shared("--workers", default="the cores")
@printing_options("calibration.json on stdout")
def calibrate(data: str, out: Path, as_json: bool, workers: int | None, **options: Any) -> None:
    """Fit the membership law to your own architecture, tokenizer and text, by a sweep of small models.

    Models of several sizes are trained on several numbers of samples each, and attacked with held-out samples of
    the same random split. Takes about 15 minutes on two cores; a sweep that is interrupted goes on when started
    again. `predict --calibration` and `audit --calibration` use the result.
    """
    refuse_models_at_sight(*options["models"])
    from .progress import phases

    with phases(make_console(stderr=True), _PHASES) as shown:
        quiet_libraries()
        from reports import render_calibration
        from reports.plots import calibration_figure

        from ..experiments.calibration import calibrate as measure
        from ..experiments.workers import cores

        make_folder(out)
        shown.begin("reading the texts")
        plan, corpus = _prepare(data, options)
        shown.begin("training the sweep")
        on_progress = shown.share("training the sweep")
        found = measure(plan, corpus, folder=out, workers=workers or cores(), on_progress=on_progress)
    deliver(found, out, "calibration", draw=calibration_figure, render=render_calibration, as_json=as_json)


def _prepare(data: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Read the texts, choose tokenizer and model sizes, and cut the samples."""
    from ..config import DataSpec, ModelSpec
    from ..data import load_texts
    from ..engine.loading.configs import open_shape
    from ..engine.loading.tokenizer_files import load_tokenizer
    from ..experiments.corpus import cut_corpus, train_tokenizer
    from ..experiments.sweep import CalibrationPlan, default_configs, largest_cell

    read, _ = load_texts(DataSpec(path=data, text_field=options["text_field"], split=options["split"]))
    texts = read.words
    if options["tokenizer"] is not None:
        tokenizer, tokenizer_name = load_tokenizer(ModelSpec.parse(options["tokenizer"])), options["tokenizer"]
    else:
        tokenizer = train_tokenizer(texts, n_vocabulary=options["vocabulary"])
        tokenizer_name = f"byte-level BPE of {len(tokenizer)} tokens, trained on all texts"
    sample_tokens = options["sample_tokens"]
    shapes = [open_shape(ModelSpec.parse(model)) for model in options["models"]]
    for model, shape in zip(options["models"], shapes, strict=True):
        if shape.n_vocabulary < len(tokenizer):
            raise ConfigError(
                f"{model} has a vocabulary of {shape.n_vocabulary}, the tokenizer one of {len(tokenizer)}"
            )
    configs = tuple(shape.config.to_json_string(use_diff=False) for shape in shapes)
    names = ("ratios", "epochs", "least_steps", "longer", "reference_steps", "n_reference")
    given = {name: options[name] for name in names if options[name] is not None}
    plan = CalibrationPlan(
        configs=configs or default_configs(len(tokenizer), sample_tokens),
        n_held_out=options["held_out"],
        seed=options["seed"],
        **given,
    )
    corpus = cut_corpus(
        texts,
        tokenizer,
        name=data,
        tokenizer_name=tokenizer_name,
        n_held_out=plan.n_held_out,
        n_pool=largest_cell(plan, sample_tokens=sample_tokens),
        n_reference=plan.n_reference,
        sample_tokens=sample_tokens,
        seed=plan.seed,
    )
    return plan, corpus
