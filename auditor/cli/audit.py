"""``auditor audit``, and the run of an audit that the demonstration shares."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError, ModelError
from .kinds import AMOUNT, FLOATS
from .output import make_console, make_folder, print_document, quiet_libraries, write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from rich.console import Group

    from ..audit.pipeline import Audit
    from ..config import AuditConfig
    from ..documents.gates import GateReport
    from ..engine.ranks import Rank
    from ..gates.policy import Policy
    from ..packs.reading import Unpacked

__all__ = ["audit", "run_audit"]


@click.command()
@click.option(
    "--target",
    metavar="M",
    help="Audited model: a folder of a model or adapter, a .gguf file, or a hub id, ID@REVISION. A pattern in quotes, "
    "'run/checkpoint-*', audits every checkpoint that it names and draws their curve.",
)
@click.option("--reference", "references", metavar="M", multiple=True, help="Model that never saw the members.")
@click.option("--members", metavar="DATA", help="Texts the target was trained on.")
@click.option("--non-members", metavar="DATA", help="Texts of the same distribution that it was not trained on.")
@click.option("--shots", metavar="DATA", help="Other non-members, which the attack recall puts before every text.")
@click.option("--member-shots", metavar="DATA", help="Other members, which con_recall puts before every text.")
@click.option("--neighbour-model", metavar="M", help="Masked language model that rewrites texts for neighbourhood.")
@click.option("--neighbours", type=int, metavar="N", help="Rewritings of each text.  [default: 10]")
@click.option("--frequency-corpus", metavar="DATA", help="Other texts, whose token frequencies dc_pdd divides by.")
@click.option("--shadows", metavar="FOLDER", help="Models trained on random halves of the texts by `auditor shadows`.")
@click.option("--pack", "pack", type=click.Path(path_type=Path), metavar="FILE",
              help="Texts, reference scores and settings of `auditor pack`: only the target is run.")  # fmt: skip
@click.option("--retrained", metavar="M",
              help="Model trained like the target, never on the members: what unlearning should lead to.")  # fmt: skip
@click.option("--retrained-margin", type=float, metavar="D",
              help="Change of AUC below which both count as the same.  [default: 0.02]")  # fmt: skip
@click.option("--split-manifest", metavar="FILE", help="Manifest of `auditor split`; the texts are checked against it.")
@click.option("--drop-ids", metavar="FILE", help="Sample ids to leave out, one a line.")
@click.option("--headline", metavar="NAME[:k=v,...]",
              help="Attack that the verdict rests on.  [default: reference if there is one, else loss]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("audit-results"), show_default=True,
              help="Folder for result.json, samples.parquet, report.html, report.md and scores/.")  # fmt: skip
@click.option("--adapter", metavar="PEFT_DIR", help="PEFT adapter on the target; the reference is then its base.")
@click.option("--attack", "attacks", metavar="NAME[:k=v,...]", multiple=True,
              help="Attack to run; default: all that the inputs allow. See `auditor attacks`.")  # fmt: skip
@click.option("--text-field", metavar="NAME", help="Column that holds the text.  [default: text]")
@click.option("--split", metavar="NAME", help="Split of a `datasets` data set.  [default: train]")
@click.option("--non-members-split", metavar="NAME", help="Split of the non-members.  [default: that of --split]")
@click.option(
    "--max-tokens",
    type=int,
    metavar="N",
    help="Score at most N tokens of a text (with --long-texts stride: windows of N tokens).",
)
@click.option("--long-texts", type=click.Choice(["cut", "stride"]), help=(
    "Texts beyond a context window: cut at the same character for all models, or scored whole in windows that "
    "overlap by half.  [default: cut]"))  # fmt: skip
@click.option("--prefix-token", metavar="auto|none|bos|eos|ID",
              help="What stands before the first token of each text.  [default: auto]")  # fmt: skip
@click.option("--dtype", metavar="auto|float32|bfloat16|float16", help="Precision of the weights.  [default: auto]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Where to run.  [default: auto]")
@click.option("--device-map", metavar="auto|balanced|sequential",
              help="Spread each model over all devices, memory and disk.")  # fmt: skip
@click.option("--batch-tokens", metavar="N|auto", help="Tokens in a batch, padding included.  [default: auto]")
@click.option("--engine", type=click.Choice(["local", "ray"]),
              help="Score in this process, or on the workers of a Ray cluster.  [default: local]")  # fmt: skip
@click.option("--ray-workers", type=int, metavar="N", help="Workers of Ray.  [default: one a GPU, else a node]")
@click.option("--confidence", type=float, metavar="P", help="Level of every interval.  [default: 0.95]")
@click.option("--fpr", "fpr_targets", type=FLOATS, metavar="F,F,...",
              help="False-positive rates to report at.  [default: .001,.01,.05]")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Of the bootstrap and of the certified bound.  [default: 0]")
@click.option("--bits-per-parameter", type=float, metavar="A", help="Capacity constant instead of the paper's.")
@click.option("--capacity", metavar="FILE", help="Capacity measured by `auditor capacity`.")
@click.option("--train-samples", type=AMOUNT, metavar="N",
              help="Samples of the target's whole training set: sets prediction beside measurement.")  # fmt: skip
@click.option("--train-tokens", type=AMOUNT, metavar="N", help="The same in tokens.")
@click.option("--epochs", type=AMOUNT, metavar="N", help="Passes of the target over its training set.")
@click.option("--fine-tuned", is_flag=True, default=None, help="The target was not trained from scratch.")
@click.option("--calibration", metavar="FILE", help="Membership law measured by `auditor calibrate`.")
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Judge by this policy, too: writes gates.json; exit code 1 if a gate fails.")  # fmt: skip
@click.option("--until-decided", is_flag=True, help=(
    "Score texts in random order until every gate of --policy is decided; gates.json and no report."))  # fmt: skip
@click.option("--include-text", is_flag=True, default=None, help="Write sample texts into the outputs.")
@click.option("--trust-remote-code", is_flag=True, default=None, help="Run code that comes with a model.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="TOML",
              help="File with these settings, by the keys of docs/config.md; flags override it.")  # fmt: skip
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print result.json (of several checkpoints curve.json) on stdout and nothing else.",
)
def audit(
    out: Path,
    config_file: Path | None,
    pack: Path | None,
    policy_file: Path | None,
    until_decided: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Audit a checkpoint, or all of a training run: bits per sample, attacks, a report.

    DATA is a .jsonl, .json, .csv, .parquet, .txt or .arrow file (.gz and .zst too), a folder of them, or a
    `datasets` id (name:config); with a column `text`, and optionally `id`, `group` (an empty group is none) and
    `copies` (how often a member stood in the training set).

    Of several checkpoints each has its report in OUT/NAME; curve.html, curve.md and curve.json say how bits and
    attacks change from one to the next, text by text.

    Started by `torchrun` or `accelerate launch`, every process scores its share and the first one reports.
    """
    from ..engine.ranks import Rank

    rank = Rank.from_environment()
    policy = _checked_policy(policy_file, until_decided, rank)
    with _opened(pack, out, rank) as packed:
        target, configs = _audit_configs(config_file, options, packed)
        if policy is not None and len(configs) > 1:
            raise ConfigError(f"--policy judges one target, and {target} names {len(configs)} checkpoints")
        if policy is not None and until_decided:
            return _run_until_decided(next(iter(configs.values())), policy, out, as_json=as_json)
        if not rank.is_first:
            _help(configs.values(), out, rank)
        elif len(configs) == 1:
            run_audit(next(iter(configs.values())), out, as_json=as_json, rank=_turn(rank, 1), pack=packed)
            return 0 if policy is None else _judge(policy, out, as_json=as_json)
        else:
            _run_curve(target, configs, out, as_json=as_json, rank=rank, pack=packed)
    return 0


