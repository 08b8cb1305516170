"""``auditor canaries``: secrets that coins put into training data, counted there, and looked for in the model."""

import shlex
from pathlib import Path
from typing import Any

import click
import cloup

from ..errors import ConfigError, DataError
from .kinds import PATH, PLACE
from .options import folder_option, printing_options, shared
from .output import check_folder, make_console, make_folder, print_document, quiet_libraries, write

__all__ = ["canaries"]

_FORMS = click.Choice(["text", "prompt-completion", "messages"])


@cloup.group(short_help="Put canaries into training data, look for them.")
def canaries() -> None:
    """Put canaries into training data by coin flips, and bound epsilon by finding them.

    In this order: `make` before training, `insert` into the data after they were filtered and de-duplicated, `check` on
    the data as the trainer reads them (tokenised, packed, cut), training, `audit` of the model. The folder of the
    canaries holds secrets.json, which is shown to nobody, and manifest.json, whose commitment is shown before training.
    """


@canaries.command()
@folder_option("secrets.json and manifest.json", required=True, metavar="FOLDER")
@click.option(
    "--base", type=PLACE, metavar="M", help="Model that secrets are sampled from, best the one that is fine-tuned."
)
@click.option(
    "--tokenizer",
    type=PLACE,
    metavar="M",
    help="Instead of a base: whose rare tokens make the secrets, each used once.",
)
@click.option(
    "--data",
    type=PLACE,
    metavar="DATA",
    help="Texts like those of training: beginnings of their lines stand before the secrets.",
)
@shared("--text-field", "--dataset-split", filled=True)
@click.option("--number", type=int, default=100, metavar="N", help="Canaries of each tier; coins put in half of them.")
@click.option("--copies", default="1,4,16", metavar="K,K,...", help="Tiers: copies of each canary that is put in.")
@click.option("--prefix-tokens", type=int, default=16, metavar="N", help="Tokens of a prefix.")
@click.option("--secret-tokens", type=int, default=24, metavar="N", help="Tokens of a secret.")
@click.option("--temperature", type=float, default=1.0, metavar="T", help="Of the sampling, from 0.8.")
@shared("--device", filled=True)
@printing_options("manifest.json on stdout")
def make(
    out: Path,
    base: str | None,
    data: str | None,
    text_field: str,
    split: str,
    copies: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Make canaries, throw a coin for each, and commit to the coins."""
    quiet_libraries()
    from ..canaries.folder import FILES, write_canaries
    from ..canaries.making import CanaryPlan, make_canaries
    from ..config import DataSpec, ModelSpec
    from ..documents.files import to_text

    if any((out / name).exists() for name in FILES):
        raise ConfigError(f"--out {out}: canaries lie there already, and their coins may be in use; choose another one")
    check_folder(out)
    plan = CanaryPlan(
        data=None if data is None else DataSpec(path=data, text_field=text_field, split=split),
        base=None if base is None else ModelSpec.parse(base),
        copies=_tiers(copies),
        **options,
    )
    made = make_canaries(plan)
    make_folder(out)
    write_canaries(made, out)
    if as_json:
        print_document(to_text(made.manifest))
        return
    console = make_console(stderr=False)
    n = len(made.manifest.canaries)
    ceilings = ", ".join(f"{_ceiling(plan.number, k):.2f} for {k}x" for k in plan.copies)
    tiers = ", ".join(f"{k}x" for k in sorted(plan.copies))
    for line in (
        f"{n} canaries, {plan.number} in each of the tiers {tiers}; a fair coin for each says whether it is inserted.",
        f"With so many, an audit can show an epsilon of at most: {ceilings} (95% confidence, delta 0).",
        f"Show before training: the commitment {made.manifest.coins_sha256}",
        f"Show to nobody: {out / 'secrets.json'}",
        f"Then: auditor canaries insert DATA --canaries {shlex.quote(str(out))} --out NEW_DATA",
    ):
        console.print(line, markup=False, soft_wrap=True)


@canaries.command()
@click.argument("data", type=PATH, metavar="DATA")
@click.option("--canaries", "folder", type=PATH, metavar="FOLDER", required=True, help="What `make` wrote.")
@click.option("--out", type=PATH, metavar="NEW_DATA", required=True, help="New file or folder, of the same format.")
@click.option("--form", type=click.Choice(["auto", *_FORMS.choices]), default="auto", help="Form of a row.")
@shared("--text-field", "--dataset-split", filled=True)
@printing_options("insertion.json on stdout")
def insert(data: Path, folder: Path, out: Path, form: Any, text_field: str, split: str, as_json: bool) -> None:
    """Write training data again, with the canaries whose coin is in, at random rows.

    DATA is a .jsonl, .parquet or .arrow file, or a folder that `datasets` saved, with a column `text` (--text-field),
    columns `prompt` and `completion`, or a column `messages`. All other rows stay as they are, in their order.
    """
    quiet_libraries()
    from ..canaries.folder import read_canaries, read_insertions, record
    from ..canaries.insertion import InsertionPlan, insert_canaries
    from ..data.quoting import listing, plain
    from ..documents.files import to_text

    plan = InsertionPlan(source=data, out=out, form=form, text_field=text_field, split=split)
    check_folder(out)
    canaries, earlier = read_canaries(folder), [one for one in read_insertions(folder) if one.out != str(out)]
    if any(one.out == str(data) for one in earlier):
        raise ConfigError(f"{plain(data)} holds these canaries already: insert them into the data as they were before")
    found = insert_canaries(plan, canaries)
    record(folder, found)
    (folder / "check.json").unlink(missing_ok=True)  # it would be that of other data
    if as_json:
        print_document(to_text(found))
        return
    console, share = make_console(stderr=False), found.share_of_characters
    lines = [f"{found.n_inserted:,} rows of canaries ({found.form}) among {found.n_rows:,} rows: {out}"]
    if share > 0.001:
        worse = "so many change what is trained" if share > 0.01 else "0.1% is usual at most"
        lines.append(f"Canaries are {share:.2%} of the characters: {worse}.")
    if earlier:
        others = listing([f"{plain(one.out)} ({one.form})" for one in earlier])
        lines.append(f"These canaries were inserted before, into {others}: train on one of these sets only.")
    lines.append(
        f"Tokenise and pack, then: auditor canaries check TOKENISED --canaries {shlex.quote(str(folder))} --tokenizer M"
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


@canaries.command()
@click.argument("data", type=PATH, metavar="TOKENISED")
@click.option("--canaries", "folder", type=PATH, metavar="FOLDER", required=True, help="What `make` wrote.")
@click.option("--tokenizer", type=PLACE, metavar="M", required=True, help="Tokenizer of the data.")
@shared("--dataset-split", filled=True)
@printing_options("check.json on stdout")
def check(data: Path, folder: Path, tokenizer: str, split: str, as_json: bool) -> None:
    """Count whole canaries in the data as the trainer reads them, and refuse data that lost some.

    TOKENISED is a .parquet, .arrow or .jsonl file, or a folder that `datasets` saved, with a column `input_ids`, and
    `labels` (-100 is not learned from) or the masks of TRL where there are some: after packing and truncation.
    """
    quiet_libraries()
    from reports.canaries import render_check

    from ..canaries.checking import count_canaries, explain, read_sequences
    from ..canaries.folder import read_canaries, record
    from ..config import ModelSpec
    from ..documents.files import to_text
    from ..engine.loading.tokenizer_files import load_tokenizer

    secrets = read_canaries(folder).secrets
    loaded = load_tokenizer(ModelSpec(path=tokenizer, tokenizer=tokenizer))
    found = count_canaries(read_sequences(data, split), loaded, secrets, name=str(data))
    record(folder, found)
    if as_json:
        print_document(to_text(found))
    else:
        make_console(stderr=False).print(render_check(found))
    if not found.holds:
        raise DataError(explain(found))


@canaries.command()
@click.option(
    "--target", type=PLACE, metavar="M", required=True, help="Model that was trained on the data with canaries."
)
@shared("--reference")
@click.option("--canaries", "folder", type=PATH, metavar="FOLDER", required=True, help="What `make` wrote.")
@folder_option("canaries.json and scores/", default="audit-results")
@click.option(
    "--adapter", type=PLACE, metavar="PEFT_DIR", help="PEFT adapter on the target; the reference is then its base."
)
@shared("--tokenizer", "--reference-tokenizer")
@click.option("--form", "canary_form", type=_FORMS, help="Form in which they were inserted.  [default: as recorded]")
@shared("--prefix-token", "--dtype", "--device", "--confidence", "--delta", "--guess-share")
@shared("--trust-remote-code", default=None)
@printing_options("canaries.json on stdout")
def audit(out: Path, folder: Path, as_json: bool, **options: Any) -> None:
    """Look for the canaries in a model: exposure and a lower bound on epsilon, tier by tier.

    `auditor audit --canaries FOLDER` does the same as a part of an audit, with a report and gates.
    """
    from ..config import AuditConfig
    from ..phases import CANARIES
    from .progress import phases

    given = {key: value for key, value in options.items() if value not in (None, ())}
    if "references" in given:
        given["references"] = list(given["references"])
    config = AuditConfig.from_options({**given, "members": str(folder), "canaries": str(folder)})
    make_folder(out, folders=("scores",))
    with phases(make_console(stderr=True), CANARIES) as shown:
        quiet_libraries()
        from reports.canaries import render_canaries

        from ..canaries.auditing import audit_canaries
        from ..documents.files import to_text

        found = audit_canaries(
            config, folder, scores_folder=out / "scores", on_progress=shown.scored, on_phase=shown.at
        )
    write(out / "canaries.json", to_text(found))
    if as_json:
        print_document(to_text(found))
        return
    make_console(stderr=False).print(render_canaries(found))


def _ceiling(n: int, copies: int) -> float:
    """Return the largest bound that a tier can show."""
    from ..estimates.epsilon import GUESS_SHARE, n_guesses
    from ..stats.epsilon import epsilon_ceiling

    return epsilon_ceiling(n_canaries=n, n_guesses=n_guesses(n, GUESS_SHARE), copies=copies)


def _tiers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted(int(part) for part in text.split(",")))
    except ValueError as error:
        raise ConfigError(f"--copies must be whole numbers between commas, such as 1,4,16, got {text!r}") from error
