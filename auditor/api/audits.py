"""Audits for programs: `audit` runs one, `read_audit` reads one that was written, `Audit` is what both return."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from html import escape
from os import PathLike
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np

from reports import RENDERERS

from ..auditing import pipeline
from ..auditing.earlier import find_earlier
from ..comparison.audited import AuditedFolder
from ..comparison.audited import read_audit as read_folder
from ..comparison.compare import compare_folders
from ..documents.checksums import CHECKSUMS, OUTPUTS
from ..documents.comparison import AuditComparison
from ..documents.gates import GateReport
from ..documents.result import AuditResult
from ..documents.sample_table import SampleTable
from ..engine.loading.held import undisturbed
from ..errors import ConfigError, ResultError
from ..gates.judge import judge
from ..gates.policy import Policy, built_in_policy, read_policy
from ..gates.subject import read_judged, with_changes, with_checksums
from .asked import settled
from .saving import prepare_folder, write_audit
from .surroundings import Watch, shown, unnoticed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Audit", "audit", "read_audit"]

_FRAME = (
    '<iframe sandbox title="The first screen of the report" style="width:100%;height:26em;border:0" srcdoc="{}">'
    "</iframe>"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Audit:
    """An audit: the document, its table of samples, and what can be done with them.

    Parameters
    ----------
    result : AuditResult
        The document that ``result.json`` holds, described in docs/result.schema.json.
    samples : SampleTable
        A row a sample.
    folder : Path, optional
        Where it is written, if it is.
    """

    result: AuditResult
    samples: SampleTable
    folder: Path | None = None
    _done: pipeline.Audit | None = None
    _scores: Path | None = None

    def __repr__(self) -> str:
        from reports.verdict import verdict

        target = next((model.path for model in self.result.provenance.models if model.role == "target"), "?")
        where = "" if self.folder is None else f", {self.folder}"
        n = len(self.samples.sample_id)
        return f"<Audit of {ascii(target)[1:-1]}: {n} texts, {verdict(self.result).title}{where}>"

    def _repr_html_(self) -> str:
        """Show the first screen of the report, in a frame of its own in which no script runs."""
        from reports.to_html import first_screen

        return _FRAME.format(escape(first_screen(self.result)))

    @cached_property
    def _table(self) -> Any:
        """The table of samples as it is, or as it was, written."""
        if self._done is not None or self.folder is None:
            return self.samples.to_arrow()
        import pyarrow.parquet as pq

        return pq.read_table(self.folder / "samples.parquet")

    def to_arrow(self) -> Any:
        """Return the rows of all samples.

        Returns
        -------
        pyarrow.Table
            The columns of ``samples.parquet``: bits, probability, ``score.<attack>``; no texts unless ``include_text``.
        """
        return self._table

    def to_pandas(self) -> Any:
        """Return the rows of all samples as a :class:`pandas.DataFrame`, with the columns of :meth:`to_arrow`."""
        return self._table.to_pandas()

    def save(self, folder: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write what ``auditor audit --out`` writes: documents, reports, the table of samples and the scores.

        Parameters
        ----------
        folder : path
        overwrite : bool
            Replace an audit of another model or of other texts that lies there.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ConfigError, ResultError
            If it cannot be written, or holds another audit.
        """
        out = Path(folder)
        if self.folder is not None and out.resolve() == self.folder.resolve():
            return out
        prepare_folder(out)
        earlier = None if overwrite else find_earlier(out)
        if earlier is not None and not _is_same_audit(earlier.result, self.result):
            raise ConfigError(f"{out} holds another audit; choose another folder, or say overwrite=True")
        (out / "gates.json").unlink(missing_ok=True)
        if self._done is None:
            assert self.folder is not None
            for name in (*OUTPUTS, CHECKSUMS):
                if (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, out / name)
            return out
        write_audit(self._done, out, scores=self._scores)
        return out

    def gate(
        self, policy: "str | PathLike[str] | Policy | None" = None, *, baseline: "Audit | None" = None
    ) -> GateReport:
        """Hold the audit against a policy, as ``auditor gate`` does.

        Parameters
        ----------
        policy : path or Policy, optional
            A TOML file; the built-in policy if none is given.
        baseline : Audit, optional
            An earlier audit to compare with, for gates on ``change.*``.

        Returns
        -------
        GateReport
            ``passed`` says whether every gate was kept to, ``exit_code`` what the command would return.

        Raises
        ------
        ConfigError, ResultError
            If the policy cannot be read or asks for what is not there.
        """
        if policy is None:
            policy = built_in_policy()
        elif not isinstance(policy, Policy):
            policy = read_policy(Path(policy))
        data = RENDERERS["json"](self._written.result).encode()
        judged = read_judged(data, str(self.folder / "result.json") if self.folder else "an audit in memory")
        if self.folder is not None:
            judged = with_checksums(judged, self.folder / "result.json")
        if baseline is not None:
            judged = with_changes(judged, baseline.compare(self))
        return judge(policy, judged, today=datetime.now(UTC).date())

    def compare(self, other: "Audit", *, confidence: float = 0.95) -> AuditComparison:
        """Say what changed from this audit to another one, text by text where the texts are the same.

        Parameters
        ----------
        other : Audit
            The newer one.
        confidence : float
            Level of every interval.

        Raises
        ------
        ConfigError, ResultError
            If the level is out of range, or nothing was measured by both.
        """
        return compare_folders(self._written, other._written, level=confidence)

    @property
    def _written(self) -> AuditedFolder:
        """The audit as a folder would hold it."""
        if self.folder is not None:
            return read_folder(self.folder)
        return AuditedFolder(
            path=Path("an audit in memory"),
            result=self.result,
            result_sha256=sha256(RENDERERS["json"](self.result).encode()).hexdigest(),
            samples=self.samples,
            is_vouched_for=False,
        )

    def plot_roc(self, *, log: bool = True, axes: "Axes | None" = None) -> "Axes":
        """Draw the ROC curve of every attack.

        Parameters
        ----------
        log : bool
            Both axes logarithmic, where the attacks that matter differ.
        axes : matplotlib.axes.Axes, optional
            Where to draw; new ones if not given.

        Raises
        ------
        ResultError
            If there is no curve, such as without non-members.
        """
        from reports.plots.audit_axes import draw_roc

        return draw_roc(self.result, axes, log=log)

    def plot_bits(self, *, axes: "Axes | None" = None) -> "Axes":
        """Draw how many bits the target holds of each text, members beside non-members (target bits: no reference).

        Parameters
        ----------
        axes : matplotlib.axes.Axes, optional
            Where to draw; new ones if not given.
        """
        from reports.plots.audit_axes import draw_bits

        return draw_bits(self.result, self.samples, axes)

    def plot_attacks(self, *, axes: "Axes | None" = None) -> "Axes":
        """Draw the AUC of every attack with its interval.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, optional
            Where to draw; new ones if not given.

        Raises
        ------
        ResultError
            If no attack has an AUC, such as without non-members.
        """
        from reports.plots.audit_axes import draw_attacks

        return draw_attacks(self.result, axes)

    def plot_tokens(self, sample_id: str, *, show_text: bool = False, axes: "Axes | None" = None) -> "Axes":
        """Draw which tokens of one text hold its bits: those that the target saves over the reference.

        Parameters
        ----------
        sample_id : str
            As in the table of samples.
        show_text : bool
            Name the tokens beneath the bars; off, as texts are what is being protected.
        axes : matplotlib.axes.Axes, optional
            Where to draw; new ones if not given.

        Raises
        ------
        ResultError
            If there is no such sample, or its token scores are not at hand: those of an audit that was read from a
            folder are not.
        """
        from reports.plots.audit_axes import draw_tokens

        if self._done is None or self._done.collected is None:
            raise ResultError(
                "the scores of single tokens are not read with an audit; run auditor.audit with out= the same folder, "
                "which scores nothing twice"
            )
        if sample_id not in self.samples.sample_id:
            raise ResultError(f"no sample {ascii(sample_id)[:80]} in this audit; ids are in its table (sample_id)")
        collected, place = self._done.collected, self.samples.sample_id.index(sample_id)
        signals = collected.read(slice(place, place + 1))
        names = None
        if show_text:
            ids = collected.plan.passes[0].scored_ids([place])
            names = [collected.models[0].files.tokenizer.decode([int(one)]) for one in ids]
        target = -signals.target.logprob.astype(np.float64) / np.log(2)  # (n_tokens,) bits
        reference = None
        if signals.references and signals.aligned:
            reference = -signals.reference_token_logprob / np.log(2)
        return draw_tokens(sample_id, target, reference, names, axes)


