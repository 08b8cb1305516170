"""``auditor split``: members and non-members drawn at random from one corpus, with a manifest to check against."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..errors import ConfigError
from .options import folder_option, printing_options, shared
from .output import check_folder, make_console, make_folder, print_document

if TYPE_CHECKING:
    from rich.table import Table

    from ..documents.split import SplitManifest

__all__ = ["split"]


@cloup.command(short_help="Draw members and non-members from one corpus.")
@click.argument("data", metavar="DATA")
@folder_option("members.jsonl, non_members.jsonl, manifest.json (and coins.json)", required=True, metavar="FOLDER")
@click.option("--member-share", type=float, default=0.5, metavar="S", help="Share of the texts to train on.")
@click.option("--holdout-share", type=float, default=0.0, metavar="S",
              help="Share set aside in holdout.jsonl, for a reference model or for shots.")  # fmt: skip
@click.option("--near-duplicates", default="0.8", metavar="J|keep",
              help="Jaccard similarity from which only the first of several texts is kept, or keep all.")  # fmt: skip
@click.option("--by-group", is_flag=True, help="Keep texts of one `group` on one side.")
@click.option("--coins", is_flag=True, help=(
    "Throw a fair coin for each text (with --by-group each group), so that the audit can bound epsilon. "
    "manifest.json commits to them; coins.json is their secret, shown to nobody before the audit."))  # fmt: skip
@shared("--salt")
@shared("--seed", filled=True, help="Of the random split; with --coins of the holdout alone.")
@shared("--text-field", "--dataset-split", filled=True)
@click.option("--force", is_flag=True, help="Replace the files of an earlier split in FOLDER.")
@printing_options("manifest.json on stdout")
def split(data: str, out: Path, near_duplicates: str, force: bool, as_json: bool, **options: Any) -> None:
    """Split a corpus at random into members and non-members, before training.

    Copies and near-duplicates are dropped first, so that nothing but training tells the sides apart. Train on
    members.jsonl, keep non_members.jsonl out of training, and give both to `auditor audit` with --split-manifest.

    DATA is of any form that `auditor audit` takes, with a column `text`, and optionally `id`, `group` and
    `copies`. All columns are kept.
    """
    from ..config import DataSpec
    from ..data.splits import make_split, write_split
    from ..documents.files import to_text
    from ..documents.salt import read_salt

    _check_folder(out, force=force)
    check_folder(out)
    key = read_salt(options.pop("salt"))
    source = DataSpec(path=data, text_field=options.pop("text_field"), split=options.pop("split"))
    made = make_split(source, near_duplicates=_similarity(near_duplicates), **options)
    make_folder(out)
    made = made if key is None else made.salted(key)
    write_split(made, out)
    if as_json:
        print_document(to_text(made.manifest))
        return
    console = make_console(stderr=False)
    console.print(_table(made.manifest))
    for line in _lines(made.manifest, out):
        console.print(line, markup=False, soft_wrap=True)


def _similarity(given: str) -> float | None:
    """Read ``J`` or ``keep``."""
    if given == "keep":
        return None
    try:
        return float(given)
    except ValueError as error:
        raise ConfigError(f"--near-duplicates must be a number in (0, 1], or keep, got {given!r}") from error


def _check_folder(out: Path, *, force: bool) -> None:
    """Refuse to mix a split with other files, before anything is read."""
    from ..data.splits import FILES

    if not out.is_dir():
        return
    held = sorted(entry.name for entry in out.iterdir())
    others = [name for name in held if name not in FILES]
    if held and not (force and not others):
        hint = "choose another folder" if others else "choose another folder, or replace the split with --force"
        raise ConfigError(f"--out {out}: the folder is not empty; {hint}")


def _table(manifest: "SplitManifest") -> "Table":
    """Show the parts and their sizes."""
    from rich.table import Table

    table = Table("part", "texts", "groups", "bytes", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    parts = {"members": manifest.members, "non-members": manifest.non_members, "holdout": manifest.holdout}
    for name, part in parts.items():
        if part is not None:
            groups = "-" if part.n_groups is None else f"{part.n_groups:,}"
            table.add_row(name, f"{part.n_texts:,}", groups, f"{part.n_bytes:,}")
    return table


def _lines(manifest: "SplitManifest", out: Path) -> list[str]:
    """Say what was left out, and what to do next."""
    near = "near-duplicates kept"
    if manifest.near_duplicates is not None:
        similar = f"Jaccard similarity of {manifest.near_duplicates:g} or more"
        near = f"{manifest.n_near_duplicates_dropped:,} near-duplicates ({similar})"
    lines = [f"Of {manifest.n_texts_read:,} texts: dropped {manifest.n_copies_dropped:,} copies, {near}."]
    if manifest.n_unchecked:
        lines.append(f"{manifest.n_unchecked:,} further candidate pairs of near-duplicates were not compared.")
    lines += manifest.notes
    if manifest.coins_sha256 is not None:
        lines.append(
            f"Coins: keep {out / 'coins.json'} from whoever trains and tunes; publish their commitment before "
            f"training: {manifest.coins_sha256}"
        )
    return [
        *lines,
        f"Train on {out / 'members.jsonl'}, then: auditor audit --members {out / 'members.jsonl'} "
        f"--non-members {out / 'non_members.jsonl'} --split-manifest {out / 'manifest.json'} ...",
    ]
