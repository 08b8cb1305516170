"""``auditor pack``: texts, reference scores and settings in one file, so that a later audit runs the target only."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from .kinds import PATH, PLACE
from .options import printing_options, shared
from .output import check_files, make_console, make_folder, print_document, quiet_libraries, refuse_models_at_sight

if TYPE_CHECKING:
    from ..packs.manifest import PackManifest

__all__ = ["pack"]


@cloup.command(short_help="Put all that an audit needs into one file.")
@shared("--reference", required=True)
@shared("--reference-tokenizer",
        help="Tokenizer of every reference, not its own: a folder, a hub id, or a tokenizer.json.")  # fmt: skip
@shared("--members", required=True, help="Texts that targets are trained on.")
@click.option(
    "--non-members", type=PLACE, metavar="DATA", help="Texts of the same distribution that they are not trained on."
)
@click.option("--out", type=PATH, required=True, metavar="FILE", help="Pack to write.")
@click.option("--scores", "scores_folder", type=PATH, metavar="FOLDER",
              help="Score store to use and to keep, such as scores/ of an audit.  [default: none is kept]")  # fmt: skip
@shared("--attack", "--headline", "--drop-ids", "--text-field", "--dataset-split", "--non-members-split")
@click.option("--max-tokens", type=int, metavar="N",
              help="Score at most N tokens of a text: no more than the shortest window of a target.")  # fmt: skip
@shared("--long-texts", help="Texts beyond that.")
@shared("--score", "--chat-template", "--prefix-token")
@shared("--dtype", help="Precision of the weights, also of the target's.")
@shared("--device")
@shared("--batch-tokens", type=int, metavar="N")
@shared("--confidence", "--fpr", "--seed")
@printing_options("the manifest on stdout")
def pack(out: Path, scores_folder: Path | None, as_json: bool, **options: Any) -> None:
    """Score the references once, and put all that an audit of any target needs into one file.

    `auditor audit --pack FILE --target M` then loads and runs the target only, and finds the numbers that it would find
    with the references at hand. The file holds the texts: keep it as confidential as they are.

    DATA is of any form that `auditor audit` takes, with a column `text`, and optionally `id` and `group`.
    """
    check_files(out)
    if scores_folder is not None:
        make_folder(scores_folder, option="--scores")
    refuse_models_at_sight(*options["references"])
    from ..phases import PACK
    from .progress import phases

    given = {key: list(value) if isinstance(value, tuple) else value
             for key, value in options.items() if value not in (None, ())}  # fmt: skip
    with phases(make_console(stderr=True), PACK) as shown:
        quiet_libraries()
        from ..documents.files import to_text
        from ..packs.writing import make_pack

        manifest = make_pack(given, out, scores_folder=scores_folder, on_progress=shown.scored, on_phase=shown.at)
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
