"""Splits of a corpus into members and non-members, drawn at random."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ..config import DataSpec
from ..documents.coins import COINS, Coins, coin, commitment, new_coins, of_group, of_text, write_coins
from ..documents.files import sealed, to_text, whole_file
from ..documents.salt import Salt
from ..documents.split import SplitManifest, SplitSide
from ..errors import ConfigError, DataError
from ..stats.clusters import cluster_ids
from ..version import __version__
from . import Sample, SampleSet, load_corpus
from .near_duplicates import ChosenTexts, near_duplicate_pairs

__all__ = ["FILES", "Split", "make_split", "unit_name", "write_split"]


FILES = ("members.jsonl", "non_members.jsonl", "holdout.jsonl", "manifest.json", COINS)

FAIR = 0.5
"""Share of members that coins give, and that is drawn without them where nothing else is asked for."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A manifest, the rows of the corpus that each part holds, by the part's name, and the coins that drew them."""

    manifest: SplitManifest
    corpus: SampleSet
    rows: dict[str, Rows]
    coins: Coins | None = None

    def salted(self, salt: Salt) -> "Split":
        """Key all hashes of the manifest."""
        manifest = self.manifest
        sides = {
            name: replace(side, text_sha256=tuple(map(salt.keyed, side.text_sha256)))
            for name in ("members", "non_members", "holdout")
            if (side := getattr(manifest, name)) is not None
        }
        keyed = replace(manifest, source_sha256=salt.keyed(manifest.source_sha256), salt=salt.name, **sides)
        return replace(self, manifest=sealed(keyed))


def make_split(
    source: DataSpec,
    *,
    member_share: float = FAIR,
    holdout_share: float = 0.0,
    near_duplicates: float | None = 0.8,
    by_group: bool = False,
    coins: bool = False,
    seed: int = 0,
) -> Split:
    """Split a corpus at random, after dropping copies and near-duplicates.

    Every unit, a text or with ``by_group`` all texts of a group, has the same chance to be on each side, so that
    nothing but training can tell the sides apart. With ``coins`` that chance is a fair coin of its own, from a secret
    that the manifest commits to: then an audit of the split bounds epsilon from below.

    Parameters
    ----------
    source : DataSpec
    member_share, holdout_share : float
        Shares of the texts that are kept; the non-members are the rest. With groups, as near as whole groups come.
    near_duplicates : float, in (0, 1], or None
        Jaccard similarity from which only the first of a cluster is kept; None keeps them all.
    by_group : bool
        Keep the texts of a group together. A text without a group is one of its own.
    coins : bool
        Throw an independent fair coin for each unit, instead of drawing sides of fixed sizes.
    seed : int, not negative
        Of the draw; with coins of the holdout alone.

    Raises
    ------
    ConfigError
        For shares, a similarity or a seed that are out of range.
    DataError
        If the corpus cannot be read, or is too small for the fewest texts on a side that an audit judges.
    """
    _check_options(member_share, holdout_share, near_duplicates, seed)
    if coins and member_share != FAIR:
        raise ConfigError(
            f"--coins are fair, so about half of the texts are members: leave --member-share out, got {member_share:g}"
        )
    corpus, notes = load_corpus(source)
    if corpus.form == "text" and corpus.others and any("text" in json.loads(one) for one in corpus.others):
        raise ConfigError(
            f"--text-field {source.text_field}: {source.path} has a column 'text' too, and that is what the parts name "
            "the column of the texts: rename one of the two"
        )
    if by_group and not any(corpus.groups):
        raise ConfigError("--by-group: no text has a group; name the unit of each text in a column `group`")
    distinct = np.unique(np.array(corpus.text_sha256), return_index=True)[1]
    distinct.sort()
    kept, n_unchecked = distinct, 0
    if near_duplicates is not None:
        pairs = near_duplicate_pairs(ChosenTexts(corpus.words, distinct), threshold=near_duplicates)
        kept = distinct[np.unique(pairs.clusters(), return_index=True)[1]]
        n_unchecked = pairs.n_unchecked
    if by_group and len({corpus.groups[row] for row in kept}) == 1:
        raise ConfigError(
            f"--by-group: all {len(corpus)} texts are of one group, which cannot be on two sides: give texts of more "
            "groups, or leave --by-group out"
        )
    units = [corpus.groups[row] if by_group else None for row in kept]
    thrown = new_coins() if coins else None
    if thrown is None:
        parts = _draw(units, (holdout_share, member_share), np.random.default_rng(seed))
    else:
        parts = _throw(corpus, kept, units, holdout_share, thrown.seed, np.random.default_rng(seed))
    rows = {name: kept[part] for name, part in zip(("holdout", "members", "non_members"), parts, strict=True)}
    for name in ("members", "non_members"):
        if rows[name].size < TOO_FEW_SAMPLES:
            n_dropped = len(corpus) - int(kept.size)
            left = f"that are left after dropping {n_dropped} copies and near-duplicates" if n_dropped else "there are"
            whole = f", and {len(set(units) - {None})} groups stay whole" if by_group else ""
            raise DataError(
                f"{name}: {rows[name].size} of the {kept.size} texts {left}{whole}; an audit needs at least "
                f"{TOO_FEW_SAMPLES} on each side: give more texts{' or groups' if by_group else ''}, or other shares"
            )
    manifest = SplitManifest(
        auditor_version=__version__,
        source=str(source),
        source_sha256=corpus.sha256(),
        seed=seed,
        member_share=member_share,
        holdout_share=holdout_share,
        by_group=by_group,
        near_duplicates=near_duplicates,
        n_texts_read=len(corpus),
        n_copies_dropped=len(corpus) - int(distinct.size),
        n_near_duplicates_dropped=int(distinct.size - kept.size),
        n_unchecked=n_unchecked,
        members=_side(corpus, rows["members"]),
        non_members=_side(corpus, rows["non_members"]),
        holdout=_side(corpus, rows["holdout"]) if rows["holdout"].size else None,
        notes=notes,
        coins_sha256=None if thrown is None else commitment(thrown.seed),
    )
    return Split(manifest=sealed(manifest), corpus=corpus, rows=rows, coins=thrown)


