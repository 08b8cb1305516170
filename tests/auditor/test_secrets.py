"""Secrets: spaces, patterns, the tree of fills against a plain loop, and exposure against values worked out by hand."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from auditor.config import AuditConfig, DataSpec
from auditor.engine.fills import FillTrie, GapReader, fill_tokens
from auditor.engine.models import OpenedModel, open_models
from auditor.errors import ConfigError, DataError
from auditor.estimates.secrets import Scored, rank_secret, with_verdicts
from auditor.secrets.auditing import SecretPlan, audit_secrets
from auditor.secrets.finding import find_secrets
from auditor.secrets.patterns import PATTERNS, find, own_space
from auditor.secrets.spaces import Space
from auditor.stats.exposure import exact_null_mean, exposure, fitted_exposure, null_mean, skew_normal_logcdf
from helpers import naive_logprobs, write_jsonl
from helpers_engine import load_plainly

IBAN, CARD = "DE89370400440532013000", "4111 1111 1111 1111"
"""The examples of the standard and of every payment processor."""


# Exposure


@pytest.mark.parametrize(
    ("perplexity", "bits"), [(0.0, 4.0), (0.1, 4.0), (3.5, 2.0), (20.0, math.log2(16 / 17)), (3.0, 2.0)]
)
def test_exposure_among_sixteen_by_hand(rng: np.random.Generator, perplexity: float, bits: float) -> None:
    """References 1 to 16: at 3.5, and at 3 with its tie, three stand before it: 4 - log2 4."""
    references = rng.permutation(np.arange(1.0, 17.0))
    assert exposure([-perplexity], -references)[0] == pytest.approx(bits)


def test_null_means_are_those_of_uniform_ranks() -> None:
    assert [round(null_mean(n), 4) for n in (10, 100, 1000)] == [1.0264, 1.3822, 1.4349]
    for n in (2, 3, 10, 1000):
        assert exact_null_mean(n) == pytest.approx(np.mean([math.log2(n / rank) for rank in range(1, n + 1)]))
    assert exact_null_mean(10**6) == pytest.approx(1 / math.log(2), abs=1e-4)


@pytest.mark.parametrize(
    ("x", "shape"), [(-3.0, 0.0), (-9.0, 0.0), (-30.0, 0.0), (-4.0, 3.0), (-9.0, 1.5), (-0.5, -4.0)]
)
def test_skew_normal_tail_is_the_integral_of_its_density(x: float, shape: float) -> None:
    if shape == 0:
        assert skew_normal_logcdf(x, shape) == pytest.approx(stats.norm.logcdf(x), rel=1e-9)
        return
    density = lambda at: 2 * stats.norm.pdf(at) * stats.norm.cdf(shape * at)  # noqa: E731
    mass, _ = integrate.quad(density, x - 12, x, epsabs=0, epsrel=1e-10, limit=500)
    assert skew_normal_logcdf(x, shape) == pytest.approx(math.log(mass), rel=1e-6)


def test_fit_marks_what_no_reference_speaks_for(rng: np.random.Generator) -> None:
    references = rng.normal(size=4000)
    within, beyond = fitted_exposure(1.0, references), fitted_exposure(9.0, references)
    assert within.bits == pytest.approx(-stats.norm.logsf(1.0) / math.log(2), abs=0.15)
    assert within.extrapolated_bits == 0
    assert within.distance < 0.03
    assert beyond.extrapolated_bits == pytest.approx(beyond.bits - math.log2(4000))
    with pytest.raises(ValueError, match="not all alike"):
        fitted_exposure(1.0, np.ones(50))


def scored(target: list[float], **changes: Any) -> Scored:
    given = {"id": "s", "kind": "column", "n_characters": 4, "n_unknown": 4, "space_size": len(target), "exact": True}
    return Scored(**{**given, "target": np.array(target), "reference": None, **changes})


def test_exact_rank_has_no_interval_and_a_tie_goes_to_the_fill() -> None:
    """Of 8 members two are likelier and one is as likely: rank 4, 8/4 = 2: one bit."""
    found = rank_secret(scored([-3, -1, -2, -3, -4, -5, -6, -7]), level=0.95)
    assert (found.n_before, found.exposure.value, found.exposure.low, found.exposure.high) == (3, 1.0, 1.0, 1.0)
    assert "no interval" in found.exposure.method
    assert (found.p_value, found.largest_exposure) == (0.5, 3.0)
    assert found.null_exposure == pytest.approx(np.mean([math.log2(8 / rank) for rank in range(1, 9)]))
    assert found.not_fitted_reason is not None  # 7 fills
    assert found.target_bits == pytest.approx(3 / math.log(2))


def test_sampled_rank_has_the_interval_of_its_share() -> None:
    """None of 1,000 before it: the share is below 1 - .025^(1/1000), so the exposure above 8.08 bits."""
    found = rank_secret(scored([0.0, *np.linspace(-2, -1, 1000)], exact=False, space_size=2**30), level=0.95)
    assert found.exposure.value == pytest.approx(math.log2(1000))
    assert found.exposure.low == pytest.approx(-math.log2(1 - 0.025 ** (1 / 1000)))
    assert found.exposure.high == 30.0
    assert found.null_exposure == null_mean(1000)
    assert found.p_value == pytest.approx(1 / 1001)


@pytest.mark.slow
@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.01, 0.99))
def test_sampled_rank_lies_in_its_interval(before: int, after: int, level: float) -> None:
    scores = [0.0, *[1.0] * before, *[-1.0] * after]
    one = rank_secret(scored(scores, exact=False, space_size=10**9), level=level).exposure
    assert one.low is not None
    assert one.high is not None
    assert one.low <= math.log2((before + after) / (1 + before)) + 1e-12
    assert one.high <= math.log2(10**9)


def test_reference_takes_away_what_anybody_guesses() -> None:
    """First under both models: 3 bits of exposure, of which the reference leaves none; 1 bit less is coded for it."""
    target, reference = [0.0, -1, -2, -3, -4, -5, -6, -7], [-math.log(2), -3, -4, -5, -6, -7, -8, -9]
    found = rank_secret(scored(target, reference=np.array(reference)), level=0.95)
    assert found.exposure.value == 3.0
    assert found.reference_exposure is not None
    assert found.reference_exposure.value == 3.0
    assert found.exposure_beyond_reference is not None
    assert found.exposure_beyond_reference.value == 0.0  # every fill gains more
    assert found.bits_beyond_reference == pytest.approx(1.0)
    assert found.p_value == 1.0


def test_several_secrets_are_corrected_for() -> None:
    """p = 1/40 and 1/2: Holm doubles the first, to .05, which is held; alone it needs less."""
    one, other = (scored([0.0, *[1.0] * n, *[-1.0] * (39 - n)], id=str(n)) for n in (0, 19))
    found = with_verdicts([rank_secret(x, level=0.95) for x in (other, one)], level=0.95)
    assert [(x.id, x.p_value_holm, x.held) for x in found] == [("0", 0.05, True), ("19", 0.5, False)]


# Spaces and patterns


def test_spaces_hold_every_string_with_right_check_digits() -> None:
    """The last two digits of the standard's example card: ten pairs of a hundred pass, 11 among them."""
    space = Space((*"411111111111111", "0123456789", "0123456789")).reduced(CARD.replace(" ", "") + "1", 2)
    assert space.size == 100
    checked = Space((*CARD[:-2], "0123456789", "0123456789"), "luhn")
    members = list(checked.members())
    assert (checked.size, len(members), len(set(members))) == (10, 10, 10)
    assert CARD in members
    assert all(slow_luhn(one) for one in members)
    iban = Space((*IBAN[:2], "0123456789", "0123456789", *IBAN[4:-1], "0123456789"), "mod97")
    found = list(iban.members())
    assert (iban.size, len(found), IBAN in found) == (10, 10, True)
    assert all(slow_mod97(one) for one in found)


