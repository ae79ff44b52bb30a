"""The editors' JSON Schemas say what the models say."""

import json

import pytest

from write_reference import PAGE, Reference
from write_schemas import FOLDER, schema_texts


@pytest.mark.parametrize("name", schema_texts())
def test_schemas_do_not_drift(name: str) -> None:
    assert (FOLDER / name).read_text() == schema_texts()[name], f"{name} is out of date: run `make schemas`"


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(schema_texts())


def test_the_reference_does_not_drift() -> None:
    assert PAGE.read_text() == Reference().text(), "docs/reference.md is out of date: run `make schemas`"


def test_the_reference_has_every_key() -> None:
    text = PAGE.read_text()
    for name, schema in schema_texts().items():
        for model in [json.loads(schema), *json.loads(schema).get("$defs", {}).values()]:
            missing = [key for key in model.get("properties", {}) if f"| `{key}` |" not in text]
            assert missing == [], f"{name}: {model['title']}"


def test_every_field_is_described() -> None:
    for name, text in schema_texts().items():
        schema = json.loads(text)
        for model in [schema, *schema.get("$defs", {}).values()]:
            for field, facts in model.get("properties", {}).items():
                # Pydantic leaves out a description that the section's own model repeats.
                assert "description" in facts or "$ref" in facts, f"{name}: {model['title']}.{field} has no description"
