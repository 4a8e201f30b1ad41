"""A store with embeddings of given vectors, for tests of index and neighbors."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import reading as config
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages.context import Job, StageResult
from pipeline.stages.index import current_quantiser
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage as neighbors
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.pipeline.retrieval import oracle
from tests.pipeline.tables import read_rows

Table = dict[str, list[tuple[str, float]]]
QUANTISED = "index.exact_below=0"


class EmbeddedStore:
    """A store with embeddings, and the stages index and neighbors on it."""

    def __init__(self, folder: Path, vectors: np.ndarray) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.store = Store(str(folder / "store"))
        self._runs = self._embeddings = 0
        self.content = "c"
        self.write_embeddings(vectors)

    def write_embeddings(self, vectors: np.ndarray) -> None:
        """Write other embeddings of the same model, for the next run."""
        self._embeddings += 1
        self.embed = f"e{self._embeddings}"
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

    def write_items(self, version: str, rows: slice = slice(None)) -> None:
        """Write an items table with some of the items; every third is a shoe."""
        categories = ["shoe" if n % 3 == 0 else "hat" for n in range(len(self.ids))][rows]
        self._write("items", version, rows, category=categories)

    def job(self, *sets: str) -> Job:
        """A job with these settings, before the stage index."""
        file = self._folder / "nitamono.toml"
        file.write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        job = Job(config.load(file, sets, {}), self.store, "r")
        ingested = {"content": self.content}
        job.set_record(StageRecord("ingest", "i", "r", {}, {}, {}, ingested))
        rows = {"embeddings": len(self.ids)}
        outputs = {"vectors": len(self.ids), "dim": self.vectors.shape[1], "space": "s"}
        outputs |= {"base": None, "why": "the first night"}
        job.set_record(StageRecord("embed", self.embed, "r", {}, rows, {}, outputs))
        return job

    def run(self, *sets: str) -> tuple[Table, StageResult]:
        """Run index and neighbors with these settings: the table of neighbours, and the result."""
        job = self.job(*sets)
        self._runs += 1
        version = f"index{self._runs}"
        inputs = index.inputs(job)
        result = index.execute(job, version)
        self.index = result.outputs["quantiser"]
        record = StageRecord(
            "index", version, "r", inputs, result.tables, result.counts, result.outputs
        )
        job.set_record(record)
        current_quantiser.adopt(job, record)
        version = f"neighbors{self._runs}"
        result = neighbors.execute(job, version)
        record = StageRecord("neighbors", version, "r", {}, {}, result.counts, result.outputs)
        current_quantiser.record_nprobe(job, record)
        k = job.config.neighbors.k
        rows = read_rows(self.store, "neighbors", version)
        table = {
            row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"][:k]]
            for row in rows
        }
        assert len(table) == len(rows)
        return {item: best for item, best in table.items() if best}, result

    def expected(self, k: int, nprobe: int) -> Table:
        """The best of the lists probed, by brute force."""
        lists = Quantiser.from_arrays(self.store.quantisers.arrays(str(self.index)))
        probes = lists.probe(self.vectors, nprobe)
        allowed = (probes[:, 0][None, None, :] == probes[:, :, None]).any(axis=1)
        return oracle.neighbors(self.ids, self.vectors, k, allowed)

    def exact(self, k: int) -> Table:
        """The best of all items, by brute force."""
        allowed = np.ones((len(self.ids), len(self.ids)), dtype=bool)
        return oracle.neighbors(self.ids, self.vectors, k, allowed)


def lopsided() -> np.ndarray:
    """Vectors of which 30% crowd in one place, 80 are the same and 3 are zero."""
    rng = np.random.default_rng(1)
    vectors = oracle.vectors(400, 12, seed=1)
    crowd = rng.permutation(400)[:120]
    vectors[crowd] = 3 * np.eye(12)[0] + 0.02 * rng.standard_normal((120, 12))
    vectors[rng.permutation(400)[:80]] = vectors[7]
    vectors[[1, 50, 300]] = 0
    return vectors.astype(np.float16).astype(np.float32)
