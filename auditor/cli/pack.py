"""``auditor pack``: texts, reference scores and settings in one file, so that a later audit runs the target only."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .kinds import FLOATS
from .output import make_console, print_document, quiet_libraries

if TYPE_CHECKING:
    from ..packs.manifest import PackManifest

__all__ = ["pack"]


@click.command()
@click.option("--reference", "references", metavar="M", multiple=True, required=True,
              help="Model that never saw the members.")  # fmt: skip
@click.option("--members", metavar="DATA", required=True, help="Texts that targets are trained on.")
@click.option("--non-members", metavar="DATA", help="Texts of the same distribution that they are not trained on.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Pack to write.")
@click.option("--scores", "scores_folder", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Score store to use and to keep, such as scores/ of an audit.  [default: none is kept]")  # fmt: skip
@click.option("--attack", "attacks", metavar="NAME[:k=v,...]", multiple=True,
              help="Attack to run; default: all that the inputs allow.")  # fmt: skip
@click.option("--headline", metavar="NAME[:k=v,...]", help="Attack that the verdict rests on.")
@click.option("--drop-ids", metavar="FILE", help="Sample ids to leave out, one a line.")
@click.option("--text-field", metavar="NAME", help="Column that holds the text.  [default: text]")
@click.option("--split", metavar="NAME", help="Split of a `datasets` data set.  [default: train]")
@click.option("--non-members-split", metavar="NAME", help="Split of the non-members.  [default: that of --split]")
@click.option("--max-tokens", type=int, metavar="N",
              help="Score at most N tokens of a text: no more than the shortest window of a target.")  # fmt: skip
@click.option("--long-texts", type=click.Choice(["cut", "stride"]), help="Texts beyond that.  [default: cut]")
@click.option("--prefix-token", metavar="auto|none|bos|eos|ID",
              help="What stands before the first token of each text.  [default: auto]")  # fmt: skip
@click.option("--dtype", metavar="auto|float32|bfloat16|float16",
              help="Precision of the weights, also of the target's.  [default: auto]")  # fmt: skip
@click.option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Where to run.  [default: auto]")
@click.option("--batch-tokens", type=int, metavar="N", help="Tokens in a batch, padding included.  [default: auto]")
@click.option("--confidence", type=float, metavar="P", help="Level of every interval.  [default: 0.95]")
@click.option("--fpr", "fpr_targets", type=FLOATS, metavar="F,F,...",
              help="False-positive rates to report at.  [default: .001,.01,.05]")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Of the bootstrap and of the certified bound.  [default: 0]")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest on stdout and nothing else.")
def pack(out: Path, scores_folder: Path | None, as_json: bool, **options: Any) -> None:
    """Score the references once, and put all that an audit of any target needs into one file.

    `auditor audit --pack FILE --target M` then loads and runs the target only, and finds the numbers that it would find
    with the references at hand. The file holds the texts: keep it as confidential as they are.

    DATA is of any form that `auditor audit` takes, with a column `text`, and optionally `id` and `group`.
    """
    quiet_libraries()
    from ..documents.files import to_text
    from ..packs.writing import make_pack
    from .progress import scoring_progress

    given = {key: list(value) if isinstance(value, tuple) else value
             for key, value in options.items() if value not in (None, ())}  # fmt: skip
    with scoring_progress(make_console(stderr=True)) as on_progress:
        manifest = make_pack(given, out, scores_folder=scores_folder, on_progress=on_progress)
    if as_json:
        print_document(to_text(manifest))
        return
    console = make_console(stderr=False)
    for line in _lines(manifest, out):
        console.print(line, markup=False, soft_wrap=True)


def _lines(manifest: "PackManifest", out: Path) -> list[str]:
    """Say what is in the pack, what its texts alone say, and what to do next."""
    from reports.escaping import LINE, visible

    sides = [f"{manifest.members.n_samples:,} members"]
    if manifest.non_members is not None:
        sides.append(f"{manifest.non_members.n_samples:,} non-members")
    window = "whole texts" if manifest.window_tokens is None else f"at most {manifest.window_tokens:,} tokens of a text"
    lines = [
        f"{' and '.join(sides)}, scores of {len(manifest.references)} reference"
        f"{'s' * (len(manifest.references) > 1)}, {window}, {manifest.settings['dtype']}.",
        manifest.warning,
    ]
    lines += [
        f"{check.verdict}: {visible(check.detail, LINE)}" for check in manifest.soundness if check.verdict != "pass"
    ]
    return [*lines, f"Use it: auditor audit --pack {visible(str(out), 4000)} --target M"]
