"""The plan of a bench: a TOML file read into targets, data sets, attacks and seeds, and every audit they make."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..config import AuditConfig
from ..errors import ConfigError
from ..toml_files import parse_toml, read_toml_text
from .public_sets import PUBLIC_SETS, PublicSet

__all__ = ["Bench", "DataEntry", "Target", "read_bench"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}")
_MOST_AUDITS = 10_000

_OF_TARGETS = {"target", "references", "adapter", "tokenizer", "reference_tokenizer", "retrained", "shadows"}
_OF_DATA = {"members", "non_members", "text_field", "split", "non_members_split", "shots", "member_shots"}
_OF_DATA |= {"frequency_corpus", "drop_ids", "score", "chat_template"}
_OF_BENCH = {"attacks", "seed", "headline"}
_NOT_OF_TWO_SIDES = {"split_manifest", "coins", "canaries", "delta", "guess_share"}
_SETTINGS = {field.name for field in fields(AuditConfig)} - _OF_TARGETS - _OF_DATA - _OF_BENCH - _NOT_OF_TWO_SIDES
_LIKE_TARGETS = {"train_samples", "train_tokens", "epochs", "fine_tuned", "bits_per_parameter", "capacity", "dtype"}
_LIKE_TARGETS |= {"calibration", "prefix_token", "max_tokens", "batch_tokens"}
_TABLES = {
    "": {"title", "seeds", "attacks", "headline", "settings", "targets", "data"},
    "settings": _SETTINGS,
    "targets": {"name"} | _OF_TARGETS | _LIKE_TARGETS,
    "data": {"name", "labelled", "label_field", "set", "part", "path", "tokenizer", "per_side"} | _OF_DATA,
}
"""Keys of each table of the file; all that are not of the bench alone are keys of an audit's configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A model to audit: its name in the bench, and keys of an audit's configuration."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataEntry:
    """A data set as the file names it.

    Parameters
    ----------
    name : str
    members, non_members : str or None
        Two sources of texts, or
    labelled : str or None
        one source of both, with a column that says which is which; of a public set where it lies here, or its id.
    label_field : str
    public : PublicSet or None
    part : str or None
        Of a public set.
    tokenizer : str or None
        What turns the token ids of a public set into text.
    text_field, split, non_members_split : str
    per_side : int or None
        Texts of each side that every seed draws; None takes all of them.
    options : mapping of str to any
        Further keys of an audit's configuration.
    """

    name: str
    members: str | None
    non_members: str | None
    labelled: str | None
    label_field: str
    public: PublicSet | None
    part: str | None
    tokenizer: str | None
    text_field: str
    split: str
    non_members_split: str
    per_side: int | None
    options: Mapping[str, Any]

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return "own texts" if self.public is None else f"{self.public.name} {self.part} ({self.public.paper})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that a bench asks for; an audit measures all attacks at once, so it is a target, data and a seed."""

    title: str
    targets: tuple[Target, ...]
    data: tuple[DataEntry, ...]
    seeds: tuple[int, ...]
    options: Mapping[str, Any]

    def config(
        self, target: Target, entry: DataEntry, seed: int, paths: tuple[str, str], reading: Mapping[str, str]
    ) -> AuditConfig:
        """Return the configuration of one audit, of two sides at these paths that are read by these keys.

        Raises
        ------
        ConfigError
            For what an audit would refuse, naming target and data.
        """
        options = {**self.options, **entry.options, **target.options, **reading, "seed": seed}
        options |= {"members": paths[0], "non_members": paths[1]}
        try:
            return AuditConfig.from_options(options)
        except ConfigError as error:
            raise ConfigError(f"target {target.name!r} on data {entry.name!r}: {error}") from error


def read_bench(path: Path) -> Bench:
    """Read the TOML file of a bench.

    Raises
    ------
    ConfigError
        In one line: what was given, what is allowed, what to do.
    """
    raw = parse_toml(read_toml_text(path, "bench"), f"the bench {path}")
    _refuse_unknown(raw, "")
    settings = raw.get("settings", {})
    if not isinstance(settings, dict):
        raise ConfigError("settings must be a table: [settings]")
    _refuse_unknown(settings, "settings")
    seeds = raw.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(one) is int and one >= 0 for one in seeds):
        raise ConfigError(f"seeds must be a list of whole numbers from 0 on such as [0, 1, 2], got {seeds!r:.80}")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be different ones, got {seeds!r:.80}")
    title = raw.get("title", path.stem)
    if not isinstance(title, str) or not title.strip():
        raise ConfigError(f"title must be a string, got {title!r:.80}")
    shared: dict[str, Any] = {key: raw[key] for key in ("attacks", "headline") if key in raw}
    bench = Bench(
        title=title,
        targets=tuple(_target(table) for table in _entries(raw, "targets")),
        data=tuple(_data(table) for table in _entries(raw, "data")),
        seeds=tuple(seeds),
        options={**settings, **shared},
    )
    n_audits = len(bench.targets) * len(bench.data) * len(bench.seeds)
    if n_audits > _MOST_AUDITS:
        raise ConfigError(f"the bench asks for {n_audits:,} audits, and at most {_MOST_AUDITS:,} are allowed: split it")
    for target in bench.targets:
        for entry in bench.data:
            bench.config(target, entry, 0, ("members", "non-members"), {})
    return bench


