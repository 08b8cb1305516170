"""``auditor bench``: targets, attacks, data sets and seeds from one file, and a leaderboard for a paper."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from ..errors import ConfigError, ModelError
from .audit_folder import audit_into
from .kinds import FIGURES, PATH
from .options import folder_option, printing_options
from .output import make_console, make_folder, print_document, print_summary, quiet_libraries, write

if TYPE_CHECKING:
    from ..benching.plan import Bench, DataEntry, Target
    from ..benching.standings import Done
    from ..benching.texts import Sides
    from ..comparison.audited import AuditedFolder
    from ..config import AuditConfig, ModelSpec
    from ..documents.leaderboard import FailedAudit, Leaderboard

__all__ = ["bench"]

_STATE = "bench.json"
_ALL_FORMATS = ("pdf", "svg", "png")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """An audit of the bench: its place, its folder and its configuration."""

    target: "Target"
    entry: "DataEntry"
    seed: int
    config: "AuditConfig"

    @property
    def folder(self) -> str:
        """Folder from that of the bench."""
        return _folder(self.target, self.entry, self.seed)


def _folder(target: "Target", entry: "DataEntry", seed: int) -> str:
    return f"audits/{target.name}/{entry.name}/seed-{seed}"


@cloup.command(short_help="Targets, attacks, data sets and seeds, and a leaderboard.")
@click.argument("file", metavar="BENCH.toml", type=PATH)
@folder_option("leaderboard.json, .md, .tex, .csv and figures, and the folder of every audit", default="bench")
@click.option(
    "--download", is_flag=True, help="Fetch data sets that are not here; models are fetched if named by an id."
)
@click.option("--figures", type=FIGURES,
              help="Formats of the figure; if given, draw every audit in them.  [default: pdf,svg,png]")  # fmt: skip
@printing_options("leaderboard.json on stdout")
def bench(file: Path, out: Path, download: bool, figures: tuple[str, ...] | None, as_json: bool) -> None:
    """Audit every target of BENCH.toml on every data set with every seed, and set all attacks beside each other.

    Every audit is an ordinary one in a folder of its own (OUT/audits/TARGET/DATA/seed-N). What is finished is not run
    again, and what was interrupted goes on, when the same command is started again; targets, data and seeds may be
    added. Beside each data set stands what its texts tell without any model. The keys of the file: docs/bench.md.
    """
    from ..benching.plan import read_bench

    asked = read_bench(file)
    quiet_libraries()
    make_folder(out, folders=("audits", "data", "scores"))
    _refuse_other_bench(out, asked)
    planned = _plan(asked, out, download)
    _claim(out, asked, planned)
    weights: dict[ModelSpec, str | None] = {}
    done: dict[str, Done] = {
        one.folder: _done(one, found) for one in planned if (found := _finished(one, out, weights)) is not None
    }
    _check_before_scoring([one for one in planned if one.folder not in done])
    failed: list[FailedAudit] = []
    for i, one in enumerate(planned, 1):
        console, said = make_console(stderr=True), f"Audit {i} of {len(planned)}: {one.folder.partition('/')[2]}"
        if one.folder in done:
            console.print(f"{said}, done before", markup=False, soft_wrap=True)
            continue
        console.print(said, markup=False, soft_wrap=True)
        _run(one, out, figures or (), done, failed)
    board = _write_board(asked, planned, done, failed, out, figures or _ALL_FORMATS)
    _print(board, out, as_json)
    if failed:
        more = f" (and {len(failed) - 1} more: see leaderboard.json)" if len(failed) > 1 else ""
        raise ModelError(
            f"{len(failed)} of {len(planned)} audits could not be done: {failed[0].folder}: {failed[0].reason}{more}"
        )


def _plan(asked: "Bench", out: Path, download: bool) -> list[_Planned]:
    """List every audit, with its texts laid out."""
    from ..benching.texts import lay_out

    console = make_console(stderr=True)
    sides: dict[tuple[str, int], Sides] = {}
    for entry in asked.data:
        for seed in asked.seeds:
            if entry.per_side is None and seed != asked.seeds[0]:
                sides[entry.name, seed] = sides[entry.name, asked.seeds[0]]
                continue
            sides[entry.name, seed] = found = lay_out(entry, seed, out / "data", download=download)
            for note in found.notes:
                console.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)
    planned = []
    for target, entry, seed in product(asked.targets, asked.data, asked.seeds):
        found = sides[entry.name, seed]
        config = asked.config(target, entry, seed, found.paths, found.options)
        planned.append(_Planned(target=target, entry=entry, seed=seed, config=config))
    return planned


def _refuse_other_bench(out: Path, asked: "Bench") -> None:
    """Refuse a folder that holds something else, or audits that this bench does not ask for."""
    from ..data.quoting import listing
    from ..documents.leaderboard import read_bench_state

    if not (out / _STATE).is_file():
        if any(one.is_file() or any(one.iterdir()) for one in out.iterdir()):
            raise ConfigError(
                f"--out {out}: it holds files and no {_STATE}: it is of another command; give another folder"
            )
        return
    now = {_folder(*place) for place in product(asked.targets, asked.data, asked.seeds)}
    gone = [folder for folder in read_bench_state(out / _STATE).audits if folder not in now]
    if gone:
        raise ConfigError(
            f"--out {out} holds another bench: it asked for {listing(gone, limit=1)}, "
            "and this one does not; a bench may be added to: put them back, or give another folder"
        )


def _claim(out: Path, asked: "Bench", planned: list[_Planned]) -> None:
    """Say what the folder is of; refuse to go on with audits that were begun with other settings or texts."""
    from ..documents.files import to_text
    from ..documents.leaderboard import BenchState, read_bench_state

    before: Mapping[str, str] = read_bench_state(out / _STATE).audits if (out / _STATE).is_file() else {}
    now = {one.folder: _fingerprint(one.config) for one in planned}
    for folder, digest in before.items():
        if now[folder] != digest:
            raise ConfigError(
                f"--out {out} holds another bench: {folder} was begun with other settings or texts; give those, or "
                "another folder"
            )
    write(out / _STATE, to_text(BenchState(title=asked.title, audits=now)))


def _fingerprint(config: "AuditConfig") -> str:
    """Hash the settings of an audit, and the texts of both sides where they are files."""
    from ..documents.checksums import file_sha256

    sides = [Path(side.path) for side in (config.members, config.non_members) if side is not None]
    texts = [file_sha256(side) if side.is_file() else str(side) for side in sides]
    settings = asdict(config) | {"members": None, "non_members": None}
    fields = [config.members.text_field, config.members.split, config.non_members and config.non_members.split]
    plain = json.dumps([settings, texts, fields], sort_keys=True, default=str)
    return hashlib.sha256(plain.encode()).hexdigest()


def _finished(one: _Planned, out: Path, weights: "dict[ModelSpec, str | None]") -> "AuditedFolder | None":
    """Read an audit that is whole; None if it is to be run.

    Raises
    ------
    ConfigError, ResultError
        If its files are not as they were written, or the model at its path is another one now.
    """
    from ..comparison.audited import read_audit
    from ..documents.checksums import CHECKSUMS

    folder = out / one.folder
    if not ((folder / "result.json").is_file() and (folder / CHECKSUMS).is_file()):
        return None
    found = read_audit(folder)
    target = one.config.target
    if target not in weights:
        weights[target] = _weights_here(one.config)
    now, before = weights[target], found.result.provenance.models[0].weights_sha256
    if now not in (None, before):
        raise ConfigError(
            f"{folder} is the audit of another model that lay at {target.path} (weights {before[:12]}, now "
            f"{str(now)[:12]}): give another --out, or remove that folder to audit it again"
        )
    return found


def _weights_here(config: "AuditConfig") -> str | None:
    """Fingerprint the weights of a target whose folder is here; None of any other, as nothing is fetched for this."""
    from ..engine.loading.models import read_folder

    folder = Path(config.target.path)
    if not (folder / "config.json").is_file():
        return None
    return read_folder(config.target, folder, trust_remote_code=config.trust_remote_code).sha256


def _check_before_scoring(planned: list[_Planned]) -> None:
    """Find what an audit would refuse of its texts and attacks, before hours of scoring."""
    from ..auditing.inputs import read_inputs

    seen = set()
    for one in planned:
        if (key := (one.target.name, one.entry.name)) not in seen:
            seen.add(key)
            try:
                read_inputs(one.config)
            except ConfigError as error:
                raise ConfigError(f"target {one.target.name!r} on data {one.entry.name!r}: {error}") from error


def _run(
    one: _Planned, out: Path, figures: tuple[str, ...], done: "dict[str, Done]", failed: "list[FailedAudit]"
) -> None:
    """Do one audit; a model that cannot be audited is noted, and the others go on."""
    from ..comparison.audited import read_audit
    from ..documents.leaderboard import FailedAudit

    try:
        audit_into(one.config, out / one.folder, scores_folder=out / "scores", rank=None, figures=figures)
    except ModelError as error:
        failed.append(FailedAudit(folder=one.folder, reason=str(error)))
    else:
        done[one.folder] = _done(one, read_audit(out / one.folder))


def _done(one: _Planned, found: "AuditedFolder") -> "Done":
    from ..benching.standings import Done

    return Done(target=one.target.name, entry=one.entry, seed=one.seed, folder=one.folder, audit=found)


def _write_board(
    asked: "Bench",
    planned: list[_Planned],
    done: "dict[str, Done]",
    failed: "list[FailedAudit]",
    out: Path,
    formats: tuple[str, ...],
) -> "Leaderboard":
    """Write the leaderboard in every form, in the order of the bench."""
    from reports import LEADERBOARD_RENDERERS
    from reports.plots import leaderboard_figure

    from ..benching.standings import leaderboard

    board = leaderboard(
        asked.title,
        [done[one.folder] for one in planned if one.folder in done],
        n_audits=len(planned),
        level=planned[0].config.confidence,
        failed=failed,
    )
    for form, render in LEADERBOARD_RENDERERS.items():
        write(out / f"leaderboard.{form}", render(board))
    for form in formats:
        leaderboard_figure(board, out / f"leaderboard.{form}")
    return board


def _print(board: "Leaderboard", out: Path, as_json: bool) -> None:
    from reports import LEADERBOARD_RENDERERS, render_leaderboard

    if as_json:
        print_document(LEADERBOARD_RENDERERS["json"](board))
        return
    n_above, n_cells = (sum(getattr(one, name) for one in board.standings) for name in ("n_significant", "n_cells"))
    said = f"{n_above} of {n_cells} sound cells lie above chance after Holm"
    print_summary(render_leaderboard(board), f"Leaderboard: {out / 'leaderboard.md'}", verdict=said)
