"""Write the JSON Schemas that editors use from the Pydantic models: ``make schemas``."""

import json
from pathlib import Path

from dissect.base.model import Model
from dissect.config.architecture import ModelFile
from dissect.config.claims import Claims
from dissect.config.experiment import Experiment
from dissect.config.known_gpus import KnownGpus
from dissect.config.methods import Methods
from dissect.config.platform import Platform
from dissect.config.root import RootConfig

SCHEMAS: dict[str, type[Model]] = {
    "claims": Claims,
    "config": RootConfig,
    "experiment": Experiment,
    "gpus": KnownGpus,
    "methods": Methods,
    "model": ModelFile,
    "platform": Platform,
}
FOLDER = Path(__file__).parent.parent / "config" / "schemas"


def schema_texts() -> dict[str, str]:
    """File name -> text of the schema."""
    return {
        f"{name}.schema.json": json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n"
        for name, model in SCHEMAS.items()
    }


def main() -> None:
    """Write every schema."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in schema_texts().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
