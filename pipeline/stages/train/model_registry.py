"""The store's models: listing them, choosing the current one, copying them out and in."""

import re
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models import ModelError, stores
from models.content import read_content, safe_name
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.stages.context import Job
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.train import definition
from pipeline.stages.train import stage as train
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.files import read_json, write_json
from pipeline.store import model_folders, run_records
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

# The record of the training, which is pushed with a model's files: pull stores it beside them.
_RECORD = "record.json"
_HEX = {"fingerprint": r"[0-9a-f]{16}", "sha256": r"[0-9a-f]{64}"}


@dataclass(frozen=True)
class StoredModel:
    """A model in the store.

    Attributes:
        record: the record of its training.
        trained: when the record was written, in UTC.
        current: whether new runs under the config's settings use the model.
    """

    record: StageRecord
    trained: str
    current: bool

    def about(self) -> dict[str, Any]:
        """The values that `nitamono model list` shows."""
        outputs, counts = self.record.outputs, self.record.counts
        return {
            "hash": outputs["sha256"][:16],
            "kind": outputs["kind"],
            "dim": outputs["dim"],
            "words": counts.get("words"),
            "sampled_items": counts.get("sampled_items"),
            "bytes": counts.get("model_bytes"),
            "trained": self.trained,
            "run_id": self.record.run_id,
            "current": self.current,
        }


def stored_models(config: Config, store: Store) -> list[StoredModel]:
    """Every complete model of the store, the newest first."""
    current = _current(config, store)
    models = []
    for path in (store.root / "stages" / train.NAME).glob("*.json"):
        record = store.find_record(train.NAME, path.stem)
        if record is not None:
            time = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
            models.append(StoredModel(record, time, record == current))
    return sorted(models, key=lambda model: (model.trained, model.record.fingerprint), reverse=True)


def current_model(config: Config, store: Store) -> StageRecord:
    """The record of the model that new runs use; if there is none, of the published one.

    Raises:
        UsageError: there is neither.
    """
    record = _current(config, store)
    if record is None:
        raise UsageError(
            f"the store {store.root} has no current model under these settings; "
            "run: nitamono train --config FILE"
        )
    return record


def _current(config: Config, store: Store) -> StageRecord | None:
    record = None if config.model.path else store.current_model(_key(config, store))
    latest = store.latest()
    if record is None and latest is not None:
        run = run_records.find_run(store, latest["run_id"])
        fingerprints = run.fingerprints if run else {}
        record = store.find_record(train.NAME, fingerprints.get(train.NAME, "none"))
    return record


def _key(config: Config, store: Store) -> str:
    job = Job(config, store, "model")
    return definition.model_key(definition.training_settings(job), tokenize.text_fingerprint(job))


def push(config: Config, store: Store, record: StageRecord, target: str) -> None:
    """Copy a model and its record to a folder or a prefix in an object store.

    Raises:
        ModelError: the model can't be read or written.
        UsageError: the folder holds something else.
    """
    with store.models.new_folder() as folder:
        model_folders.copy_files(store.models.path(record.outputs["sha256"]), folder)
        write_json(folder / _RECORD, asdict(record))
        if "://" in target:
            stores.push(folder, target, config.object_stores())
        else:
            _copy_to_folder(folder, Path(target))


def _copy_to_folder(folder: Path, target: Path) -> None:
    occupied = target.is_dir() and any(target.iterdir()) and not (target / _RECORD).is_file()
    if occupied or target.is_file():
        raise UsageError(f"{target}: exists and is no pushed model; choose another folder")
    temporary = target.with_name(f".{target.name}.{owner_tag()}")
    try:
        shutil.copytree(folder, temporary)
        if target.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    except OSError as error:
        raise ModelError(f"{target}: can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def pull(config: Config, store: Store, source: str) -> StageRecord:
    """Copy a pushed model into the store and check every byte; the current model stays.

    Returns:
        the model's record.

    Raises:
        ModelError: there is no pushed model, or it is damaged.
    """
    with store.models.new_folder() as folder:
        copy = folder / "pulled"
        if "://" in source:
            copy = stores.pull(source, folder, config.object_stores())
        elif not Path(source).is_dir():
            raise ModelError(f"{source}: no such folder; give one that `model push` has written")
        else:
            shutil.copytree(source, copy)
        record = _pushed_record(copy, source)
        sha256, file = record.outputs["sha256"], record.outputs["file"]
        content = read_content(copy / file)
        if content.sha256 != sha256:
            raise ModelError(
                f"{source}: the sha256 of {file} is {content.sha256}, not {sha256}: it was "
                "replaced or damaged; push it again"
            )
        (copy / _RECORD).unlink()
        store.models.save(copy, sha256, file)
    if store.find_record(train.NAME, record.fingerprint) is None:
        store.write_record(record)
    return record


def _pushed_record(folder: Path, source: str) -> StageRecord:
    raw = read_json(folder / _RECORD)
    if raw is None:
        raise ModelError(
            f"{source}: has no {_RECORD}, so it was not pushed by nitamono; "
            "give the model as model.path instead"
        )
    try:
        record = StageRecord(**raw)
        hashes = {"fingerprint": record.fingerprint, "sha256": record.outputs["sha256"]}
        safe_name(record.outputs["file"], source)
        valid = record.stage == train.NAME and all(
            re.fullmatch(_HEX[name], value) for name, value in hashes.items()
        )
    except (TypeError, KeyError) as error:
        raise ModelError(f"{source}: its {_RECORD} is damaged ({error}); push it again") from error
    if not valid:
        raise ModelError(f"{source}: its {_RECORD} is not of a model's training; push it again")
    return record


def restore_current(store: Store, fingerprint: str) -> StageRecord | None:
    """Make a model current again, after a rollback to a version that was made with it.

    Returns:
        the model's record; None if the model depends on no catalogue or is no longer in the store.
    """
    record = store.find_record(train.NAME, fingerprint)
    if record is None or "tokens" not in record.inputs:
        return None
    key = definition.model_key(
        definition.model_definition(record.inputs), record.outputs["text_fingerprint"]
    )
    store.models.set_current(key, fingerprint)
    return record


def _advice(name: str, value: object) -> str:
    """How to set a setting of [model] to the value that it had in a training."""
    if str(value).startswith("sha256:"):
        return f"model.{name} to the file of its training, {value}"
    return f"model.{name} = {value!r}"


def make_current(config: Config, store: Store, record: StageRecord) -> None:
    """Make a model the current one.

    Raises:
        UsageError: the model was not trained under the config's settings.
    """
    path, settings = store.models.file(record), record.inputs.get("training")
    if settings is None:
        raise UsageError(f'the model was not trained here: use it with model.path = "{path}"')
    complete = definition.has_required_statistics(config.model, record)
    if record.outputs["kind"] == "fasttext" and not complete:
        raise UsageError(
            f'the model carries no statistics of a catalogue: use it with model.path = "{path}", '
            "which counts them"
        )
    key = definition.model_key(settings, record.outputs["text_fingerprint"])
    if key != _key(config, store):
        own = definition.training_settings(Job(config, store, "model"))
        names = [name for name in settings | own if own.get(name) != settings.get(name)]
        differing = [_advice(name, settings.get(name, "")) for name in names]
        changes = ", ".join(differing) or "the [text] settings of its training"
        raise UsageError(
            f"the model was trained under other settings than this config's; set {changes}, "
            f'or use it with model.path = "{path}"'
        )
    store.models.set_current(key, record.fingerprint)