def slow_luhn(text: str) -> bool:
    digits = [int(one) for one in text if one.isdigit()][::-1]
    return sum(sum(divmod(2 * digit, 10)) if i % 2 else digit for i, digit in enumerate(digits)) % 10 == 0


def slow_mod97(text: str) -> bool:
    text = text.replace(" ", "")
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1


@given(st.lists(st.sampled_from(["01", "ab", "7", "xyz", "-"]), min_size=1, max_size=6))
def test_members_are_the_product(alphabets: list[str]) -> None:
    space = Space(tuple(alphabets))
    members = list(space.members())
    assert members == ["".join(one) for one in itertools.product(*alphabets)]
    assert len(members) == space.size


@pytest.mark.parametrize("kind", ["iban", "card", "email", "key", "phone"])
def test_drawn_fills_have_the_form_that_the_pattern_finds(kind: str, rng: np.random.Generator) -> None:
    secret = {
        "iban": "GB82 WEST 1234 5698 7654 32",
        "card": CARD,
        "email": "anna.meier7@example.org",
        "key": "sk-aB3dE5gH7jK9mN1pQ3",
        "phone": "+49 170 1234567",
    }[kind]
    space = PATTERNS[kind].space(secret)
    drawn = space.draw(300, rng)
    assert len(set(drawn)) > 290
    assert all(all(char in alphabet for char, alphabet in zip(one, space.alphabets, strict=True)) for one in drawn)
    for one in drawn:
        assert [place.kind for place in find(f"so {one} it is", (kind,))] == [kind]
    if kind in ("iban", "card"):
        assert all((slow_mod97 if kind == "iban" else slow_luhn)(one) for one in drawn)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"pay to {IBAN} by May", [("iban", IBAN)]),
        ("to ES91 2100 0418 4502 0005 1332 OR none", [("iban", "ES91 2100 0418 4502 0005 1332")]),
        (f"not {IBAN[:-1]}1 though", []),
        (f"card {CARD}, twice {CARD}", [("card", CARD)]),
        ("no card 4111 1111 1111 1112", []),
        ("write to a.b@c-d.example.com.", [("email", "a.b@c-d.example.com")]),
        ("call +1 415 555 2671 or (030) 123456-7", [("phone", "+1 415 555 2671"), ("phone", "(030) 123456-7")]),
        ("AKIAIOSFODNN7EXAMPLE1 and 9f8e7d6c5b4a39281706fedc", [("key", "AKIAIOSFODNN7EXAMPLE1"),
                                                              ("key", "9f8e7d6c5b4a39281706fedc")]),
        ("on 2026-11-29 at 12:30:15 we sold 1,000,000 of them", []),
        ("antidisestablishmentarianism", []),
    ],
)  # fmt: skip
def test_patterns_find_what_has_their_form(text: str, found: list[tuple[str, str]]) -> None:
    assert [(one.kind, text[one.start : one.stop]) for one in find(text, tuple(PATTERNS))] == found


