"""The store's models: which are kept, which is current; to another place and back."""

import re
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models import ModelError, s3
from models.content import read_content, safe_name
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.stages.context import Job
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.train import stage as train
from pipeline.storage.files import read_json, write_json
from pipeline.storage.processes import owner_tag
from pipeline.store import model_folders
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

# Beside a pushed model's files: the record of its training, by which another store knows it.
_RECORD = "record.json"
_HEX = {"fingerprint": r"[0-9a-f]{16}", "sha256": r"[0-9a-f]{64}"}


@dataclass(frozen=True)
class Kept:
    """A model in the store.

    Attributes:
        record: of its training.
        trained: when that was recorded, in UTC.
        current: whether new runs under the config's settings use it.
    """

    record: StageRecord
    trained: str
    current: bool

    def about(self) -> dict[str, Any]:
        """What is shown of it."""
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


def kept(config: Config, store: Store) -> list[Kept]:
    """Every model that is whole in the store, the newest first."""
    now = _current(config, store)
    found = []
    for path in (store.root / "stages" / train.NAME).glob("*.json"):
        record = store.find_record(train.NAME, path.stem)
        if record is not None:
            moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            found.append(Kept(record, moment.isoformat(timespec="seconds"), record == now))
    return sorted(found, key=lambda model: (model.trained, model.record.fingerprint), reverse=True)


def current(config: Config, store: Store) -> StageRecord:
    """The record of the model that new runs use; else of the one that is published.

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
        run = read_json(store.run_path(latest["run_id"]) / "run.json") or {"fingerprints": {}}
        record = store.find_record(train.NAME, run["fingerprints"].get(train.NAME, "none"))
    return record


def _key(config: Config, store: Store) -> str:
    text = tokenize.text_fingerprint(Job(config, store, "model"))
    return train.key_of(train.settings_of(config.model), text)


def push(config: Config, store: Store, record: StageRecord, target: str) -> None:
    """Copy a model and its record to a folder or an s3:// prefix.

    Raises:
        ModelError: it can't be read or written.
        UsageError: the folder holds something else.
    """
    with store.new_model() as folder:
        model_folders.copy_files(store.model_path(record.outputs["sha256"]), folder)
        write_json(folder / _RECORD, asdict(record))
        if "://" in target:
            s3.push(folder, target, config.s3.options())
        else:
            _put(folder, Path(target))


def _put(folder: Path, target: Path) -> None:
    other = target.is_dir() and any(target.iterdir()) and not (target / _RECORD).is_file()
    if other or target.is_file():
        raise UsageError(f"{target}: is there, and no pushed model; choose another folder")
    beside = target.with_name(f".{target.name}.{owner_tag()}")
    try:
        shutil.copytree(folder, beside)
        if target.is_dir():
            shutil.rmtree(target)
        beside.replace(target)
    except OSError as error:
        raise ModelError(f"{target}: can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def pull(config: Config, store: Store, source: str) -> StageRecord:
    """Take a pushed model into the store, every byte checked; the current model stays.

    Returns:
        its record.

    Raises:
        ModelError: there is none, or it is not what was pushed.
    """
    with store.new_model() as folder:
        found = folder / "pulled"
        if "://" in source:
            found = s3.pull(source, folder, config.s3.options())
        elif not Path(source).is_dir():
            raise ModelError(f"{source}: no such folder; give one that `model push` has written")
        else:
            shutil.copytree(source, found)
        record = _pushed_record(found, source)
        sha256, file = record.outputs["sha256"], record.outputs["file"]
        content = read_content(found / file)
        if content.sha256 != sha256:
            raise ModelError(
                f"{source}: the sha256 of {file} is {content.sha256}, not {sha256}: it was "
                "replaced or damaged; push it again"
            )
        (found / _RECORD).unlink()
        store.save_model(found, sha256, file)
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
        names = {"fingerprint": record.fingerprint, "sha256": record.outputs["sha256"]}
        safe_name(record.outputs["file"], source)
        whole = record.stage == train.NAME and all(
            re.fullmatch(_HEX[name], value) for name, value in names.items()
        )
    except (TypeError, KeyError) as error:
        raise ModelError(f"{source}: its {_RECORD} is damaged ({error}); push it again") from error
    if not whole:
        raise ModelError(f"{source}: its {_RECORD} is not of a model's training; push it again")
    return record


def restore(store: Store, fingerprint: str) -> StageRecord | None:
    """Make a model current again, after a rollback to a version that was made with it.

    Returns:
        its record; None if nothing of it is the catalogue's, or it is not in the store any more.
    """
    record = store.find_record(train.NAME, fingerprint)
    if record is None or "tokens" not in record.inputs:
        return None
    key = train.key_of(train.made_from(record.inputs), record.outputs["text_fingerprint"])
    store.set_current_model(key, fingerprint)
    return record


def use(config: Config, store: Store, record: StageRecord) -> None:
    """Make a model the current one.

    Raises:
        UsageError: it was not trained under the config's settings.
    """
    path, settings = store.model_file(record), record.inputs.get("training")
    if settings is None:
        raise UsageError(f'it was given, not trained: use it with model.path = "{path}"')
    if record.outputs["kind"] == "fasttext" and not train.complete(config.model, record):
        raise UsageError(
            f'the model carries no statistics of a catalogue: use it with model.path = "{path}", '
            "which counts them"
        )
    key = train.key_of(settings, record.outputs["text_fingerprint"])
    if key != _key(config, store):
        mine = train.settings_of(config.model)
        others = [f"model.{n} = {v!r}" for n, v in settings.items() if mine.get(n) != v]
        wanted = ", ".join(others) or "the [text] settings of its training"
        raise UsageError(
            f"the model was trained under other settings than this config's; set {wanted}, "
            f'or use it with model.path = "{path}"'
        )
    store.set_current_model(key, record.fingerprint)
