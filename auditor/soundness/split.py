"""The check of a split's manifest: whether the audited sides are those that were drawn, by coins or not."""

from pathlib import Path

from ..data import SampleSet
from ..data.quoting import counted
from ..data.splits import unit_name
from ..documents.coins import COINS, Coins, coin, commitment, read_coins
from ..documents.result import CheckResult
from ..documents.salt import Salt
from ..documents.split import SplitManifest, read_manifest
from ..errors import ConfigError

__all__ = ["check_coins", "check_manifest", "check_salt", "committed_coins", "known_texts"]


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


def committed_coins(manifest: SplitManifest, path: Path, given: Path | None) -> Coins | None:
    """Read the secret of the coins that a split committed to; None if it threw none, or they are not revealed.

    Parameters
    ----------
    manifest : SplitManifest
    path : Path
        Of the manifest; the secret is looked for beside it.
    given : Path or None
        Where the secret is, if not there.

    Raises
    ------
    ConfigError
        If coins are given and the split threw none, or they are not those that it committed to.
    """
    if manifest.coins_sha256 is None:
        if given is not None:
            raise ConfigError(f"--coins {given}: the split of {path} threw no coins; leave it out")
        return None
    secret = given or (path if path.is_dir() else path.parent) / COINS
    if given is None and not secret.exists():
        return None
    coins = read_coins(secret)
    if commitment(coins.seed) != manifest.coins_sha256:
        raise ConfigError(
            f"the coins {secret} are not those that the split manifest {path} committed to: give the {COINS} that "
            "`auditor split --coins` wrote with it"
        )
    return coins


def known_texts(manifest: SplitManifest, data: SampleSet, salt: Salt | None) -> list[int]:
    """Return the places of the audited texts that the manifest put on a side."""
    known = frozenset((*manifest.members.text_sha256, *manifest.non_members.text_sha256))
    hashes = data.text_sha256 if salt is None else tuple(map(salt.keyed, data.text_sha256))
    return [place for place, key in enumerate(hashes) if key in known]


def check_coins(manifest: SplitManifest, coins: Coins, data: SampleSet, salt: Salt | None) -> None:
    """Refuse a manifest that puts audited texts on another side than their coins.

    Raises
    ------
    ConfigError
        With their number, or if the groups that coins were thrown for are missing.
    """
    places = known_texts(manifest, data, salt)
    if manifest.by_group and places and not any(data.groups[place] for place in places):
        raise ConfigError("the split threw a coin for each group, and no text has one: keep the column `group`")
    members = frozenset(manifest.members.text_sha256)
    hashes = data.text_sha256 if salt is None else tuple(map(salt.keyed, data.text_sha256))
    wrong = sum(
        coin(coins.seed, unit_name(data.text_sha256[place], data.groups[place] if manifest.by_group else None))
        != (hashes[place] in members)
        for place in places
    )
    if wrong:
        raise ConfigError(
            f"the split manifest puts {counted(wrong, 'text')} of {len(places)} on another side than their coins: it, "
            "the texts or their groups were changed after the split; give them as `auditor split --coins` wrote them"
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
