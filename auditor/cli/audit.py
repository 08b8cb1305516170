"""``auditor audit``: one target, every checkpoint of a run, or texts until a policy is decided."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..errors import ConfigError
from .audit_curve import run_curve, turn
from .audit_folder import run_audit
from .audit_track import TRACKERS, tracking
from .audit_verdict import judge_audit, refuse_beside_audit, run_until_decided
from .gate import checked_policy
from .kinds import AMOUNT, FIGURES, FLOATS, PATH, PLACE
from .options import folder_option, grouped, printing_options, shared
from .output import make_folder, quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from ..config import AuditConfig
    from ..engine.ranks import Rank
    from ..gates.policy import Policy
    from ..packs.reading import Unpacked

__all__ = ["audit"]


@cloup.command(short_help="Audit a model, or every checkpoint of a run.")
@grouped(
    "Models",
    click.option(
        "--target",
        type=PLACE,
        metavar="M",
        help=(
            "Audited model: a folder of a model or adapter, a .gguf file, or a hub id, ID@REVISION. A pattern in "
            "quotes, 'run/checkpoint-*', audits every checkpoint that it names and draws their curve."
        ),
    ),
    shared("--reference"),
    click.option(
        "--adapter", type=PLACE, metavar="PEFT_DIR", help="PEFT adapter on the target; the reference is then its base."
    ),
    shared("--tokenizer", "--reference-tokenizer", "--chat-template"),
    shared("--trust-remote-code", default=None),
)
@grouped(
    "Texts",
    shared("--members"),
    click.option(
        "--non-members", type=PLACE, metavar="DATA", help="Texts of the same distribution that it was not trained on."
    ),
    click.option(
        "--pack",
        "pack",
        type=PATH,
        metavar="FILE",
        help="Texts, reference scores and settings of `auditor pack`: only the target is run.",
    ),
    shared("--text-field", "--dataset-split", "--non-members-split", "--drop-ids", "--salt", "--score"),
    click.option(
        "--max-tokens",
        type=int,
        metavar="N",
        help="Score at most N tokens of a text (with --long-texts stride: windows of N tokens).",
    ),
    shared(
        "--long-texts",
        help=(
            "Texts beyond a context window: cut at the same character for all models, or scored whole in windows that "
            "overlap by half."
        ),
    ),
)
@grouped(
    "Attacks",
    shared("--attack", help="Attack to run; default: all that the inputs allow. See `auditor attacks`."),
    click.option(
        "--attack-file",
        "attack_files",
        type=PLACE,
        metavar="FILE",
        multiple=True,
        help=(
            "Python file that defines an attack of your own, which is run beside the others. Its code is run: name "
            "only files that you trust."
        ),
    ),
    shared("--headline", default="reference if there is one, else loss"),
    click.option(
        "--shadows",
        type=PLACE,
        metavar="FOLDER",
        help="Models trained on random halves of the texts by `auditor shadows`.",
    ),
    click.option(
        "--shots", type=PLACE, metavar="DATA", help="Other non-members, which the attack recall puts before every text."
    ),
    click.option(
        "--member-shots", type=PLACE, metavar="DATA", help="Other members, which con_recall puts before every text."
    ),
    click.option(
        "--neighbour-model",
        type=PLACE,
        metavar="M",
        help="Masked language model that rewrites texts for neighbourhood.",
    ),
    click.option("--neighbours", type=int, metavar="N", help="Rewritings of each text.  [default: 10]"),
    click.option(
        "--frequency-corpus", type=PLACE, metavar="DATA", help="Other texts, whose token frequencies dc_pdd divides by."
    ),
    click.option(
        "--extract",
        metavar="PREFIX/SUFFIX",
        help=(
            "Tokens of each text that the target is given, and tokens that it must then write, by its scores; none "
            "leaves it out.  [default: 50/50]"
        ),
    ),
    click.option(
        "--confirm-extraction",
        type=int,
        metavar="N",
        help="Let the target write N of the texts that it writes by its scores, and compare.",
    ),
    click.option(
        "--extract-temperature",
        "extract_temperatures",
        type=FLOATS,
        metavar="T,T,...",
        help="Read extraction at these temperatures, too, by one more pass over the texts.",
    ),
    click.option(
        "--near-verbatim",
        type=int,
        metavar="N",
        help="Search N texts a side for ends with a tenth of their tokens replaced at most (20 beams each).",
    ),
)
@grouped(
    "Evidence",
    click.option(
        "--split-manifest",
        type=PLACE,
        metavar="FILE",
        help="Manifest of `auditor split`; the texts are checked against it.",
    ),
    click.option(
        "--coins",
        type=PLACE,
        metavar="FILE",
        help="Secret of `auditor split --coins`.  [default: coins.json beside the manifest]",
    ),
    shared("--delta", "--guess-share"),
    click.option(
        "--canaries", type=PLACE, metavar="FOLDER", help="Look for these canaries of `auditor canaries`, too."
    ),
    click.option(
        "--canary-form",
        type=click.Choice(["text", "prompt-completion", "messages"]),
        help="Form in which they were inserted.  [default: as recorded]",
    ),
    click.option(
        "--retrained",
        type=PLACE,
        metavar="M",
        help="Model trained like the target, never on the members: what unlearning should lead to.",
    ),
    click.option(
        "--retrained-margin",
        type=float,
        metavar="D",
        help="Change of AUC below which both count as the same.  [default: 0.02]",
    ),
)
@grouped(
    "Scoring",
    shared("--prefix-token", "--dtype", "--device"),
    click.option(
        "--device-map", metavar="auto|balanced|sequential", help="Spread each model over all devices, memory and disk."
    ),
    shared("--batch-tokens", metavar="N|auto"),
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        help="Score in this process, or on the workers of a Ray cluster.  [default: local]",
    ),
    click.option("--ray-workers", type=int, metavar="N", help="Workers of Ray.  [default: one a GPU, else a node]"),
)
@grouped("Statistics", shared("--confidence", "--fpr", "--seed"))
@grouped(
    "Expectation",
    click.option(
        "--train-samples",
        type=AMOUNT,
        metavar="N",
        help="Samples of the target's whole training set: sets prediction beside measurement.",
    ),
    click.option("--train-tokens", type=AMOUNT, metavar="N", help="The same in tokens."),
    click.option("--epochs", type=AMOUNT, metavar="N", help="Passes of the target over its training set."),
    shared("--fine-tuned", default=None, help="The target was not trained from scratch."),
    shared("--bits-per-parameter", "--capacity", "--calibration"),
)
@grouped(
    "Output",
    folder_option(
        "result.json, samples.parquet, samples.csv, report.html, report.md and scores/", default="audit-results"
    ),
    click.option(
        "--policy",
        "policy_file",
        type=PATH,
        metavar="FILE",
        help="Judge by this policy, too: writes gates.json; exit code 1 if a gate fails.",
    ),
    click.option(
        "--until-decided",
        is_flag=True,
        help=("Score texts in random order until every gate of --policy is decided; gates.json and no report."),
    ),
    click.option(
        "--figures",
        type=FIGURES,
        help="Draw ROC curves, bits and attacks into the folder figures, too, in these formats.",
    ),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Replace an audit of another model, of other texts or under another policy in --out.",
    ),
    click.option(
        "--track",
        type=click.Choice(TRACKERS),
        help=(
            "Log the figures, and the report without its samples, with this tracker of experiments: into OUT/tracking, "
            "unless its own settings name a server (wandb: once logged in)."
        ),
    ),
    click.option("--include-text", is_flag=True, default=None, help="Write sample texts into the outputs."),
    click.option(
        "--config",
        "config_file",
        type=PATH,
        metavar="TOML",
        help="File with these settings, by the keys of docs/config.md; flags override it.",
    ),
    printing_options("result.json (of several checkpoints curve.json) on stdout"),
)
def audit(
    out: Path,
    config_file: Path | None,
    pack: Path | None,
    policy_file: Path | None,
    until_decided: bool,
    figures: tuple[str, ...] | None,
    overwrite: bool,
    track: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Audit a checkpoint, or all of a training run: bits per sample, attacks, a report.

    DATA is a .jsonl, .json, .csv, .tsv, .parquet, .txt or .arrow file (.gz and .zst too), a folder of them, a local
    clone of a data set, or a `datasets` id (name:config); with a column `text`, and optionally `id`, `group` (an empty
    group is none) and `copies` (how often a member stood in the training set). Instead of `text`, conversations are
    read from `messages`, `conversations`, or `prompt` and `completion`, with the chat template of each model.

    Of several checkpoints each has its report in OUT/NAME; curve.html, curve.md and curve.json say how bits and
    attacks change from one to the next, text by text.

    Started by `torchrun` or `accelerate launch`, every process scores its share and the first one reports.
    """
    from ..engine.ranks import Rank

    rank = Rank.from_environment()
    policy = _policy(policy_file, until_decided, rank)
    if until_decided:
        refuse_beside_audit(out)
        if figures:
            raise ConfigError(
                "--figures draws a whole audit, and --until-decided stops before it is one: leave one out"
            )
        if track is not None:
            raise ConfigError("--track logs whole audits, and --until-decided writes none: leave one of the two out")
    if track is not None and rank.world > 1:
        raise ConfigError("--track is for one process: run it without torchrun or accelerate launch")
    with _opened(pack, out, rank) as packed, tracking(track, out) as tracker:
        target, configs = _audit_configs(config_file, options, packed)
        if policy is not None and len(configs) > 1:
            raise ConfigError(f"--policy judges one target, and {target} names {len(configs)} checkpoints")
        if rank.is_first and policy is not None and not overwrite:
            _keep_verdict(out, policy)
        if policy is not None and until_decided:
            return run_until_decided(next(iter(configs.values())), policy, out, as_json=as_json)
        if not rank.is_first:
            _help(configs.values(), out, rank)
        elif len(configs) == 1:
            config = next(iter(configs.values()))
            done = run_audit(
                config,
                out,
                as_json=as_json,
                rank=turn(rank, 1),
                pack=packed,
                overwrite=overwrite,
                figures=figures or (),
            )
            code = 0 if policy is None else judge_audit(policy, out, as_json=as_json)
            if tracker is not None:
                tracker.log(done.result)
            return code
        else:
            run_curve(
                target,
                configs,
                out,
                as_json=as_json,
                rank=rank,
                pack=packed,
                overwrite=overwrite,
                figures=figures or (),
                tracker=tracker,
            )
    return 0


