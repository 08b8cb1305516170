"""A set of shadow models on the terminal: what each was trained on, and whether it tells seen texts from unseen."""

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from auditor.documents.shadows import ShadowManifest

from .escaping import PATH, visible
from .numbers import count, number, plain, plural
from .verdict import SYMBOLS

__all__ = ["render_shadows"]

_START = {"scratch": "from new weights", "full": "all weights of {base}", "lora": "LoRA of rank {rank} on {base}"}


def render_shadows(manifest: ShadowManifest, *, n_reused: int) -> Group:
    """Say how the shadows were trained, and what seen and unseen texts cost each of them.

    Parameters
    ----------
    manifest : ShadowManifest
    n_reused : int
        Shadows that an earlier run had trained.
    """
    settings = manifest.settings
    start = _START[settings.start].format(base=manifest.base, rank=settings.lora_rank)
    heading = Text(visible(f"Shadows of {manifest.target} ({settings.architecture}, {start})", PATH), style="bold")
    n_trained = len(manifest.shadows) - n_reused
    length = (
        f"{plain(settings.epochs)} epochs" if settings.epochs is not None else f"{count(settings.steps or 0)} steps"
    )
    facts = (
        f"{plural(n_trained, 'model')} trained, {count(n_reused)} reused; {length} in batches of "
        f"{settings.batch_size}, learning rate {settings.learning_rate:.2g}, seed {settings.seed}",
        f"{plural(len(manifest.texts), 'different text')} ({count(manifest.n_samples)} with copies) in "
        f"{plural(manifest.n_units, 'unit')} that stay together; each is seen by half of the shadows",
    )
    return Group(
        heading, *(Text(f"  {fact}", style="dim") for fact in facts), Text(""), _table(manifest), *_warnings(manifest)
    )


def _table(manifest: ShadowManifest) -> Group:
    """List the shadows, with bits per token."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    for name in ("shadow", "texts seen", "steps", "last loss", "seen", "unseen", "gap", "seconds"):
        table.add_column(Text(name), justify="left" if name == "shadow" else "right")
    for run, seen in zip(manifest.shadows, manifest.seen(), strict=True):
        bits = (run.loss_bits_per_token, run.seen_bits_per_token, run.unseen_bits_per_token, run.gap_bits_per_token)
        table.add_row(
            Text(run.folder),
            Text(count(int(seen.sum()))),
            Text(count(run.steps)),
            *(Text(number(value, 3)) for value in bits),
            Text(number(run.seconds, 0)),
        )
    most = max(run.n_checked for run in manifest.shadows)
    legend = f"Loss, seen, unseen and gap in bits per token; seen and unseen after training, on {count(most)} texts."
    return Group(table, Text(legend, style="dim"))


def _warnings(manifest: ShadowManifest) -> list[Text | Table]:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    for warning in manifest.warnings:
        grid.add_row(Text(SYMBOLS["warn"], style="yellow"), Text(visible(warning, 600)))
    return [Text(""), grid] if manifest.warnings else []