def _checked_policy(file: Path | None, until_decided: bool, rank: "Rank") -> "Policy | None":
    """Read the policy, if there is one: a mistake in it is told before hours of scoring."""
    from ..gates.policy import check_metric, read_policy

    if until_decided and file is None:
        raise ConfigError("--until-decided needs the gates to decide: give --policy FILE")
    if until_decided and rank.world > 1:
        raise ConfigError("--until-decided is for one process: run it without torchrun or accelerate launch")
    if file is None:
        return None
    policy = read_policy(file)
    for gate in policy.gates:
        check_metric(gate, {}, source=policy.source)
    return policy


def _judge(policy: "Policy", out: Path, *, as_json: bool) -> int:
    """Judge an audit that was just written; on stdout unless the result itself was printed there."""
    from ..gates.subject import read_judged
    from .gate import judge_today

    file = out / "result.json"
    report = judge_today(policy, read_judged(file.read_bytes(), str(file)))
    return _tell(report, out, stderr=as_json, as_json=False)


def _tell(report: "GateReport", out: Path, *, stderr: bool, as_json: bool) -> int:
    """Write a verdict and print it; return the exit code."""
    from ..documents.files import to_text
    from .gate import deliver_verdict, print_verdict

    write(out / "gates.json", to_text(report))
    print_verdict(report, as_json=as_json, stderr=stderr)
    deliver_verdict(report, {}, annotations=False, as_json=as_json)
    return report.exit_code