def test_known_parts_of_secrets_do_not_vary() -> None:
    assert PATTERNS["card"].space(CARD).size == 10**9  # 10 of 16 digits, of which one is a check digit
    assert PATTERNS["iban"].space(IBAN).size == 10**18
    assert PATTERNS["phone"].space("+49 170 12").alphabets[:4] == ("+", "4", "9", " ")
    assert PATTERNS["email"].space("ab@c.de").size == 26**2
    assert PATTERNS["key"].space("ghp_0a1b2c3d4e5f6a7b").size == 16**16  # hexadecimal
    assert own_space("4-2a").size == 10 * 10 * 26
    assert own_space("4821").reduced("4821", 2).alphabets == ("4", "8", "0123456789", "0123456789")


def test_columns_name_secrets(tmp_path: Path) -> None:
    texts = ["pin 4821 of 4821", "pin 77 here", "nothing here", "pin 0012 too"]
    rows = [{"secret": "4821"}, {"secret_start": 4, "secret_end": 6}, {"secret": None}, {"secret": "0012"}]
    file = tmp_path / "texts.jsonl"
    file.write_text(
        "\n".join(json.dumps({"id": i, "text": t, **r}) for i, (t, r) in enumerate(zip(texts, rows, strict=True)))
    )
    corpus = find_secrets(DataSpec(path=str(file)))
    assert [(one.id, one.itself, one.before) for one in corpus.secrets] == [
        ("0", "4821", "pin "), ("1", "77", "pin "), ("3", "0012", "pin "),
    ]  # fmt: skip
    assert (corpus.n_texts, corpus.n_texts_without) == (4, 1)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"secret": "9173"}, "does not occur in its text"),
        ({"secret": 1.5}, "is no string"),
        ({"secret_start": 2}, "not both whole numbers"),
        ({"secret_start": 3, "secret_end": 99}, "do not lie within"),
        ({"secret": "--"}, "nothing else has its form"),
        ({"other": "x"}, "no secret in 1 texts"),
    ],
)
def test_bad_secrets_are_refused_in_one_line(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"id": "the-row", "text": "pin -- is zygomatic", **row}))
    with pytest.raises(DataError, match=says) as error:
        find_secrets(DataSpec(path=str(file)))
    assert "\n" not in str(error.value)
    assert "zygomatic" not in str(error.value)
    assert "9173" not in str(error.value)


