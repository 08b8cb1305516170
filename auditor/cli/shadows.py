"""``auditor shadows``: shadow models on known random halves of the audited texts, for LiRA and RMIA."""

import shlex
from pathlib import Path
from typing import Any

import click
import cloup

from .kinds import PLACE
from .options import folder_option, printing_options, shared
from .output import make_console, make_folder, print_document, print_summary, quiet_libraries, refuse_models_at_sight

__all__ = ["shadows"]

_PHASES = ("loading PyTorch", "reading the texts", "training the shadows")


@cloup.command(short_help="Train shadow models, for the strongest attacks.")
@click.option(
    "--target", type=PLACE, metavar="M", required=True, help="Model whose architecture and tokenizer the shadows take."
)
@shared("--tokenizer", help="Tokenizer of target and base, not their own: a folder, a hub id, or a tokenizer.json.")
@shared("--members", required=True)
@click.option("--non-members", type=PLACE, metavar="DATA", required=True, help="Texts that it was not trained on.")
@folder_option("the models and manifest.json", default="shadows")
@click.option("--models", "n_models", type=int, default=8, metavar="K",
              help="Shadows, an even number; 4 or more for online LiRA.")  # fmt: skip
@click.option(
    "--base", type=PLACE, metavar="M", help="Weights that every shadow starts from, as the target did.  [default: new]"
)
@click.option("--lora", "lora_rank", type=int, metavar="RANK",
              help="Train a LoRA adapter of this rank on the base.  [default: all weights]")  # fmt: skip
@click.option("--epochs", type=float, default=10.0, help="Passes over a half; best the target's.")
@click.option("--steps", type=int, metavar="N", help="Updates of each shadow, instead of --epochs.")
@click.option("--batch-size", type=int, default=8)
@click.option("--learning-rate", type=float, metavar="R", help=(
    "[default: 2.2/sqrt(parameters); from a base a quarter of it; ten times that with --lora]"))  # fmt: skip
@click.option("--max-tokens", type=int, metavar="N", help="Train on at most N tokens of a text, as the audit scores.")
@shared("--prefix-token", filled=True, help="What stands before a text, as in the audit.")
@shared("--score", filled=True, help="Of conversations, train on what was completed, or on everything; as the audit.")
@shared("--chat-template", help="Chat template of the target, instead of its tokenizer's own.")
@shared("--text-field", "--dataset-split", filled=True)
@shared("--non-members-split")
@click.option("--seed", type=int, default=0, help="Of the halves, first weights and orders.")
@shared("--device", filled=True, help=None)
@shared("--workers")
@printing_options("manifest.json on stdout")
def shadows(out: Path, as_json: bool, workers: int | None, **options: Any) -> None:
    """Train shadow models on random halves of the audited texts.

    Shadows come in pairs: the two models of a pair are trained on the two halves of one random split, so that half of
    all models saw each text. Texts of one group, and copies of a text, stay in one half. Train them as the target was:
    the same start, epochs and learning rate. Give the same DATA as to `audit`; a text is seen as often as its column
    `copies` says, or as it has rows.

    What is interrupted goes on when started again, and --models may be raised later. `audit --shadows` uses the
    folder. Its manifest names texts by hashes only; the models themselves remember texts: keep them as private.
    """
    refuse_models_at_sight(options["target"], options["base"])
    from .progress import phases

    with phases(make_console(stderr=True), _PHASES) as shown:
        quiet_libraries()
        from reports.shadows import render_shadows

        from ..data import load_samples
        from ..documents.files import to_text
        from ..experiments.shadows import train_shadows
        from ..experiments.workers import cores

        members, non_members, plan = _plan(options)
        make_folder(out)
        shown.begin("reading the texts")
        data = load_samples(members, non_members)
        shown.begin("training the shadows")
        workers = workers or (cores() if plan.device == "cpu" else 1)
        on_progress = shown.share(f"training {plan.n_models} shadows")
        manifest, n_reused = train_shadows(plan, data, folder=out, workers=workers, on_progress=on_progress)
    if as_json:
        print_document(to_text(manifest))
        return
    print_summary(render_shadows(manifest, n_reused=n_reused), f"\nUse them: {_next_command(options, out)}")


def _next_command(options: dict[str, Any], out: Path) -> str:
    """Write the audit that reads the texts as the shadows did: every option that decides it, if it was given."""
    from reports.escaping import visible

    named = (
        "target",
        "tokenizer",
        "members",
        "non_members",
        "text_field",
        "split",
        "non_members_split",
        "max_tokens",
        "prefix_token",
        "score",
        "chat_template",
    )
    usual = {"text_field": "text", "split": "train", "prefix_token": "auto", "score": "completion"}
    given = [(name, options[name]) for name in named if options[name] not in (None, usual.get(name))]
    words = [word for name, value in given for word in (f"--{name.replace('_', '-')}", str(value))]
    return visible(shlex.join(["auditor", "audit", *words, "--shadows", str(out)]), 4000)


def _plan(options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Say where the texts are, and what is to be trained; a mistake is found before anything is read."""
    from ..config import DataSpec, ModelSpec
    from ..engine.loading.models import choose_device
    from ..experiments.shadows import ShadowPlan

    field, split = options["text_field"], options["split"]
    names = ("n_models", "lora_rank", "epochs", "steps", "batch_size", "learning_rate", "max_tokens", "prefix_token",
             "score", "chat_template")  # fmt: skip
    plan = ShadowPlan(
        target=ModelSpec.parse(options["target"], tokenizer=options["tokenizer"]),
        base=None if options["base"] is None else ModelSpec.parse(options["base"], tokenizer=options["tokenizer"]),
        seed=options["seed"],
        device=choose_device(options["device"]),
        **{name: options[name] for name in names},
    )
    members = DataSpec(path=options["members"], text_field=field, split=split)
    non_members = DataSpec(path=options["non_members"], text_field=field, split=options["non_members_split"] or split)
    return members, non_members, plan
