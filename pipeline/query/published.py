"""What a version was made of: the records of its stages, read without Spark.

Everything that decides an answer, text settings, the way to make vectors, rules and probes, is
that version's own, whatever the config says today.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from typing import Any

from models import Handle
from models.content import Content
from models.fasttext import Blend
from pipeline.config.sections import Config, RulesSection
from pipeline.errors import UsageError
from pipeline.retrieval.rules import Rules
from pipeline.storage.files import read_json
from pipeline.storage.paths import StoragePath
from pipeline.store.resolve import LATEST, resolve
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.text.tokenize import TextSettings


@dataclass(frozen=True)
class Published:
    """A version of the similar-item table.

    Attributes:
        store: that it is in.
        version: of the similar-item table.
        run_id: the run that published or made it.
        stages: the fingerprint of each stage that it was made by.
    """

    store: Store
    version: str
    run_id: str
    stages: dict[str, str]

    @classmethod
    def of(cls, store: Store, name: str = LATEST) -> "Published":
        """The version that a name stands for: LATEST, a version or a run.

        Raises:
            UsageError: nothing has this name, or nothing is published.
        """
        resolved = resolve(store, name, with_table=True)
        if resolved.run_id is None or "neighbors" not in resolved.stages:
            raise UsageError(
                f"version {name}: no run.json tells what it was made of; name a run instead"
            )
        return cls(store, resolved.version, resolved.run_id, resolved.stages)

    def record(self, stage: str) -> StageRecord:
        """The record of one of its stages, whether or not its tables are still there.

        Raises:
            UsageError: it is gone.
        """
        found = self.store.read_record(stage, self.stages.get(stage, "none"))
        if found is None:
            raise UsageError(
                f"version {self.version}: the record of its stage {stage} is not in the store "
                "any more; run again: nitamono run --config FILE"
            )
        return found

    def table(self, table: str, stage: str) -> str:
        """The version of one of its tables.

        Raises:
            UsageError: it is not there.
        """
        version = self.record(stage).version(table)
        if not self.store.has_table(table, version):
            if table == "details":
                raise UsageError(
                    f"version {self.version} has no table details: an earlier release made it, or "
                    "it was deleted; run again: nitamono run --config FILE"
                )
            raise UsageError(
                f"version {self.version}: its table {table} is not in the store: nitamono gc has "
                "deleted it, or it was deleted by hand; run again: nitamono run --config FILE"
            )
        return version

    # What decides an answer

    def text(self, config: Config) -> TextSettings:
        """The text settings of its tokens.

        Raises:
            UsageError: they can't be had here: a dictionary is another, or is missing.
        """
        record = self.record("tokenize")
        wanted = record.outputs["text_fingerprint"]
        run = read_json(self.store.run_path(record.run_id) / "run.json") or {}
        sections = [run.get("settings", {}).get("text"), config.text.model_dump()]
        tried = []
        for section in filter(None, sections):
            settings = TextSettings(
                **{**section, "user_dictionaries": tuple(section["user_dictionaries"])}
            )
            try:
                if settings.fingerprint() == wanted:
                    return settings
                tried.append(f"SudachiPy or its dictionary {settings.dictionary} is another here")
            except PackageNotFoundError:
                tried.append(
                    f"the dictionary {settings.dictionary} is not installed here; "
                    "pip install 'nitamono[dictionaries]'"
                )
            except OSError as error:
                tried.append(f"a user dictionary can't be read: {error}")
        why = tried[0] if tried else "its run.json is gone"
        raise UsageError(
            f"version {self.version} was made with the text fingerprint {wanted}, which can't be "
            f"had here: {why}"
        )

    def model(self) -> Handle:
        """Its model, used where it is, or through the host's cache from an object store.

        Raises:
            UsageError: it is not there.
        """
        record = self.record("train")
        file, outputs = self.store.model_file(record), record.outputs
        if not file.exists():
            raise UsageError(
                f"version {self.version}: its model {file} is not there; nitamono gc has deleted "
                "it, or it was deleted by hand; run again: nitamono run --config FILE"
            )
        kind, content = outputs["kind"], _content(record)
        return handle(file, kind, content)

    @property
    def way(self) -> Blend | None:
        """How its vectors are made of the model's; None: as its own."""
        made = self.record("embed").inputs
        if made["method"] in ("mean", "encoder"):
            return None
        return Blend(
            dim=made.get("dim", 0),
            lexical_weight=made.get("lexical_weight", 0.0),
            title_weight=made["title_weight"],
            description_weight=made["description_weight"],
            drop_phrases=made["drop_phrases"],
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its neighbours, but for those that change none."""
        settings: dict[str, Any] = self.record("neighbors").inputs["settings"]
        return settings

    @property
    def rules(self) -> RulesSection | None:
        """Its rules; None if there are none."""
        found = self.record("neighbors").inputs.get("rules")
        return RulesSection.model_validate(found["rules"]) if found else None

    @property
    def denied(self) -> list[list[object]] | None:
        """The state of the file that its rules.deny named."""
        found = self.record("neighbors").inputs.get("rules")
        denied: list[list[object]] | None = found["deny"] if found else None
        return denied


def pairs_of(section: RulesSection | None) -> Rules:
    """What holds for pairs."""
    from pipeline.stages.neighbors import rules

    return rules.pair_rules(section or RulesSection())


def _content(record: StageRecord) -> Content:
    outputs = record.outputs
    return Content(outputs["sha256"], record.counts["model_bytes"], outputs["kind"] == "onnx")


def handle(file: StoragePath, kind: str, content: Content) -> Handle:
    """A handle of a file or folder of the store for this process."""
    from pipeline.storage.s3_path import S3Path

    if isinstance(file, S3Path):
        return Handle(kind, file.name, content, "s3", str(file), file.options)
    return Handle(kind, file.name, content, "path", str(file.absolute()))
