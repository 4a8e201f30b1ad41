"""Which model a run needs: what defines it, and whether the store's current model is that one."""

from pathlib import Path
from typing import Any, Literal

from models import ModelError, static
from models.content import read_content
from models.stores import objects
from pipeline.config.sections import ModelSection
from pipeline.errors import InputError
from pipeline.stages.context import Job
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord

# Settings that say where a model comes from or how it travels, and do not change its vectors.
_LOCATION_SETTINGS = {"path", "ship", "pretrained", "distilled"}


def inputs(job: Job) -> dict[str, Any]:
    """The settings that decide the model, and the tokens or the model file that it is made of."""
    section = job.config.model
    tokens = job.record("tokenize")
    settings = training_settings(job)
    if not section.path:
        return {"training": settings, "tokens": tokens.fingerprint}
    names = ["kind", "engine", "float16"]
    if section.kind == "static":
        names.append("truncate_dim")
    if carries_statistics(section):
        names += ["sample_items", "seed"]
    if section.distilled:
        names.append("distilled")
    model_inputs = {
        "given": content_sha256(job, "path"),
        "settings": {name: settings[name] for name in names},
        "text": tokens.outputs["text_fingerprint"],
    }
    # Statistics are counted on the tokens.
    return model_inputs | ({"tokens": tokens.fingerprint} if carries_statistics(section) else {})


def content_sha256(job: Job, name: Literal["path", "pretrained", "distilled"]) -> str:
    """The sha256 of the file or directory that a setting of [model] names."""
    address: str = getattr(job.config.model, name)
    if address in job.contents:
        return job.contents[address]
    try:
        if "://" in address:
            content = objects.content_of(address, job.config.object_stores())
        else:
            # Of a folder with a distilled model only the model counts.
            is_folder = name == "distilled" and Path(address).is_dir()
            content = read_content((is_folder and static.find_packed(address)) or Path(address))
    except ModelError as error:
        # Some errors begin with the path.
        problem = str(error).removeprefix(f"{address}: ")
        raise InputError(f"model.{name} {address}: {problem}; check [model] {name}") from error
    job.contents[address] = content.sha256
    return content.sha256


def carries_statistics(section: ModelSection) -> bool:
    """Whether a model under these settings carries statistics of the catalogue."""
    return section.kind != "fasttext" or section.engine == "mapped"


def has_required_statistics(section: ModelSection, record: StageRecord) -> bool:
    """Whether a stored model carries statistics, if the settings ask for them."""
    return bool(record.outputs.get("statistics")) or not carries_statistics(section)


def reusable_model(job: Job) -> StageRecord | None:
    """The record of the store's current model, if this run can use it instead of training one.

    It can if the model was trained with the same settings on tokens of the same text rules, and on
    at least half as many items as there are now. For a model from model.path the same holds of the
    items that its statistics were counted on.
    """
    section = job.config.model
    text = job.record("tokenize").outputs["text_fingerprint"]
    key = model_key(model_definition(inputs(job)), text)
    training = job.state.models.get(key)
    current = job.store.find_record("train", training) if training else _published_model(job, key)
    if current is None or not has_required_statistics(section, current):
        return None
    tokens = job.record("tokenize")
    items = tokens.tables["tokens"] - tokens.counts["items_without_tokens"]
    available = min(items, section.sample_items)
    # A model from model.path may have brought statistics of its own.
    sample_size = current.counts.get("sampled_items", available)
    return current if available <= 2 * sample_size else None


def _published_model(job: Job, key: str) -> StageRecord | None:
    """The record of the published version's model, where the file of the current one is damaged."""
    published = job.state.published
    if published is None or key not in job.state.damaged_models:
        return None
    record = job.store.find_record("train", published.stages.get("train", ""))
    if record is None:
        return None
    own = model_key(model_definition(record.inputs), record.outputs["text_fingerprint"])
    return record if own == key else None


def model_definition(inputs: dict[str, Any]) -> dict[str, Any]:
    """What defines a model, except the catalogue: the part of a training's inputs that names it."""
    if "given" in inputs:
        return {"given": inputs["given"], **inputs["settings"]}
    settings: dict[str, Any] = inputs["training"]
    return settings


def model_key(definition: dict[str, Any], text_fingerprint: str) -> str:
    """The key of the current model: 16 hexadecimal digits of its definition and its text rules."""
    return fingerprint({"settings": definition, "text": text_fingerprint})


def training_settings(job: Job) -> dict[str, Any]:
    """The settings that decide what a trained model is."""
    section = job.config.model
    no_effect = _LOCATION_SETTINGS | (set() if section.kind == "static" else {"truncate_dim"})
    settings: dict[str, Any] = section.model_dump(exclude=no_effect)
    # What a file holds decides, and not where it is.
    if section.pretrained:
        settings["pretrained"] = f"sha256:{content_sha256(job, 'pretrained')[:16]}"
    if section.distilled:
        settings["distilled"] = f"sha256:{content_sha256(job, 'distilled')[:16]}"
    return settings
