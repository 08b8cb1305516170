"""The check of a split's manifest: whether the audited sides are those that were drawn at random."""

from pathlib import Path

from ..data import SampleSet
from ..documents.result import CheckResult
from ..documents.salt import Salt
from ..documents.split import SplitManifest, read_manifest
from ..errors import ConfigError

__all__ = ["check_manifest", "check_salt"]


FEW_OFFENDERS = 0.1
"""Share of the samples that may be worth leaving out; more of them are another data set."""

MOST_UNKNOWN = 0.5
"""Share of a side that may be unknown to the manifest; beyond it, the side is that of another split."""


def check_salt(manifest: SplitManifest, salt: Salt | None) -> None:
    """Refuse a manifest whose hashes cannot be compared with those of texts.

    Raises
    ------
    ConfigError
        If it was made with another salt, with one and none is given, or the other way round.
    """
    ours = None if salt is None else salt.name
    if manifest.salt != ours:
        raise ConfigError(
            f"the split manifest was made with salt {manifest.salt or 'none'}, and the audit has {ours or 'none'}; "
            "give the --salt of the split"
        )


def check_manifest(path: Path, data: SampleSet, salt: Salt | None = None) -> CheckResult:
    """Check that every audited text is on the side that the manifest put it on; subsets are fine.

    Texts are told by the hash of the whole text: one that was changed since is not in the manifest. A text on another
    side than there is a veto, and so is a side of which the manifest knows less than half, as the manifest then says
    nothing of it; a few texts that it does not know are a warning.

    Raises
    ------
    ResultError
        If the manifest cannot be read.
    """
    manifest = read_manifest(path)
    check_salt(manifest, salt)
    hashes = data.text_sha256 if salt is None else tuple(map(salt.keyed, data.text_sha256))
    members, non_members = (frozenset(side.text_sha256) for side in (manifest.members, manifest.non_members))
    holdout = frozenset(manifest.holdout.text_sha256 if manifest.holdout else ())
    wrong, held_out = list[str](), list[str]()
    unknown: dict[bool, list[str]] = {True: [], False: []}
    for sample_id, key, member in zip(data.ids, hashes, data.is_member, strict=True):
        if key in (members if member else non_members):
            continue
        if key in members or (member and key in non_members | holdout):
            wrong.append(sample_id)
        elif key in holdout:
            held_out.append(sample_id)
        else:
            unknown[bool(member)].append(sample_id)
    sizes = {True: int(data.is_member.sum()), False: int((~data.is_member).sum())}
    others = [
        name
        for name, member in (("members", True), ("non-members", False))
        if len(unknown[member]) > MOST_UNKNOWN * sizes[member]
    ]
    audited = set(hashes)
    detail = (
        f"audited {len(audited & members)} of {len(members)} members and {len(audited & non_members)} of "
        f"{len(non_members)} non-members of the manifest"
    )
    faults = {
        "on the other side of it": wrong,
        "not in it": [*unknown[True], *unknown[False]],
        "non-members of its holdout, which a reference or shots may have seen": held_out,
    }
    found = [f"{len(ids)} {fault}" for fault, ids in faults.items() if ids]
    if others:
        found.append(f"it is the manifest of another split: it does not know most {' and '.join(others)}")
    offenders = tuple(one for ids in faults.values() for one in ids)
    return CheckResult(
        name="split_manifest",
        verdict="veto" if wrong or others else "warn" if offenders else "pass",
        figure=float(len(offenders)),
        unit="samples not as in the manifest",
        detail="; ".join([detail, *found]),
        remedy="audit the files that `auditor split` wrote with it, each as the side it is" if offenders else None,
        sample_ids=offenders if len(offenders) <= FEW_OFFENDERS * len(data) else (),
    )
