import re
from pathlib import Path

from pydantic import BaseModel

from pipeline.cli.verbs import VERBS
from pipeline.config.sections import Config
from pipeline.stages import NAMES
from pipeline.store.schemas import ITEMS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_settings_table_is_that_of_the_config() -> None:
    documented = dict(re.findall(r"^\| `(\w+\.\w+)` \| (.+?) \|", README, re.M))
    expected = {}
    for section, field in Config.model_fields.items():
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            continue
        for name, setting in field.annotation.model_fields.items():
            value = setting.get_default(call_default_factory=True)
            shown = f'"{value}"' if isinstance(value, str) else str(value)
            required = setting.is_required()
            expected[f"{section}.{name}"] = "**must be given**" if required else f"`{shown}`"
    assert documented == expected


def test_every_verb_and_column_is_named() -> None:
    verbs = (*NAMES, *(verb.name for verb in VERBS), "submit")
    assert all(f"`{name}`" in README or f"nitamono {name} " in README for name in verbs)
    assert all(re.search(rf"\b{name}\b", README) for name in ITEMS.names)
