"""``auditor capacity``: bits per parameter of an architecture, measured on random tokens."""

from pathlib import Path
from typing import Any

import click
import cloup

from ..errors import ConfigError
from .options import folder_option, printing_options, shared
from .output import deliver, make_console, make_folder, quiet_libraries, refuse_models_at_sight

__all__ = ["capacity"]

_PHASES = ("loading PyTorch", "training on random tokens")


@cloup.command(short_help="Measure bits per parameter of an architecture.")
@click.option("--model", default="tiny", metavar="PRESET|M",
              help="A preset (see --presets), or a configuration: config.json, a model folder, a hub id.")  # fmt: skip
@click.option("--presets", is_flag=True, help="List the presets and stop.")
@folder_option("capacity.json, capacity.svg and finished runs", default="capacity")
@click.option("--steps", type=click.IntRange(min=1),
              help="Updates of the shortest schedule; the others are 2.5 and 6 times as long.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32")
@click.option("--lora", type=click.IntRange(min=1), metavar="RANK", help=(
    "Train a LoRA of this rank on frozen weights: bits of each of its parameters. The weights are those of a model "
    "folder, else trained first on other random tokens."))  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), help="Seeds at the shortest schedule.")
@click.option("--sample-tokens", type=click.IntRange(min=2), help="Tokens of a random sequence.")
@shared("--device", filled=True, metavar="auto|cpu|cuda|cuda:N", help=None)
@shared("--workers")
@printing_options("capacity.json on stdout")
def capacity(model: str, presets: bool, out: Path, as_json: bool, workers: int | None, **options: Any) -> None:
    """Measure bits per parameter by training on uniform random tokens: a lower bound of the capacity.

    Trains on several dataset sizes, finished schedules of three lengths and several seeds. The preset `tiny` takes
    about 3 minutes on two cores. A measurement that is interrupted goes on when started again.
    `predict --capacity` and `audit --capacity` use the result.
    """
    refuse_models_at_sight(model)
    if presets:
        quiet_libraries()
        _list_presets()
        return
    from .progress import phases

    with phases(make_console(stderr=True), _PHASES) as shown:
        quiet_libraries()
        from reports import render_capacity
        from reports.plots import capacity_figure

        from ..experiments.capacity import measure_capacity
        from ..experiments.workers import cores

        plan = _plan(model, options)
        make_folder(out)
        shown.begin("training on random tokens")
        workers = workers or (cores() if plan.device == "cpu" else 1)
        on_progress = shown.share(f"measuring {model}")
        measured = measure_capacity(plan, folder=out, workers=workers, on_progress=on_progress)
    deliver(measured, out, "capacity", draw=capacity_figure, render=render_capacity, as_json=as_json)


def _list_presets() -> None:
    from ..experiments.presets import PRESETS

    for name, preset in PRESETS.items():
        click.echo(f"{name:<14} {preset.description}")


def _plan(model: str, options: dict[str, Any]) -> Any:
    """Take a preset or any configuration, and put the given options in place of its own."""
    from dataclasses import replace

    from ..config import ModelSpec
    from ..engine.loading.configs import open_shape
    from ..engine.loading.models import choose_device
    from ..experiments.capacity import CapacityPlan
    from ..experiments.presets import PRESETS, default_training

    preset = PRESETS.get(model)
    if preset is not None:
        config, training, n_seeds = preset.config(), preset.training, preset.n_seeds
        sample_tokens = options["sample_tokens"] or preset.sample_tokens
    else:
        if "/" not in model and not Path(model).exists():
            raise ConfigError(f"--model {model}: no preset ({', '.join(PRESETS)}), and no folder or configuration")
        shape = open_shape(ModelSpec.parse(model))
        config, n_seeds = shape.config, 2
        sample_tokens = options["sample_tokens"] or min(64, shape.context_window or 64)
        training = default_training(shape.n_parameters, sample_tokens)
    return CapacityPlan(
        name=model,
        config=config,
        sample_tokens=sample_tokens,
        training=replace(training, steps=options["steps"] or training.steps),
        precision=options["precision"],
        device=choose_device(options["device"]),
        n_seeds=options["seeds"] or n_seeds,
        lora_rank=options["lora"],
        weights=Path(model) if options["lora"] and any(Path(model).glob("*.safetensors")) else None,
    )
