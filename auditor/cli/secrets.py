"""``auditor secrets``: secrets of a known form, ranked by a model among all that could stand in their place."""

import shlex
from pathlib import Path
from typing import Any

import click
import cloup

from ..errors import ConfigError
from .kinds import PLACE
from .options import folder_option, printing_options, shared
from .output import check_folder, make_console, make_folder, print_document, quiet_libraries, write

__all__ = ["secrets"]


@cloup.command(short_help="Rank card numbers, keys and PINs in a model.")
@click.option("--target", type=PLACE, metavar="M", required=True, help="Model that may hold the secrets.")
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
@folder_option("secrets.json", default="audit-results")
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
    could stand in its place. No secret is ever printed or written, nor a hash of one, as a short one could be guessed.
    """
    from ..config import AuditConfig, DataSpec
    from ..phases import SECRETS
    from ..secrets.finding import check_kinds
    from .progress import phases

    kinds = tuple(one.strip() for one in find.split(",")) if find is not None else ()
    check_kinds(kinds)
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if "references" in given:
        given["references"] = list(given["references"])
    config = AuditConfig.from_options({**given, "members": members})
    data = DataSpec(path=members, text_field=text_field, split=split)
    n_fills = _fills(fills)
    check_folder(out)
    with phases(make_console(stderr=True), SECRETS) as shown:
        quiet_libraries()
        from reports.secrets import render_secrets

        from ..documents.files import to_text
        from ..secrets.auditing import SecretPlan, audit_secrets

        plan = SecretPlan(data=data, kinds=kinds, n_unknown=n_unknown, fills=n_fills)
        found = audit_secrets(config, plan, on_progress=shown.scored, on_phase=shown.at)
    make_folder(out)
    write(out / "secrets.json", to_text(found))
    if as_json:
        print_document(to_text(found))
        return
    console = make_console(stderr=False)
    console.print(render_secrets(found))
    more = f"\nMore: auditor report {shlex.quote(str(out / 'secrets.json'))} --format html --out secrets.html"
    console.print(more, markup=False, soft_wrap=True)


def _fills(text: str) -> Any:
    if text in ("auto", "exact"):
        return text
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError as error:
        raise ConfigError(f"--fills must be auto, exact, or a number such as 10000, got {text!r}") from error