def _policy(file: Path | None, until_decided: bool, rank: "Rank") -> "Policy | None":
    """Read the policy, if there is one: a mistake in it is told before hours of scoring."""
    if until_decided and file is None:
        raise ConfigError("--until-decided needs the gates to decide: give --policy FILE")
    if until_decided and rank.world > 1:
        raise ConfigError("--until-decided is for one process: run it without torchrun or accelerate launch")
    return None if file is None else checked_policy(file)


def _keep_verdict(out: Path, policy: "Policy") -> None:
    """Refuse to replace the verdict of another policy, before anything is scored."""
    from ..auditing.earlier import refuse_other_policy

    refuse_other_policy(out, policy.sha256)


def _opened(pack: Path | None, out: Path, rank: "Rank") -> "AbstractContextManager[Unpacked | None]":
    """Unpack what is to be audited, if it comes in a pack."""
    if pack is None:
        return nullcontext()
    if rank.world > 1:
        raise ConfigError("--pack is for one process: run it without torchrun or accelerate launch")
    quiet_libraries()
    from ..packs.reading import opened_pack

    make_folder(out, folders=("scores",))
    return opened_pack(pack, out / "scores")


def _help(configs: "Iterable[AuditConfig]", out: Path, rank: "Rank") -> None:
    """Score a share of each audit that another process reports."""
    quiet_libraries()
    from ..auditing.pipeline import help_audit

    make_folder(out, folders=("scores",))
    for i, config in enumerate(configs, 1):
        help_audit(config, scores_folder=out / "scores", rank=turn(rank, i))