def write_split(split: Split, folder: Path) -> list[Path]:
    """Write the texts of each part as JSON lines with all their columns, the coins, and the manifest last.

    Returns the files; that of the coins is for its owner alone.

    Raises
    ------
    ResultError
        If one cannot be written.
    """
    files = []
    for name in ("members", "non_members", "holdout"):
        path = folder / f"{name}.jsonl"
        if not split.rows[name].size:
            path.unlink(missing_ok=True)  # of an earlier split, and in no manifest
            continue
        with whole_file(path) as partial, _for_json(partial) as file:
            file.writelines(_json_lines(split.corpus, split.rows[name]))
        files.append(path)
    secret = folder / COINS
    if split.coins is None:
        secret.unlink(missing_ok=True)
    else:
        with whole_file(secret) as partial:
            write_coins(split.coins, partial)
        files.append(secret)
    files.append(folder / "manifest.json")
    with whole_file(files[-1]) as partial:
        partial.write_text(to_text(split.manifest), encoding="utf-8", newline="\n")
    return files


def _check_options(member_share: float, holdout_share: float, near_duplicates: float | None, seed: int) -> None:
    """Refuse what no split can be made with."""
    if not 0 < member_share < 1:
        raise ConfigError(f"--member-share must lie between 0 and 1, both excluded, got {member_share:g}")
    if not 0 <= holdout_share < 1 - member_share:
        raise ConfigError(
            f"--holdout-share must be at least 0 and leave non-members beside a member share of {member_share:g}, "
            f"got {holdout_share:g}"
        )
    if near_duplicates is not None and not 0 < near_duplicates <= 1:
        raise ConfigError(f"--near-duplicates must be in (0, 1], or keep, got {near_duplicates:g}")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed must be in [0, 2**32), got {seed}")


def _draw(groups: Sequence[str | None], shares: Sequence[float], rng: np.random.Generator) -> list[Rows]:
    """Deal whole units, shuffled, to parts of these shares and a last one of the rest; places in order."""
    unit = cluster_ids(len(groups), groups)
    sizes = np.bincount(unit)
    order = rng.permutation(sizes.size)
    filled = np.concatenate([[0], np.cumsum(sizes[order])])
    wanted = np.cumsum(shares) * len(groups)
    ends = [int(np.abs(filled - target).argmin()) for target in wanted]  # the nearest that whole units come
    dealt = np.split(order, ends)
    return [np.flatnonzero(np.isin(unit, part)) for part in dealt]


def unit_name(sha256: str, group: str | None) -> str:
    """Name the unit of a text for its coin: its group, where that is what coins are thrown for, else the text."""
    return of_text(sha256) if group is None else of_group(group)


def _throw(
    corpus: SampleSet,
    kept: Rows,
    groups: Sequence[str | None],
    holdout_share: float,
    seed: str,
    rng: np.random.Generator,
) -> list[Rows]:
    """Set a holdout apart, then throw the coin of every other unit; return places of holdout, members, non-members."""
    held_out, rest = _draw(groups, (holdout_share,), rng)
    names = (unit_name(corpus.text_sha256[kept[place]], groups[place]) for place in rest)
    is_in = np.fromiter((coin(seed, name) for name in names), dtype=np.bool_, count=rest.size)
    return [held_out, rest[is_in], rest[~is_in]]


def _side(corpus: SampleSet, rows: Rows) -> SplitSide:
    """Describe one part."""
    named = {corpus.groups[row] for row in rows} - {None}
    return SplitSide(
        n_texts=int(rows.size),
        n_groups=len(named) or None,
        n_bytes=int(corpus.text_bytes[rows].sum()),
        text_sha256=tuple(corpus.text_sha256[row] for row in rows),
    )


def _for_json(path: Path) -> TextIO:
    """Open a file of JSON for writing; half of a surrogate pair, which UTF-8 cannot hold, becomes its escape."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")


def _json_line(sample: Sample) -> dict[str, object]:
    """Keep what a later audit reads, and every other column."""
    row: dict[str, object] = {"id": sample.id, **sample.columns(), "group": sample.group}
    if sample.copies is not None:
        row["copies"] = sample.copies
    return row if sample.others is None else row | json.loads(sample.others)


def _json_lines(corpus: SampleSet, rows: Rows) -> Iterable[str]:
    """Write a text a line."""
    for row in rows:
        sample = corpus[int(row)]
        yield json.dumps(_json_line(sample), ensure_ascii=False) + "\n"


TOO_FEW_SAMPLES = 20