def _run_until_decided(config: "AuditConfig", policy: "Policy", out: Path, *, as_json: bool) -> int:
    """Score until every gate is decided, write and print the verdict."""
    quiet_libraries()
    from ..audit.until_decided import audit_until_decided
    from .progress import scoring_progress

    make_folder(out)
    with scoring_progress(make_console(stderr=True)) as on_progress:
        report = audit_until_decided(
            config,
            policy,
            scores_folder=out / "scores",
            today=datetime.now(UTC).date(),
            on_progress=on_progress,
        )
    return _tell(report, out, stderr=False, as_json=as_json)


def _opened(pack: Path | None, out: Path, rank: "Rank") -> "AbstractContextManager[Unpacked | None]":
    """Unpack what is to be audited, if it comes in a pack."""
    if pack is None:
        return nullcontext()
    if rank.world > 1:
        raise ConfigError("--pack is for one process: run it without torchrun or accelerate launch")
    quiet_libraries()
    from ..packs.reading import opened_pack

    make_folder(out)
    return opened_pack(pack, out / "scores")


def _help(configs: "Iterable[AuditConfig]", out: Path, rank: "Rank") -> None:
    """Score a share of each audit that another process reports."""
    quiet_libraries()
    from ..audit.pipeline import help_audit

    make_folder(out)
    for i, config in enumerate(configs, 1):
        help_audit(config, scores_folder=out / "scores", rank=_turn(rank, i))


def _turn(rank: "Rank", checkpoint: int) -> "Rank":
    """Return the place of this process in the audit of one checkpoint, told apart from its place in the others."""
    return replace(rank, run=f"{rank.run}-{checkpoint}")


def _audit_configs(
    config_file: Path | None, options: dict[str, Any], pack: "Unpacked | None" = None
) -> "tuple[str, dict[str, AuditConfig]]":
    """Merge the configuration file and the flags, which win; return the target and what to audit by its path."""
    from ..config import AuditConfig, is_count, load_config_file
    from ..engine.loading.checkpoints import expand_checkpoints

    given = {key: value for key, value in options.items() if value not in (None, ())}
    batch_tokens = given.pop("batch_tokens", None)
    if batch_tokens not in (None, "auto"):
        if not is_count(batch_tokens):
            raise ConfigError(f"--batch-tokens must be a number or auto, got {batch_tokens!r}")
        given["batch_tokens"] = int(batch_tokens)
    for key in ("references", "attacks"):
        if key in given:
            given[key] = list(given[key])
    given = (load_config_file(config_file) if config_file else {}) | given
    if pack is not None:
        given = pack.options(given)
    target = given.get("target")
    if not isinstance(target, str):
        return "", {"": AuditConfig.from_options(given)}  # which says what is missing
    return target, {path: AuditConfig.from_options(given | {"target": path}) for path in expand_checkpoints(target)}


def run_audit(
    config: "AuditConfig", out: Path, *, as_json: bool, rank: "Rank | None" = None, pack: "Unpacked | None" = None
) -> "Audit":
    """Audit, write every output, print the summary."""
    from reports import RENDERERS, render_terminal

    done = _audit_into(config, out, scores_folder=out / "scores", rank=rank, pack=pack)
    if as_json:
        print_document(RENDERERS["json"](done.result))
    else:
        _print(render_terminal(done.result), "Report", out / "report.html")
    return done


