"""``auditor demo``: train on invented people, audit, compare with the truth."""

from pathlib import Path

import click
import cloup

from ..errors import ConfigError
from .audit_folder import run_audit
from .options import detail_options, folder_option
from .output import make_console, make_folder, quiet_libraries

__all__ = ["demo"]


@cloup.command(short_help="Show it all on invented people, in a minute.")
@detail_options
@folder_option("the invented data, the two models and the report", default="demo-audit")
@click.option("--seed", type=int, default=0)
def demo(out: Path, seed: int) -> None:
    """Show it all on invented people: train, audit, report. Offline, on a CPU, about a minute.

    A small model is trained on records of invented people, some of them repeated, and audited. Because the
    entropy of each record is known exactly, the bits that the audit finds can be checked against the truth.
    """
    from reports import render_demo

    from ..config import AuditConfig
    from ..experiments.demo import make_demo, memorization_by_copies
    from .progress import training_progress

    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed must be in [0, 2**32), got {seed}")
    quiet_libraries()
    make_folder(out)
    console = make_console(stderr=False)
    console.print(
        "Inventing 700 people. A small model, the [bold]target[/], trains on the records of 300 of them, some "
        "repeated; another, the [bold]reference[/], on records of other people. Then the audit asks: what does the "
        "target remember, and could you tell whose record it saw?"
    )
    try:
        with training_progress(make_console(stderr=True)) as on_progress:
            made = make_demo(out, seed=seed, on_progress=on_progress)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("a demo goes on from no training: run the same command again to start anew") from stop
    config = AuditConfig.from_options(
        {
            "target": str(made.target),
            "references": [str(made.reference)],
            "members": str(made.members),
            "non_members": str(made.non_members),
            "seed": seed,
        }
    )
    samples = run_audit(config, out, as_json=False, overwrite=True).samples
    measured = (samples.signed_bits, samples.memorized_bits, samples.uniform_bits, samples.generalization_bits)
    signed, memorized, uniform, shared = measured
    if signed is not None and memorized is not None and uniform is not None and shared is not None:
        rows = memorization_by_copies(
            made,
            sample_id=samples.sample_id,
            target_bits=samples.target_bits,
            signed_bits=signed,
            memorized_bits=memorized,
            uniform_bits=uniform,
            generalization_bits=shared,
        )
        console.print(render_demo(rows))
    console.print(
        "\nYour own model: auditor audit --target MODEL --reference BASE --members train.jsonl "
        "--non-members heldout.jsonl",
        markup=False,
    )
