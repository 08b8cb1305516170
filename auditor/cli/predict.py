"""``auditor predict``: the risk of a plan before anything is trained."""

from pathlib import Path
from typing import Any

import click
import cloup

from .kinds import AMOUNT, PATH, PLACE
from .options import printing_options, shared
from .output import check_figure, make_console, print_document, print_summary, quiet_libraries, refuse_models_at_sight

__all__ = ["predict"]


@cloup.command(short_help="Predict the risk of a plan of training.")
@click.option("--params", type=AMOUNT, help=(
    "Parameters of the model, tied ones once, of a mixture all experts: 124M, 1.5B."))  # fmt: skip
@click.option(
    "--model", type=PLACE, metavar="M", help="Count them instead: a model folder, a config.json, or a hub id."
)
@click.option("--samples", type=AMOUNT, help="Samples of the training set, each counted once.")
@click.option("--tokens", type=AMOUNT, help="Tokens of the training set, each counted once: 300B, 2T.")
@click.option("--data", type=PLACE, metavar="DATA", help="Count samples and tokens of these texts (with --tokenizer).")
@click.option("--tokenizer", type=PLACE, metavar="M", help="Tokenizer for --data.  [default: that of --model]")
@shared("--text-field", filled=True, help="Column of --data; without it, conversations are looked for.")
@shared("--score", filled=True, help="Of conversations, count what was completed, or everything.")
@shared("--chat-template", help="Chat template of the conversations, instead of the tokenizer's own.")
@shared("--dataset-split", filled=True)
@click.option("--sample-tokens", type=AMOUNT, help=(
    "Tokens of a sample; other than 64 is an extrapolation.  [default: 64, or the mean of --data]"))  # fmt: skip
@click.option("--copies", type=AMOUNT, metavar="K", help=(
    "Also say what the law gives for a text that stands in the training set K times."))  # fmt: skip
@click.option("--epochs", type=AMOUNT, help="Passes over the data; few are an extrapolation.")
@click.option("--trainable", metavar="N|PEFT_DIR", help="Parameters that are trained, if not all: LoRA, frozen layers.")
@shared("--fine-tuned", name="fine_tuning")
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
@printing_options("the prediction as JSON")
def predict(plot: Path | None, as_json: bool, **options: Any) -> None:
    """Predict the risk before training: memorised bits, F1, AUC, and their ceiling.

    Give the model (--params or --model) and the data (--samples, --tokens or --data). With --target-f1 or
    --target-auc one of the two is enough: the other is solved for.
    """
    from ..api.forecast import predict_options

    check_figure(plot)
    if options["model"] is not None or options["data"] is not None:
        refuse_models_at_sight(options["model"])
        quiet_libraries()
    prediction, plan = predict_options(options)
    if plot is not None:
        from reports.plots import prediction_map

        prediction_map(prediction, plan.law, plot)
    if as_json:
        from ..documents.files import to_text

        print_document(to_text(prediction))
        return
    from reports import render_prediction
    from reports.forecast import verdict_line

    print_summary(render_prediction(prediction), verdict=verdict_line(prediction))
    if plot is not None:
        make_console(stderr=True).print(f"Map: {plot}", markup=False, soft_wrap=True)
