"""A shop that is published under any settings, for comparisons with definitions/."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import fasttext
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from tests.pipeline.places import on_disk
from tests.pipeline.stages.definitions.catalogue import Catalogue
from tests.pipeline.stages.definitions.edits import Row
from tests.pipeline.stages.definitions.finer_scores import FinerScores
from tests.pipeline.stages.definitions.table import Settings, Shown, Table
from tests.pipeline.stages.odd_shop import CONDITIONS
from tests.pipeline.stages.test_edits import NAMES
from tests.pipeline.stages.test_rank import COLUMNS
from tests.pipeline.stages.test_rules import Shop

LISTS = ("index.exact_below=0", "index.nlist=12")
# Rejected edits: the row as it was written; and its reasons, each with how many items it is of.
Refused = dict[tuple[str, ...], dict[str, int]]


class Showcase(Shop):
    """Its runs publish nothing: each is a first night."""

    def embed(self) -> None:
        """Run the stages that no settings change, and keep a copy."""
        self.run(*COLUMNS, last="embed", publishing=False)
        shutil.copytree(self.folder, self._kept)

    @property
    def _kept(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-kept")

    def copy(self, folder: Path) -> "Showcase":
        """One that has embedded the same items, and nothing else."""
        shutil.copytree(self._kept, folder)
        copy = Showcase(folder)
        copy.rows = self.rows
        return copy

    def show(self, settings: Settings, partitions: int) -> None:
        """Run all stages with these settings."""
        edits = settings.get("edits", {}).get("rows", [])
        with (self.folder / "edits.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, (*NAMES, "note"), restval="")
            writer.writeheader()
            writer.writerows(edits)
        self.more = "".join(self._sections(settings))
        neighbors = [f"neighbors.{name}={value}" for name, value in settings["neighbors"].items()]
        lists = LISTS if "nprobe" in settings["neighbors"] else ()
        sets = (*COLUMNS, *neighbors, *lists, f"neighbors.partitions={partitions}")
        self.run(*sets, last="publish", publishing=False)

    def _sections(self, settings: Settings) -> list[str]:
        lines = []
        for name in ("rules", "rank", "fallback"):
            if name in settings:
                lines += [f"\n[{name}]\n", *self._values(settings[name])]
        if "edits" in settings:
            path, day = str(self.folder / "edits.csv"), settings["edits"]["date"]
            lines += ["\n[edits]\n", *self._values({"path": path, "date": day})]
        if "variant" in settings:
            variant = settings["variant"]
            lines += ['\n[[variant]]\nname = "b"\n', *self._values(variant["neighbors"])]
            for name in ("rules", "rank"):
                if name in variant:
                    lines += [f"\n[variant.{name}]\n", *self._values(variant[name])]
        return lines

    def _values(self, section: Mapping[str, Any]) -> list[str]:
        deny = {"deny": str(self.folder / "deny.csv")} if "deny" in section else {}
        return [f"{name} = {_toml(value)}\n" for name, value in {**section, **deny}.items()]

    def catalogue(self, *, in_lists: bool) -> Catalogue:
        """The items with their values and vectors."""
        vectors = {row["item_id"]: row["vector"] for row in self._rows("embed", "embeddings")}
        own = [vectors[row["item_id"]] for row in self.rows]
        arrays = [None if vector is None else np.array(vector, np.float32) for vector in own]
        record, nearest = self.outcome.record("index"), None
        assert record is not None
        assert record.outputs["exact"] != in_lists
        if in_lists:
            file = self.store.quantisers.path(record.outputs["quantiser"])
            centroids = np.load(on_disk(file)).astype(np.float64)
            wide = np.array([np.zeros(centroids.shape[1]) if a is None else a for a in arrays])
            nearest = np.argsort(-wide @ centroids.T, axis=1, kind="stable")
        rows = [_typed(row) for row in self.rows]
        return Catalogue(rows, arrays, nearest, CONDITIONS, self._finer_scores(arrays))

    def _finer_scores(self, vectors: Sequence[npt.NDArray[np.float32] | None]) -> FinerScores:
        """What pairs of items are compared by, from their tokens and the store's model."""
        tokens = {
            row["item_id"]: (row["title_tokens"].split(), row["description_tokens"].split())
            for row in self._rows("tokenize", "tokens")
        }
        record = self.outcome.record("train")
        assert record is not None
        model = fasttext.load(on_disk(self.store.models.file(record)))
        assert isinstance(model, fasttext.Embedder)
        statistics = model.statistics
        assert statistics is not None
        # They would have to be left out of the titles.
        assert not statistics.phrases
        weight = self.settings(*COLUMNS).embed.description_weight
        scores = FinerScores(
            [tokens[row["item_id"]] for row in self.rows], vectors, statistics, weight
        )
        shared = Counter(code for codes in scores.codes for code in codes)
        assert sum(times > 1 for times in shared.values()) > len(self.rows) // 10
        return scores

    def shown(self, variant: str = "") -> dict[str, list[Shown]]:
        """The published lists."""
        lists: dict[str, list[Shown]] = {}
        for row in self._rows(f"publish{variant}", "similar_items"):
            best = lists.setdefault(row["item_id"], [])
            assert row["rank"] == len(best) + 1
            ranked_by, reason = row.get("ranked_by"), row.get("reason")
            best.append(Shown(row["similar_id"], row["score"], ranked_by, reason))
        return lists

    def refused(self, expected: Table, variant: str = "") -> Refused:
        """The rejected edits; their reasons as they are expected, if they begin so."""
        known = as_refused(expected)
        refused: Refused = {}
        for row in self._rows(f"neighbors{variant}", "rejected_edits"):
            key = tuple(row[name] or "" for name in NAMES)
            own = [reason for reason in known.get(key, {}) if row["reason"].startswith(reason)]
            reasons = refused.setdefault(key, {})
            reasons[own[0] if own else row["reason"]] = row["items"] or 1
        return refused

    def published_as(self, variant: str = "") -> Published:
        """What the last run has made."""
        return Published.of(self.store, f"{self.outcome.run_id}{variant}")

    def answers(self, published: Published) -> dict[str, list[Any]]:
        """The neighbours that query gives each item."""
        settings, file = self.settings(*COLUMNS), self.folder / "items.csv"
        (batch,) = questions.read(file, settings.catalogue, settings.catalogue.further)
        answers = Answerer(published, settings, None).answer(batch)
        return {str(one.item_id): one.neighbours for one in answers if one.neighbours}


def as_refused(table: Table) -> Refused:
    """The edits that a table refuses."""
    return {
        tuple(one.get(name, "") for name in NAMES): dict(reasons) for one, reasons in table.refused
    }


def _typed(row: Mapping[str, str]) -> Row:
    """The values of a row; None where there is none."""
    number = {name: float(row[name]) if row[name] else None for name in ("price", "stock", "sold")}
    released = date.fromisoformat(row["released"]) if row["released"] else None
    used = {"true": True, "false": False}.get(row["used"])
    texts = {name: row[name].strip() or None for name in ("category", "group_id", "brand")}
    seller = row["shop"].strip() or None
    # Conditions tell a blank text from none.
    texts["brand_as_written"] = row["brand"] or None
    further = {"released": released, "used": used, "seller": seller}
    return {"item_id": row["item_id"], **texts, **number, **further}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {_toml(one)}" for name, one in value.items())
        return f"{{{inner}}}"
    return json.dumps(value, ensure_ascii=False)