def _refuse_unknown(table: Mapping[str, Any], name: str) -> None:
    known = _TABLES[name]
    where = f"[[{name}]]" if name in ("targets", "data") else f"[{name}]" if name else "the top"
    for key in table:
        if key in known:
            continue
        better = [f"[[{one}]]" if one != "settings" else "[settings]" for one in _TABLES if one and key in _TABLES[one]]
        close = get_close_matches(key, sorted(known), n=1)
        hint = (
            f"it belongs into {' or '.join(better)}" if better
            else f"did you mean {close[0]!r}?" if close
            else f"known keys: {', '.join(sorted(known))}"
        )  # fmt: skip
        raise ConfigError(f"unknown key {key!r:.80} at {where} of the bench; {hint}")


def _entries(raw: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the tables of a list, each with a name of its own."""
    tables = raw.get(name)
    if not isinstance(tables, list) or not tables or not all(isinstance(one, dict) for one in tables):
        raise ConfigError(f"the bench names no {name}: give at least one table [[{name}]] with a name")
    seen: set[str] = set()
    for table in tables:
        _refuse_unknown(table, name)
        own = table.get("name")
        if not isinstance(own, str) or not _NAME.fullmatch(own):
            raise ConfigError(
                f"every [[{name}]] needs a name of letters, digits and . _ + - (it becomes a folder), got {own!r:.80}"
            )
        if own.casefold() in seen:
            raise ConfigError(f"two [[{name}]] are named {own!r}: rename one")
        seen.add(own.casefold())
    return tables


def _target(table: Mapping[str, Any]) -> Target:
    if "target" not in table:
        raise ConfigError(f"target {table['name']!r} names no model: give target = a folder or an id")
    return Target(name=table["name"], options={key: value for key, value in table.items() if key != "name"})


def _data(table: Mapping[str, Any]) -> DataEntry:
    """Read one data set: two sources, one labelled source, or a public set."""
    name = table["name"]
    own = {"members", "non_members"} & table.keys()
    forms = [bool(own), "labelled" in table, "set" in table]
    if sum(forms) != 1:
        raise ConfigError(
            f"data {name!r} must be one of three: members and non_members, labelled (with label_field), or set "
            "(with part)"
        )
    if own and len(own) < 2:
        raise ConfigError(
            f"data {name!r} has no {({'members', 'non_members'} - own).pop()}: attacks are measured by both sides; "
            "of one source with a column of labels give labelled and label_field"
        )
    for key in ("members", "non_members", "labelled", "label_field", "set", "part", "path", "tokenizer", "text_field",
                "split", "non_members_split"):  # fmt: skip
        if not isinstance(table.get(key, ""), str):
            raise ConfigError(f"data {name!r}: {key} takes a string, got {table[key]!r:.80}")
    per_side = table.get("per_side")
    if per_side is not None and (type(per_side) is not int or per_side < 1):
        raise ConfigError(f"data {name!r}: per_side must be a whole number from 1 on, got {per_side!r:.80}")
    public = _public(table) if "set" in table else None
    allowed = {
        "set": ("part", "path", *(("tokenizer",) if public is not None and public.holds_tokens else ())),
        "labelled": ("label_field", "text_field", "split"),
        "members": ("text_field", "split", "non_members_split"),
    }[next(key for key in ("set", "labelled", "members") if key in table)]
    for key in ("label_field", "part", "path", "tokenizer", "text_field", "split", "non_members_split"):
        if key in table and key not in allowed:
            raise ConfigError(f"data {name!r}: {key} means nothing here; give {', '.join(allowed)}")
    split = table.get("split", "train")
    text_field, label_field = table.get("text_field", "text"), table.get("label_field", "label")
    part = table.get("part")
    if public is not None:
        text_field, label_field = public.text_field, public.label_field or "label"
        split = public.split.format(part=part)
    taken = set(_TABLES["data"]) - (_OF_DATA - {"members", "non_members", "text_field", "split", "non_members_split"})
    return DataEntry(
        name=name,
        members=table.get("members"),
        non_members=table.get("non_members"),
        labelled=table.get("path") if public is not None else table.get("labelled"),
        label_field=label_field,
        public=public,
        part=part,
        tokenizer=table.get("tokenizer"),
        text_field=text_field,
        split=split,
        non_members_split=table.get("non_members_split", split),
        per_side=per_side,
        options={key: value for key, value in table.items() if key not in taken},
    )


def _public(table: Mapping[str, Any]) -> PublicSet:
    name, chosen, part = table["name"], table["set"], table.get("part")
    if chosen not in PUBLIC_SETS:
        raise ConfigError(f"data {name!r}: set must be one of {', '.join(PUBLIC_SETS)}, got {chosen!r:.80}")
    found = PUBLIC_SETS[chosen]
    if part not in found.parts:
        close = get_close_matches(str(part), found.parts, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        given = "none" if part is None else f"{part!r:.80}"
        raise ConfigError(f"data {name!r}: part must be one of {', '.join(found.parts)}, got {given}{hint}")
    if found.holds_tokens and "tokenizer" not in table:
        raise ConfigError(
            f"data {name!r}: {found.name} holds token ids; give tokenizer = the folder or id of the model "
            "that they are of"
        )
    return found