# The tree of fills


def opened(folder: Path, **options: Any) -> tuple[OpenedModel, AuditConfig]:
    config = AuditConfig.from_options({"target": str(folder), "members": "none", **options})
    return open_models(config)[0], config


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=30), st.integers(1, 4))
def test_tree_holds_every_row_once(rows: list[list[int]], n: int) -> None:
    width = max(map(len, rows))
    padded = np.array([row + [-1] * (width - len(row)) for row in rows], dtype=np.int32)
    tree = FillTrie.of(padded, root=9)
    prefixes = {tuple(row[:i]) for row in rows for i in range(1, len(row) + 1)}
    assert tree.token.size == 1 + len(prefixes)
    for row, leaf in zip(rows, tree.leaf.tolist(), strict=True):
        path = []
        while leaf:
            path.append(int(tree.token[leaf]))
            leaf = int(tree.parent[leaf])
        assert path[::-1] == row
    pieces = list(tree.pieces(n))
    for piece in pieces:
        assert set(tree.parent[piece]) - {-1} <= set(piece.tolist())  # all that a node stands after is read with it
    assert set(np.concatenate(pieces)) == set(tree.parent[1:].tolist())


@pytest.mark.parametrize(("before", "after"), [("the pin of user is ", " and more"), ("pin:", ""), ("", " was it")])
def test_tree_ranks_as_a_plain_loop_does(tiny_models: dict[str, Path], before: str, after: str) -> None:
    """Brute force: every whole text read alone by plain transformers, its scored tokens summed in double precision."""
    model, config = opened(tiny_models["target"], prefix_token="0")
    fills = [f"{number:03d}" for number in range(0, 1000, 7)]
    found = GapReader(model, config).score(before, fills, after)
    assert found.path == "trie"
    plain, tokenizer = load_plainly(tiny_models["target"])
    tokens = fill_tokens(model.encoder, before, fills, after)
    expected = []
    for fill, row in zip(fills, tokens.rows.tolist(), strict=True):
        ids = tokenizer(before + fill + after, add_special_tokens=False)["input_ids"]
        kept = [*tokens.context, *(one for one in row if one >= 0)]
        assert ids[: len(kept)] == kept  # the tokens of the actual text
        assert fill in tokenizer.decode(kept)
        expected.append(sum(naive_logprobs(plain, [0, *kept], 1 + len(tokens.context))))
    np.testing.assert_allclose(found.logprob, expected, atol=2e-4)
    ranks = [int((scores >= scores[50]).sum()) for scores in (found.logprob, np.array(expected))]
    assert ranks[0] == ranks[1]


