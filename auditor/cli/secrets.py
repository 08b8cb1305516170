"""``auditor secrets``: secrets of a known form, ranked by a model among all that could stand in their place."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..errors import ConfigError
from .kinds import PLACE
from .options import folder_option, printing_options, shared
from .output import (
    check_folder,
    make_console,
    make_folder,
    print_document,
    print_summary,
    quiet_libraries,
    write,
)

if TYPE_CHECKING:
    from ..config import AuditConfig
    from ..documents.secrets import SecretsResult
    from ..documents.secrets_changes import SecretsChanges

__all__ = ["secrets", "tell_changes"]


@cloup.command(short_help="Rank card numbers, keys and PINs in a model.")
@click.option("--target", type=PLACE, metavar="M", required=True,
              help="Model that may hold the secrets; 'run/checkpoint-*', in quotes, ranks in several.")  # fmt: skip
@shared("--reference", help="Model that never saw the texts, for what anybody would guess.")
@shared("--members", required=True, help="Texts that hold the secrets.")
@click.option("--find", metavar="KIND,KIND,...",
              help="Find secrets by patterns (iban, card, email, key, phone), whatever the columns say.  [default: by "
                   "columns where there are some, else by all patterns]")  # fmt: skip
@click.option("--fills", metavar="auto|exact|N", default="auto",
              help="Rank among all of a space of at most a million, else among 10,000 random fills (auto); refuse "
                   "larger spaces (exact); the limit and the random fills, from 10,000 on (N).")  # fmt: skip
@click.option("--unknown", "n_unknown", type=int, metavar="N",
              help="Let only the last N free characters vary, as for somebody who knows the others.")  # fmt: skip
@folder_option("secrets.json (of several in a folder each, with secrets-changes)", default="audit-results")
@shared("--text-field", "--dataset-split", filled=True)
@click.option(
    "--adapter", type=PLACE, metavar="PEFT_DIR", help="PEFT adapter on the target; the reference is then its base."
)
@shared("--tokenizer", "--reference-tokenizer", "--prefix-token", "--dtype", "--device", "--confidence")
@shared("--seed", help="Of the random fills.")
@shared("--trust-remote-code", default=None)
@printing_options("secrets.json on stdout")
def secrets(
    out: Path,
    target: str,
    members: str,
    find: str | None,
    fills: str,
    n_unknown: int | None,
    text_field: str,
    split: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Rank secrets in a model: exposure of IBANs, card numbers, phone numbers, addresses, keys, PINs.

    Where a secret stands is named by a column `secret` (as it stands in the text), by `secret_start` and `secret_end`
    (characters from 0, the end not included), or found by a pattern. It is ranked among the strings of its form that
    could stand in its place. Of several models secrets-changes.html, .md and .json say what each holds beside the one
    before it, as `auditor compare` does of two. No secret is ever printed or written, nor a hash of one, as a short
    one could be guessed.
    """
    from ..config import AuditConfig, DataSpec
    from ..engine.loading.checkpoints import expand_checkpoints
    from ..secrets.finding import check_kinds

    kinds = tuple(one.strip() for one in find.split(",")) if find is not None else ()
    check_kinds(kinds)
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if "references" in given:
        given["references"] = list(given["references"])
    targets = expand_checkpoints(target)
    configs = {one: AuditConfig.from_options({**given, "target": one, "members": members}) for one in targets}
    data = DataSpec(path=members, text_field=text_field, split=split)
    plan = {"data": data, "kinds": kinds, "n_unknown": n_unknown, "fills": _fills(fills)}
    check_folder(out)
    if len(configs) == 1:
        _tell(_audited(configs[targets[0]], plan, out), out, as_json=as_json)
    else:
        _follow(configs, plan, out, as_json=as_json)


def _audited(config: "AuditConfig", plan: Mapping[str, Any], out: Path) -> "SecretsResult":
    """Rank the secrets in one model, and write what was found; ``plan`` is what a `SecretPlan` is made of."""
    from ..phases import SECRETS
    from .progress import phases

    with phases(make_console(stderr=True), SECRETS) as shown:
        quiet_libraries()
        from ..documents.files import to_text
        from ..secrets.auditing import SecretPlan, audit_secrets

        found = audit_secrets(config, SecretPlan(**plan), on_progress=shown.scored, on_phase=shown.at)
    make_folder(out)
    write(out / "secrets.json", to_text(found))
    return found


def _tell(found: "SecretsResult", out: Path, *, as_json: bool) -> None:
    """Print the secrets of one model."""
    from reports.secrets import render_secrets

    from ..documents.files import to_text

    if as_json:
        print_document(to_text(found))
        return
    console = make_console(stderr=False)
    console.print(render_secrets(found))
    more = f"\nMore: auditor report {shlex.quote(str(out / 'secrets.json'))} --format html --out secrets.html"
    console.print(more, markup=False, soft_wrap=True)


def _follow(configs: "dict[str, AuditConfig]", plan: Mapping[str, Any], out: Path, *, as_json: bool) -> None:
    """Rank the secrets in every checkpoint, into a folder of its own, and say what changed from each to the next."""
    from ..comparison.curve import checkpoint_names
    from ..comparison.secrets import follow_secrets

    names, notes = checkpoint_names(list(configs))
    audits = []
    for i, (name, config) in enumerate(zip(names, configs.values(), strict=True), 1):
        make_console(stderr=True).print(f"Checkpoint {i} of {len(configs)}: {name}", markup=False, soft_wrap=True)
        audits.append((name, _audited(config, plan, out / name)))
    for note in notes:
        make_console(stderr=True).print(f"Warning: {note}", markup=False, soft_wrap=True)
    tell_changes(follow_secrets(audits, level=next(iter(configs.values())).confidence), out, as_json=as_json)


def tell_changes(found: "SecretsChanges", out: Path | None, *, as_json: bool) -> None:
    """Write what changed in every format, and print it."""
    from reports import SECRETS_CHANGES_RENDERERS
    from reports.secrets_changes import render_secrets_changes

    if out is not None:
        make_folder(out)
        for form, render in SECRETS_CHANGES_RENDERERS.items():
            write(out / f"secrets-changes.{form}", render(found))
    if as_json:
        print_document(SECRETS_CHANGES_RENDERERS["json"](found))
        return
    report = [] if out is None else [f"\nReport: {out / 'secrets-changes.html'}"]
    print_summary(render_secrets_changes(found), *report)


def _fills(text: str) -> Any:
    if text in ("auto", "exact"):
        return text
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError as error:
        raise ConfigError(f"--fills must be auto, exact, or a number such as 10000, got {text!r}") from error
