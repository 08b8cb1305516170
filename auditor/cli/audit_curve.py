"""The curve of a training run: its checkpoints audited one after another."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, ModelError
from .audit_folder import audit_into, remove_verdict, report_line
from .output import check_files, make_console, make_folder, print_document, print_summary, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import AuditConfig
    from ..engine.ranks import Rank
    from ..packs.reading import Unpacked
    from .audit_track import Tracking

__all__ = ["run_curve", "turn"]


def run_curve(
    target: str,
    configs: "dict[str, AuditConfig]",
    out: Path,
    *,
    as_json: bool,
    rank: "Rank",
    pack: "Unpacked | None",
    overwrite: bool = False,
    figures: "Sequence[str]" = (),
    tracker: "Tracking | None" = None,
) -> None:
    """Audit each checkpoint into a folder of its own, write the curve after each, print it at the end.

    ``tracker`` logs each checkpoint at its step, or at its place where it names none. A curve of another run,
    or an audit of another model or of other texts, is replaced only with ``overwrite``.

    Many parameters: what is audited, where to, and the options of the command that hold for every checkpoint.

    Raises
    ------
    ModelError
        If a checkpoint could not be audited: when the others are done, or at once if other processes wait for this one.
    """
    from reports import CURVE_RENDERERS, html_curve, render_curve
    from reports.curve import verdict_line
    from reports.verdict import headline_attack

    from ..comparison.curve import Tracer, checkpoint_names

    names, notes = checkpoint_names(list(configs))
    if not overwrite:
        _refuse_other_curve(out, target)
    make_folder(out, folders=("scores", *names))
    check_files(*(out / f"curve.{form}" for form in CURVE_RENDERERS))
    tracer = Tracer(target=target, n_checkpoints=len(configs), notes=notes)
    for i, (name, (path, config)) in enumerate(zip(names, configs.items(), strict=True), 1):
        make_console(stderr=True).print(f"Checkpoint {i} of {len(configs)}: {name}", markup=False, soft_wrap=True)
        try:
            done = audit_into(
                config, out / name, scores_folder=out / "scores", rank=turn(rank, i), pack=pack, overwrite=overwrite,
                figures=figures,
            )  # fmt: skip
        except ModelError as error:
            if rank.world > 1:
                raise
            tracer.fail(name, path, str(error))
        else:
            tracer.add(name, path, done.result, done.samples, headline=headline_attack(done.result))
            if tracker is not None:
                step = tracer.curve().points[-1].step
                tracker.log(done.result, step=i if step is None else step)
        if tracer.n_audited:
            remove_verdict(out)
            for form, render in CURVE_RENDERERS.items():
                if form != "html":
                    write(out / f"curve.{form}", render(tracer.curve()))
            write(out / "curve.html", html_curve(tracer.curve(), reports=names[:i]))
    if tracer.n_audited:
        if as_json:
            print_document(CURVE_RENDERERS["json"](tracer.curve()))
        else:
            line = report_line("Curve", out / "curve.html")
            print_summary(render_curve(tracer.curve()), line, verdict=verdict_line(tracer.curve()))
    if tracer.failed:
        first, n = tracer.failed[0], len(tracer.failed)
        more = f" (and {n - 1} more: see curve.json)" if n > 1 and tracer.n_audited else ""
        raise ModelError(f"{n} of {len(configs)} checkpoints could not be audited: {first.path}: {first.reason}{more}")


def _refuse_other_curve(out: Path, target: str) -> None:
    """Refuse to replace the curve of another run."""
    from ..documents.curve import read_curve

    file = out / "curve.json"
    if file.is_file() and (before := read_curve(file).target) != target:
        raise ConfigError(
            f"--out {out} holds the curve of {before}, not of {target}: choose another folder, or replace what is "
            "there with --overwrite"
        )


def turn(rank: "Rank", checkpoint: int) -> "Rank":
    """Return the place of this process in the audit of one checkpoint, told apart from its place in the others."""
    return replace(rank, run=f"{rank.run}-{checkpoint}")