def _audit_configs(
    config_file: Path | None, options: dict[str, Any], pack: "Unpacked | None" = None
) -> "tuple[str, dict[str, AuditConfig]]":
    """Merge the configuration file and the flags, which win; return the target and what to audit by its path."""
    from ..config import AuditConfig, is_count, load_config_file
    from ..engine.loading.checkpoints import expand_checkpoints
    from ..engine.loading.configs import refuse_at_sight

    given = {key: value for key, value in options.items() if value not in (None, ())}
    batch_tokens = given.pop("batch_tokens", None)
    if batch_tokens not in (None, "auto"):
        if not is_count(batch_tokens):
            raise ConfigError(f"--batch-tokens must be a number or auto, got {batch_tokens!r}")
        given["batch_tokens"] = int(batch_tokens)
    for key in ("references", "attacks", "attack_files"):
        if key in given:
            given[key] = list(given[key])
    given = (load_config_file(config_file) if config_file else {}) | given
    if pack is not None:
        given = pack.options(given)
    target = given.get("target")
    if not isinstance(target, str):
        return "", {"": AuditConfig.from_options(given)}  # which says what is missing
    configs = {path: AuditConfig.from_options(given | {"target": path}) for path in expand_checkpoints(target)}
    for one in configs.values():
        for spec in (one.target, *one.references, *([] if one.retrained is None else [one.retrained])):
            refuse_at_sight(spec)
    return target, configs
