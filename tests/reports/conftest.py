"""Fixtures of the hand-made audits, one for each situation that a report must survive."""

from collections.abc import Callable

import pytest

from auditor.documents.result import AuditResult
from helpers_audits import BUILDERS, HOSTILE, build, build_full, build_hostile, build_poisoned


@pytest.fixture
def normal() -> AuditResult:
    return build()


@pytest.fixture
def full() -> AuditResult:
    return build_full()


@pytest.fixture
def hostile() -> AuditResult:
    return build_hostile()


@pytest.fixture
def hostile_text() -> str:
    return HOSTILE


@pytest.fixture
def poisoned() -> Callable[[str], AuditResult]:
    return build_poisoned


@pytest.fixture
def results() -> dict[str, AuditResult]:
    """Every hand-made audit by its name."""
    return {name: builder() for name, builder in BUILDERS.items()}


@pytest.fixture(params=list(BUILDERS))
def any_result(request: pytest.FixtureRequest) -> AuditResult:
    return BUILDERS[request.param]()
