"""Generalization: by hand, as an identity, against what a known source allows, and with intervals that hold."""

import lzma
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from auditor.documents.result import MemorizationResult
from auditor.estimates.code_lengths import SampleBits
from auditor.estimates.generalization import KnowledgeBits, lzma_bits, split_knowledge, uniform_bits
from auditor.estimates.memorization import dataset_memorization
from auditor.laws.capacity import BitsPerParameter


def knowledge(target: list[float], reference: list[float], uniform: list[float], lzma_: list[float]) -> KnowledgeBits:
    bits = SampleBits(target=np.array(target), reference=np.array(reference))
    return KnowledgeBits(bits=bits, uniform=np.array(uniform), lzma=np.array(lzma_))


def split(of: KnowledgeBits, is_member: np.ndarray, *, level: float = 0.95) -> MemorizationResult:
    n = len(is_member)
    found = dataset_memorization(
        of.bits, is_member, groups=None, n_tokens=np.full(n, 10), n_bytes=np.full(n, 50), n_references=1,
        n_parameters=1000, capacity=BitsPerParameter(3.5, "test"), level=level, rng=np.random.default_rng(0),
        samples=(),
    )  # fmt: skip
    return split_knowledge(found, of, is_member, groups=None, level=level)


def test_by_hand() -> None:
    # a: target 20 of 90 bits, reference 50: saves 70, of which 40 are shared and 30 not.
    # b: target 60, reference 45: saves 30, all of it shared (the reference saves more).
    # c, a non-member: target 70, reference 55: saves 20, shared 20.
    of = knowledge([20.0, 60.0, 70.0, 70.0], [50.0, 45.0, 55.0, 55.0], [90.0] * 4, [100.0, 80.0, 90.0, 90.0])
    np.testing.assert_allclose(of.saved, [70, 30, 20, 20])
    np.testing.assert_allclose(of.generalization, [40, 30, 20, 20])
    np.testing.assert_allclose(of.generalization_beyond_lzma, [50, 20, 20, 20])
    found = split(of, np.array([True, True, False, False]))
    estimates = {
        "uniform_bits_per_member": 90, "saved_bits_per_member": 50, "generalization_bits_per_member": 35,
        "generalization_bits_per_non_member": 20, "saved_total_bits": 100, "generalization_total_bits": 70,
        "lzma_bits_per_member": 90, "generalization_beyond_lzma_bits_per_member": 35,
    }  # fmt: skip
    assert {name: getattr(found, name).value for name in estimates} == pytest.approx(estimates)


@given(arrays(np.float64, (3, 20), elements=st.floats(0, 1e4)))
def test_what_is_saved_is_shared_or_memorized(lengths: np.ndarray) -> None:
    target, reference, uniform = lengths
    of = KnowledgeBits(bits=SampleBits(target=target, reference=reference), uniform=uniform, lzma=uniform)
    np.testing.assert_allclose(of.generalization + of.bits.memorized, of.saved, atol=1e-8)
    swapped = KnowledgeBits(bits=SampleBits(target=reference, reference=target), uniform=uniform, lzma=uniform)
    np.testing.assert_array_equal(of.generalization, swapped.generalization)  # what two share has no direction


def test_uniform_code() -> None:
    np.testing.assert_array_equal(uniform_bits(np.array([0, 3]), 1024), [0.0, 30.0])


def test_lzma_against_a_file_of_it() -> None:
    text = "the same words again and again, " * 40
    whole = 8 * len(lzma.compress(text.encode(), preset=6))
    (bits,) = lzma_bits([text])
    assert whole - 8 * 72 <= bits < whole  # a file has a header, an index and a checksum besides: under 72 bytes
    short, empty = lzma_bits(["a1Zq", ""])
    assert 8 * 4 < short <= 8 * (4 + 4)
    assert empty == 8


def test_a_share_of_nothing_is_not_given() -> None:
    of = knowledge([90.0, 91.0, 89.0], [90.0, 90.0, 90.0], [90.0] * 3, [90.0] * 3)
    share = split(of, np.array([True, True, True])).generalization_share
    assert share is not None
    assert share.value is None
    assert "may save nothing" in (share.undefined_reason or "")


def test_without_non_members_their_part_is_undefined() -> None:
    of = knowledge([20.0, 60.0, 30.0], [50.0, 45.0, 40.0], [90.0] * 3, [90.0] * 3)
    found = split(of, np.ones(3, dtype=np.bool_))
    assert found.generalization_bits_per_non_member is not None
    assert found.generalization_bits_per_non_member.undefined_reason == "no non-members were given"
    assert found.generalization_bits_per_member is not None
    assert found.generalization_bits_per_member.value == pytest.approx((40 + 30 + 50) / 3)


def test_no_code_beats_the_source_on_fresh_texts() -> None:
    # tokens of a source of 2 bits each, alphabet of 16: the true code is the best reference, and whatever a target
    # does, no more than 4 - 2 bits per token can be shared.
    rng = np.random.default_rng(0)
    source = np.array([0.5, 0.25, 0.125, 0.0625, *[0.0625 / 12] * 12])
    tokens = rng.choice(16, size=(400, 30), p=source)
    entropy = 30 * float(-(source * np.log2(source)).sum())
    target = rng.dirichlet(50 * source)
    of = KnowledgeBits(
        bits=SampleBits(target=-np.log2(target)[tokens].sum(1), reference=-np.log2(source)[tokens].sum(1)),
        uniform=uniform_bits(np.full(400, 30), 16), lzma=np.zeros(400),
    )  # fmt: skip
    assert of.generalization.mean() < 30 * math.log2(16) - entropy + 3 * of.generalization.std() / 20
    assert of.bits.memorized.mean() < 3  # noise alone, rectified


@pytest.mark.parametrize("seed", range(3))
def test_intervals_of_the_share_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(200):
        target = rng.gamma(8, 10, 60)
        reference = target + rng.normal(10, 15, 60)
        of = KnowledgeBits(
            bits=SampleBits(target=target, reference=reference), uniform=np.full(60, 300.0), lzma=np.zeros(60)
        )
        share = split(of, np.ones(60, dtype=np.bool_)).generalization_share
        assert share is not None
        # E max(0, N(10, 15)) = 10 Phi(2/3) + 15 phi(2/3) = 12.267; saved 300 - 80
        held += (share.low or 0) <= 1 - 12.2668 / 220 <= (share.high or 0)
    assert held >= 184  # of 200 at 95%: fewer have a chance of 4 in 10,000
