"""The models of the configuration, for tests."""

from pathlib import Path

from dissect.cells.spec import ModelArchitecture
from dissect.config.architecture import ModelFile
from dissect.config.files import read_yaml, validate

FOLDER = Path(__file__).parents[1] / "config/models"


def architecture(name: str) -> ModelArchitecture:
    """Sizes of one of them."""
    return validate(ModelFile, read_yaml(FOLDER / f"{name}.yaml", name), name).architecture