def _run_curve(
    target: str, configs: "dict[str, AuditConfig]", out: Path, *, as_json: bool, rank: "Rank", pack: "Unpacked | None"
) -> None:
    """Audit each checkpoint into a folder of its own, write the curve after each, print it at the end.

    Raises
    ------
    ModelError
        If a checkpoint could not be audited: when the others are done, or at once if other processes wait for this one.
    """
    from reports import CURVE_RENDERERS, render_curve
    from reports.verdict import headline_attack

    from ..comparison.curve import Tracer, checkpoint_names

    names, notes = checkpoint_names(list(configs))
    tracer = Tracer(target=target, n_checkpoints=len(configs), notes=notes)
    for i, (name, (path, config)) in enumerate(zip(names, configs.items(), strict=True), 1):
        make_console(stderr=True).print(f"Checkpoint {i} of {len(configs)}: {name}", markup=False, soft_wrap=True)
        try:
            done = _audit_into(config, out / name, scores_folder=out / "scores", rank=_turn(rank, i), pack=pack)
        except ModelError as error:
            if rank.world > 1:
                raise
            tracer.fail(name, path, str(error))
        else:
            tracer.add(name, path, done.result, done.samples, headline=headline_attack(done.result))
        if tracer.n_audited:
            for form, render in CURVE_RENDERERS.items():
                write(out / f"curve.{form}", render(tracer.curve()))
    if tracer.n_audited:
        if as_json:
            print_document(CURVE_RENDERERS["json"](tracer.curve()))
        else:
            _print(render_curve(tracer.curve()), "Curve", out / "curve.html")
    if tracer.failed:
        first, n = tracer.failed[0], len(tracer.failed)
        more = f" (and {n - 1} more: see curve.json)" if n > 1 and tracer.n_audited else ""
        raise ModelError(f"{n} of {len(configs)} checkpoints could not be audited: {first.path}: {first.reason}{more}")


def _audit_into(
    config: "AuditConfig", out: Path, *, scores_folder: Path, rank: "Rank | None", pack: "Unpacked | None" = None
) -> "Audit":
    """Audit and write every output."""
    quiet_libraries()
    from reports import RENDERERS

    from ..audit.pipeline import audit as run
    from ..documents.checksums import write_checksums
    from ..engine.ranks import ALONE
    from .progress import scoring_progress

    make_folder(out)
    with scoring_progress(make_console(stderr=True)) as on_progress:
        done = run(config, scores_folder=scores_folder, on_progress=on_progress, rank=rank or ALONE)
    if pack is not None:
        done = replace(done, result=pack.restated(done.result))
    done.samples.write_parquet(out / "samples.parquet")
    done = _vouched_for(done, out / "samples.parquet")
    write(out / "result.json", RENDERERS["json"](done.result))
    write(out / "report.html", RENDERERS["html"](done.result))
    write(out / "report.md", RENDERERS["md"](done.result))
    _write_drop_ids(done, config, out / "drop-ids.txt")
    write_checksums(out)
    return done


def _vouched_for(done: "Audit", samples: Path) -> "Audit":
    """Name the table of samples in the result by its hash."""
    from ..documents.checksums import file_sha256

    provenance = replace(done.result.provenance, samples_sha256=file_sha256(samples))
    return replace(done, result=replace(done.result, provenance=provenance))


def _write_drop_ids(done: "Audit", config: "AuditConfig", path: Path) -> None:
    """List the samples to leave out so that checks pass, if there are any, after those that were left out this time."""
    from ..data.drops import drop_ids_text, read_drop_ids

    checks = done.result.soundness.checks if done.result.soundness else ()
    offenders = [sample_id for check in checks if check.verdict != "pass" for sample_id in check.sample_ids]
    if offenders:
        before = sorted(read_drop_ids(Path(config.drop_ids))) if config.drop_ids else []
        write(path, drop_ids_text([*before, *offenders], comment="leave out with: auditor audit --drop-ids THIS-FILE"))


def _print(summary: "Group", what: str, path: Path) -> None:
    """Print a summary and where the whole of it lies."""
    from reports.escaping import visible

    console = make_console(stderr=False)
    console.print(summary)
    console.print(f"{what}: {visible(str(path), 4000)}", markup=False, highlight=False, soft_wrap=True)