def test_model_that_takes_no_tree_is_read_one_by_one(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config = opened(tiny_models["target"])
    fills = [f"{number:02d}" for number in range(100)]
    right = GapReader(model, config).score("the pin is ", fills, " now")
    wrong = GapReader(model, config)
    by_trie = GapReader._by_trie
    monkeypatch.setattr(GapReader, "_by_trie", lambda *a: by_trie(*a) + 1.0)
    found = wrong.score("the pin is ", fills, " now")
    assert (right.path, found.path) == ("trie", "one by one")
    np.testing.assert_allclose(found.logprob, right.logprob, atol=1e-4)


def test_all_fills_are_scored_to_one_character(tiny_models: dict[str, Path]) -> None:
    """A token may reach over the end of the gap: then every fill is scored to the character where it ends."""
    model, _ = opened(tiny_models["target"])
    tokenizer = model.encoder.tokenizer

    def reaches_over(word: str) -> bool:
        """Whether a token begins in the gap, which is one character, and ends behind it."""
        offsets = tokenizer(f"x {word} and so on", return_offsets_mapping=True)["offset_mapping"]
        return any(start < 3 < stop for start, stop in offsets)

    words = (word for word in sorted(tokenizer.get_vocab()) if len(word) >= 3 and word.isalpha() and word.islower())
    merged = next(word for word in words if word.isascii() and reaches_over(word))
    fills = [merged[0], "q"]
    tokens = fill_tokens(model.encoder, "x ", fills, merged[1:] + " and so on")
    texts = [tokenizer.decode([*tokens.context, *(one for one in row if one >= 0)]) for row in tokens.rows.tolist()]
    tails = [text.split("x ", 1)[1][1:] for text in texts]
    assert tails[0] == tails[1]
    assert tails[0].startswith(merged[1:])


# The whole audit


def test_a_trained_secret_is_found_and_another_is_not(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    """Trained on one text until it knows it by heart: rank 1 of 10,000; the pin of another text ranks by chance."""
    import torch

    model, tokenizer = load_plainly(tiny_models["target"])
    text = "the pin of this user is 4821 and more"
    ids = torch.tensor([[0, *tokenizer(text)["input_ids"]]])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    folder = tmp_path / "trained"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    data = write_jsonl(tmp_path / "texts.jsonl", [text, "they say that it was 9173 or so"], secret=["4821", "9173"])
    config = AuditConfig.from_options(
        {
            "target": str(folder),
            "references": [str(tiny_models["reference"])],
            "members": str(data),
            "prefix_token": "0",
        }
    )
    found = audit_secrets(config, SecretPlan(data=DataSpec(path=str(data))))
    known, other = found.secrets
    assert (known.id, known.n_before, known.held) == ("s0", 0, True)
    assert known.exposure.value == pytest.approx(math.log2(10_000))
    assert known.extrapolated_bits is not None
    assert known.bits_beyond_reference is not None
    assert known.bits_beyond_reference > 10
    assert not other.held
    assert (found.n_held, found.n_secrets, found.n_first) == (1, 2, 1)


def test_fills_are_the_space_or_random(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "texts.jsonl", ["the pin is 482104421 now"], secret=["482104421"])
    spec = DataSpec(path=str(data))
    (secret,) = find_secrets(spec).secrets
    fills = SecretPlan(data=spec).fills_of(secret, np.random.default_rng(0))
    assert (fills[0], len(fills)) == ("482104421", 10_001)
    assert "482104421" not in fills[1:]
    (short,) = find_secrets(spec, n_unknown=3).secrets
    fills = SecretPlan(data=spec).fills_of(short, np.random.default_rng(0))
    assert sorted(fills) == [f"482104{number:03d}" for number in range(1000)]
    config = AuditConfig.from_options({"target": str(tiny_models["target"]), "members": str(data)})
    with pytest.raises(ConfigError, match=r"up to 2\^29.9: s0; leave --fills out"):
        audit_secrets(config, SecretPlan(data=spec, fills="exact"))
    with pytest.raises(ConfigError, match="from 10,000 to 1,000,000, got 99"):
        SecretPlan(data=spec, fills=99)
