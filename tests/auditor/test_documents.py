"""Documents: every field described, unknown keys and numbers that are not finite refused."""

import importlib
import json
import pkgutil
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

import auditor.documents
import auditor.packs.manifest
from auditor.documents.estimate import Estimate
from auditor.documents.sample_table import SampleTable

DOCS = Path(__file__).parents[2] / "docs"
MODULES = [
    importlib.import_module(f"auditor.documents.{found.name}")
    for found in pkgutil.iter_modules(auditor.documents.__path__)
] + [auditor.packs.manifest]
IN_MEMORY = {"AttackPath", "Figure", "PathPattern", "_Place", "PassKey", "ShadowSet", "SampleExtraction",
             SampleTable.__name__}  # fmt: skip
"""Dataclasses that are written to no JSON document."""

KINDS = sorted(
    {
        kind
        for module in MODULES
        for kind in vars(module).values()
        if is_dataclass(kind) and isinstance(kind, type) and kind.__name__ not in IN_MEMORY
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_every_document_has_a_line_that_describes_it(kind: type):
    described = TypeAdapter(kind).json_schema()
    properties = described.get("properties") or described["$defs"][kind.__name__]["properties"]
    assert set(properties) == {field.name for field in fields(kind)}
    for name in kind.__annotations__:  # what is inherited is described where it is declared
        line = properties[name].get("description", "")
        assert line, f"{kind.__name__}.{name} has no line beneath it"
        assert "\n" not in line


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_document_refuses_unknown_keys_and_numbers_that_are_not_finite(kind: type):
    adapter = TypeAdapter(kind)
    for name, field in kind.__dataclass_fields__.items():
        if field.type in ("float", "float | None", float):
            with pytest.raises(ValidationError) as raised:
                adapter.validate_json(f'{{"{name}": NaN, "no_such_key": 1}}')
            kinds = {(error["loc"], error["type"]) for error in raised.value.errors()}
            assert ((name,), "finite_number") in kinds
            assert (("no_such_key",), "unexpected_keyword_argument") in kinds


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.schema.json")), ids=lambda page: page.name)
def test_the_published_schemas_describe_every_property(page: Path):
    schema = json.loads(page.read_text())
    parts = {"": schema} | schema.get("$defs", {})
    bare = [
        f"{part}.{name}"
        for part, described in parts.items()
        for name, prop in described.get("properties", {}).items()
        if not prop.get("description")
    ]
    assert not bare
    assert all(part["additionalProperties"] is False for part in parts.values() if "properties" in part)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_unknown_keys_are_refused(kind: type):
    with pytest.raises(ValidationError, match="Unexpected keyword argument"):
        TypeAdapter(kind).validate_python({"no_such_field": 1})


def test_numbers_that_are_not_finite_are_refused():
    given = dict(value=1.0, low=0.0, high=float("inf"), level=0.95, method="t", n_members=1, n_non_members=1)
    with pytest.raises(ValidationError, match="finite"):
        TypeAdapter(Estimate).validate_python(given)
