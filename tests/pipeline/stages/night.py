"""A store that holds embeddings of made vectors, for tests of index and neighbors."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import reading as config
from pipeline.retrieval import quantiser
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages.context import Job, StageResult
from pipeline.stages.index import current_quantiser
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage as neighbors
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.pipeline.places import on_disk
from tests.pipeline.retrieval import oracle

Table = dict[str, list[tuple[str, float]]]
QUANTISED = "index.exact_below=0"


class Night:
    """A store that holds embeddings, and the two stages on it."""

    def __init__(self, folder: Path, vectors: np.ndarray) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.store = Store(str(folder / "store"))
        self._runs = self._nights = 0
        self.tomorrow(vectors)

    def tomorrow(self, vectors: np.ndarray) -> None:
        """Another night, with other embeddings of the same model."""
        self._nights += 1
        self.embed = f"e{self._nights}"
        self.ids = [f"{n * 7919 % len(vectors):04d}" for n in range(len(vectors))]
        self.vectors = vectors
        self._write("embeddings", self.embed, tokens=np.ones(len(vectors)), half=to_bytes(vectors))

    def _write(self, table: str, version: str, rows: slice = slice(None), **columns: Any) -> None:
        types = {"tokens": pa.int32()}
        path = self.store.table_path(table, version)
        path.mkdir(parents=True)
        data = {"item_id": pa.array(self.ids[rows], pa.string())} | {
            name: pa.array(values, types.get(name)) for name, values in columns.items()
        }
        pq.write_table(pa.table(data), path / "part.parquet")

    def items(self, version: str, rows: slice = slice(None)) -> None:
        """Write an items table with some of the items; every third is a shoe."""
        shelf = ["shoe" if n % 3 == 0 else "hat" for n in range(len(self.ids))][rows]
        self._write("items", version, rows, category=shelf)

    def job(self, *sets: str) -> Job:
        """A job under these settings that has come to the index."""
        file = self._folder / "nitamono.toml"
        file.write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        job = Job(config.load(file, sets, {}), self.store, "r")
        job.set_record(StageRecord("ingest", "i", "r", {}, {}, {}, {"content": "c"}))
        rows = {"embeddings": len(self.ids)}
        outputs = {"vectors": len(self.ids), "dim": self.vectors.shape[1], "space": "s"}
        outputs |= {"base": None, "why": "the first night"}
        job.set_record(StageRecord("embed", self.embed, "r", {}, rows, {}, outputs))
        return job

    def run(self, *sets: str) -> tuple[Table, StageResult]:
        """Index and neighbours under these settings."""
        job = self.job(*sets)
        self._runs += 1
        version = f"index{self._runs}"
        asked = index.inputs(job)
        made = index.execute(job, version)
        self.index = made.outputs["quantiser"]
        record = StageRecord("index", version, "r", asked, made.tables, made.counts, made.outputs)
        job.set_record(record)
        current_quantiser.adopt(job, record)
        version = f"neighbors{self._runs}"
        made = neighbors.execute(job, version)
        outputs = made.outputs
        current_quantiser.record_nprobe(
            job, StageRecord("neighbors", version, "r", {}, {}, made.counts, outputs)
        )
        k = job.config.neighbors.k
        found = self.store.dataset("neighbors", version).to_table().to_pylist()
        table = {
            row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"][:k]]
            for row in found
        }
        assert len(table) == len(found)
        return {item: best for item, best in table.items() if best}, made

    def expected(self, k: int, nprobe: int) -> Table:
        """The definition: the best of the lists probed."""
        centroids = np.load(on_disk(self.store.quantiser_path(self.index)))
        probes = quantiser.probe(self.vectors, centroids, nprobe)
        allowed = (probes[:, 0][None, None, :] == probes[:, :, None]).any(axis=1)
        return oracle.neighbors(self.ids, self.vectors, k, allowed)

    def exact(self, k: int) -> Table:
        everything = np.ones((len(self.ids), len(self.ids)), dtype=bool)
        return oracle.neighbors(self.ids, self.vectors, k, everything)


def lopsided() -> np.ndarray:
    """Vectors of which 30% crowd in one place, 80 are the same and 3 are zero."""
    rng = np.random.default_rng(1)
    vectors = oracle.vectors(400, 12, seed=1)
    crowd = rng.permutation(400)[:120]
    vectors[crowd] = 3 * np.eye(12)[0] + 0.02 * rng.standard_normal((120, 12))
    vectors[rng.permutation(400)[:80]] = vectors[7]
    vectors[[1, 50, 300]] = 0
    return vectors.astype(np.float16).astype(np.float32)
