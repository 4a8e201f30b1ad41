"""A published version: the records of the stages that made it, read without Spark.

Everything that decides an answer (text settings, the making of vectors, rules, probes) is the
version's own, whatever the config says today.
"""

from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError
from typing import Any

from models import Handle
from models.content import Content
from models.fasttext import Blend
from pipeline import catalogue
from pipeline.config.sections import Config, RankSection, RulesSection
from pipeline.errors import DamagedError, UsageError
from pipeline.retrieval.rules import Rules
from pipeline.stages.neighbors.edit_state import State
from pipeline.storage.paths import StoragePath
from pipeline.store import run_records
from pipeline.store.names import LATEST
from pipeline.store.resolve import resolve
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.text.placeholders import NONE, Placeholders
from pipeline.text.tokenize import TextSettings


@dataclass(frozen=True)
class Published:
    """A version of the similar-item table.

    Attributes:
        store: the store that holds it.
        version: version of the similar-item table.
        run_id: the run that published or made it.
        stages: the fingerprint of each stage that made it.
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
        # Answers need the lists and the model of LATEST, and not the published table itself.
        resolved = resolve(store, name, with_table=name != LATEST)
        if resolved.run_id is None or "neighbors" not in resolved.stages:
            raise UsageError(
                f"version {name}: no run.json tells what it was made of; name a run instead"
            )
        return cls(store, resolved.version, resolved.run_id, resolved.stages)

    def record(self, stage: str) -> StageRecord:
        """The record of one of its stages, whether or not its tables are still there.

        Raises:
            UsageError: the record is gone.
        """
        record = self.store.read_record(stage, self.stages.get(stage, "none"))
        if record is None:
            raise UsageError(
                f"version {self.version}: the record of its stage {stage} is not in the store "
                "any more; run again: nitamono run --config FILE"
            )
        return record

    def table(self, table: str, stage: str) -> str:
        """The version of one of its tables.

        Raises:
            UsageError: the table is gone.
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
            UsageError: they are not available here: a dictionary is missing, or another release.
        """
        record = self.record("tokenize")
        fingerprint = record.outputs["text_fingerprint"]
        try:
            run = run_records.read_run_json(self.store, record.run_id) or {}
        except DamagedError as error:
            self.store.say(f"{error.what}; the config's text settings are used")
            run = {}
        # The run's own settings, and those of the config in case its run.json is gone.
        sections = [run.get("settings", {}).get("text"), config.text.model_dump()]
        failures = []
        for section in filter(None, sections):
            values = {field.name: section[field.name] for field in fields(TextSettings)}
            values["user_dictionaries"] = tuple(section["user_dictionaries"])
            settings = TextSettings(**values)
            try:
                if settings.fingerprint() == fingerprint:
                    return settings
                failures.append(
                    f"nitamono, SudachiPy or its dictionary {settings.dictionary} is another here"
                )
            except PackageNotFoundError:
                failures.append(
                    f"the dictionary {settings.dictionary} is not installed here; "
                    "pip install 'nitamono[dictionaries]'"
                )
            except OSError as error:
                failures.append(f"a user dictionary can't be read: {error}")
        raise UsageError(
            f"version {self.version} was made with the text fingerprint {fingerprint}, which can't "
            f"be had here: {failures[0] if failures else 'its run.json is gone'}; "
            "run again: nitamono run --config FILE"
        )

    @property
    def placeholders(self) -> Placeholders:
        """The texts that counted as none in its catalogue."""
        setting = self.record("ingest").inputs.get("placeholders")
        return Placeholders.of(setting["texts"], blank=setting["blank"]) if setting else NONE

    def model(self) -> Handle:
        """A handle of its model, which is in a folder, or is fetched from an object store.

        Raises:
            UsageError: the model is gone.
        """
        record = self.record("train")
        file, outputs = self.store.models.file(record), record.outputs
        if not file.exists():
            raise UsageError(
                f"version {self.version}: its model {file} is not there; nitamono gc has deleted "
                "it, or it was deleted by hand; run again: nitamono run --config FILE"
            )
        kind, content = outputs["kind"], _content(record)
        return _handle(file, kind, content)

    @property
    def blend(self) -> Blend | None:
        """How its vectors are blended from the model's; None: they are the model's own."""
        inputs = self.record("embed").inputs
        if inputs["method"] in ("mean", "encoder"):
            return None
        return Blend(
            dim=inputs.get("dim", 0),
            lexical_weight=inputs.get("lexical_weight", 0.0),
            title_weight=inputs["title_weight"],
            description_weight=inputs["description_weight"],
            drop_phrases=inputs["drop_phrases"],
            # Before it was an input, all words counted fully.
            rare_weight=inputs.get("rare_weight", 1.0),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of [neighbors] that decide its neighbours."""
        settings: dict[str, Any] = self.record("neighbors").inputs["settings"]
        return settings

    @property
    def rules(self) -> RulesSection | None:
        """Its rules; None if there are none."""
        inputs = self.record("neighbors").inputs.get("rules")
        # They were checked by the release that wrote them, which may have taken other conditions.
        return RulesSection.model_construct(**inputs["rules"]) if inputs else None

    @property
    def rank(self) -> RankSection:
        """What its neighbours are ranked by beside the cosine.

        Raises:
            UsageError: an earlier release made it, whose tables have other columns.
        """
        inputs = self.record("neighbors").inputs.get("rules")
        if inputs is not None and "edits" not in inputs:
            raise UsageError(
                f"version {self.version}: an earlier release made its rules' tables; run again: "
                "nitamono run --config FILE"
            )
        return RankSection(**((inputs or {}).get("rank") or {}))

    @property
    def further(self) -> dict[str, str]:
        """The types of its catalogue's further columns, in the order of their names."""
        return catalogue.further_of(self.record("ingest").inputs["catalogue"])

    @property
    def edits(self) -> State:
        """Its edits by conditions, and what others there are."""
        inputs = self.record("neighbors").inputs.get("rules")
        return State.from_inputs(inputs["edits"] if inputs else None)

    @property
    def has_edits(self) -> bool:
        """Whether there may be edits, those of rules.deny too."""
        return "edits" in self.record("neighbors").tables


def pair_rules(published: Published) -> Rules:
    """The rules on pairs of a version."""
    from pipeline.stages.neighbors import rules

    return rules.pair_rules(published.rules or RulesSection(), published.rank, published.edits)


def _content(record: StageRecord) -> Content:
    outputs = record.outputs
    return Content(outputs["sha256"], record.counts["model_bytes"], outputs["kind"] == "onnx")


def _handle(file: StoragePath, kind: str, content: Content) -> Handle:
    """A handle of a model in the store, for this process."""
    from pipeline.storage.object_path import ObjectPath

    if isinstance(file, ObjectPath):
        return Handle(kind, file.name, content, "s3", str(file), file.options)
    return Handle(kind, file.name, content, "path", str(file.absolute()))