def audit(
    target: Any,
    *,
    reference: Any = None,
    members: Any,
    non_members: Any = None,
    tokenizer: Any = None,
    reference_tokenizer: Any = None,
    attacks: Iterable[Any] = (),
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool | Watch = True,
    **settings: Any,
) -> Audit:
    """Audit a target: what does it remember of its members, and who could tell?

    The numbers are those of ``auditor audit`` to the last bit: both call the same functions.

    Parameters
    ----------
    target : path, id, transformers.PreTrainedModel or peft.PeftModel
        The audited model. One in memory must be in evaluation mode (``model.eval()``); it is scored where it is and as
        it is, and comes back with its modes, gradients and device as they were, and all random states with it.
    reference : the same, or a list of these, optional
        Models that never saw the members. Of a PEFT model in memory it is its base, the adapter switched off, if none
        is given.
    members, non_members : texts
        What the target was trained on, and texts of the same distribution that it was not: a list of strings (or of
        dicts), a dict of columns, a ``datasets.Dataset``, a pandas or polars frame, an Arrow table, or a path or id as
        on the command line. Tables have a column ``text`` (or ``text_field``) and may have ``id``, ``group`` and
        ``copies``. Texts are spooled to a temporary file in batches; a table is never copied whole.
    tokenizer : tokenizer or path, optional
        Needed for a model in memory; a copy of it is used.
    reference_tokenizer : the same, optional
        Of references; that of the target if not given.
    attacks : list, optional
        Names (``"min_k:k=0.1"``), functions of signals, and classes derived from :class:`attacks.Attack` or instances
        of these. All built-in ones that the inputs allow if none is given.
    out : path, optional
        Folder that is written as the command writes it. Without one, scores are kept in a private temporary folder for
        as long as the audit is.
    overwrite : bool
        Replace an audit of another model or of other texts in ``out``.
    progress : bool or callable
        Show a bar on a terminal or in a notebook; or a function that is told of every batch.
    **settings
        Every other key of docs/config.md (``max_tokens=256``, ``seed=1``, ``include_text=True``). ``shots``,
        ``member_shots`` and ``frequency_corpus`` may be texts in memory, ``retrained`` a model.

    Returns
    -------
    Audit

    Raises
    ------
    AuditError
        In one line, with the words of the command line: what was given, what is allowed, what to do. A model in
        training mode, on another device than ``device`` says or without a tokenizer, a list of unequal kinds, a frame
        without the column and a data set that streams are such.

    Notes
    -----
    Many parameters: this is the public interface, whose only required ones are the target and the members.

    Examples
    --------
    >>> import auditor
    >>> found = auditor.audit(model, tokenizer=tokenizer, members=members, non_members=others)  # doctest: +SKIP
    >>> found.to_pandas()["target_bits"].mean()  # doctest: +SKIP
    """
    settings = settings if non_members is None else settings | {"non_members": non_members}
    with unnoticed():
        asked = settled(
            target,
            reference=reference,
            members=members,
            tokenizer=tokenizer,
            reference_tokenizer=reference_tokenizer,
            attacks=attacks,
            settings=settings,
        )
        config, given = asked.config, asked.given
        place = None if out is None else Path(out)
        replaces = None
        if place is not None:
            prepare_folder(place)
            replaces = None if overwrite else find_earlier(place)
        folder = place / "scores" if place else Path(mkdtemp(prefix="auditor-scores-"))
        try:
            with undisturbed(*(held.model for held in given.models.values())), shown(progress) as on_progress:
                done = pipeline.audit(
                    config, scores_folder=folder, on_progress=on_progress, replaces=replaces, given=given
                )
        except BaseException:
            if place is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        if place is not None:
            (place / "gates.json").unlink(missing_ok=True)
            done = write_audit(done, place)
    found = Audit(result=done.result, samples=done.samples, folder=place, _done=done, _scores=folder)
    if place is None:
        finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def read_audit(folder: str | PathLike[str]) -> Audit:
    """Read an audit that ``auditor audit --out`` or :meth:`Audit.save` wrote.

    Parameters
    ----------
    folder : path
        Or the ``result.json`` in it.

    Raises
    ------
    ResultError
        If a file is missing, damaged, or not of this audit.
    """
    found = read_folder(Path(folder))
    return Audit(result=found.result, samples=found.samples, folder=found.path)


def _is_same_audit(before: AuditResult, now: AuditResult) -> bool:
    """Whether two documents are of one model and of the same texts."""
    sides = [(one.data.members.sha256, one.data.non_members and one.data.non_members.sha256) for one in (before, now)]
    weights = [one.provenance.models[0].weights_sha256 for one in (before, now)]
    return sides[0] == sides[1] and weights[0] == weights[1]
