"""The config's sections: immutable, strictly typed, with their defaults and what they mean."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models import ModelError
from models.s3 import S3Options
from pipeline.config.encodings import java_encoding


class Section(BaseModel):
    """A section of the config: immutable, strictly typed, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StoreSection(Section):
    """Where the tables, models and runs live."""

    path: str = Field(min_length=1, description="folder of the store, or s3a://BUCKET/KEY")


class CatalogueSection(Section):
    """The catalogue to read."""

    path: str = Field(
        min_length=1, description="file, or folder of files of one format, or s3a://BUCKET/KEY"
    )
    format: Literal["auto", "parquet", "csv", "jsonl"] = Field(
        "auto", description="auto goes by the file's name"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="nitamono's column = the catalogue's column; same names need no entry",
    )
    encoding: str = Field(
        "UTF-8", description="of CSV and JSON Lines files; Shift_JIS for instance"
    )
    delimiter: str = Field(",", description="of CSV files", min_length=1, max_length=1)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        java_encoding(value)
        return value


class S3Section(Section):
    """How to reach the object store of store, catalogue and model; credentials are never here."""

    endpoint: str = Field("", description="URL of an object store that is not AWS's")
    region: str = Field("", description="of the object store")
    profile: str = Field("", description="of AWS's shared files; credentials stay in them")
    path_style: Literal["auto", "on", "off"] = Field(
        "auto", description="bucket in the URL's path, not the host's name; auto: at an endpoint"
    )
    staging: str = Field("", description="s3:// prefix for shipping large models by s3")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL: http://HOST:PORT or https://HOST")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            self.options()
        except ModelError as error:
            raise ValueError(str(error)) from error
        return self

    def options(self) -> S3Options:
        """The same for boto3 and Arrow."""
        return S3Options(
            endpoint=self.endpoint or None,
            region=self.region or None,
            profile=self.profile or None,
            staging=self.staging or None,
            path_style={"on": True, "off": False}.get(self.path_style),
        )


class TextSection(Section):
    """How text becomes tokens."""

    split_mode: Literal["A", "B", "C"] = Field(
        "C", description="SudachiPy's units, from short (A) to long (C)"
    )
    word_form: Literal["surface", "dictionary", "normalized"] = Field(
        "normalized", description="which form of a Japanese word is kept"
    )
    dictionary: Literal["small", "core", "full"] = Field(
        "core",
        description="SudachiPy's edition; small and full: pip install nitamono[dictionaries]",
    )
    user_dictionaries: list[str] = Field(
        default_factory=list, description="compiled user dictionaries, in order"
    )


class ModelSection(Section):
    """The embedding model: trained on the catalogue, or loaded from path."""

    kind: Literal["fasttext", "onnx"] = Field(
        "fasttext", description="fasttext, or a sentence encoder in ONNX, a directory"
    )
    path: str = Field(
        "", description="a model to use, file, directory or s3:// address; empty: train fastText"
    )
    engine: Literal["mapped", "library"] = Field(
        "mapped", description="of fastText: one mapped copy a host, or the library's own a process"
    )
    float16: bool = Field(False, description="store a mapped model in half the space")
    ship: Literal["auto", "addfile", "archive", "s3", "path"] = Field(
        "auto", description="how the model gets to the executors"
    )
    algorithm: Literal["skipgram", "cbow"] = Field(
        "skipgram", description="how it is trained: skipgram or cbow"
    )
    dim: int = Field(100, ge=1, le=2000, description="length of a vector")
    epoch: int = Field(0, ge=0, description="passes over the sample; 0: 5 to 20, by its size")
    min_count: int = Field(2, ge=1, description="rarer words get n-grams only; lowered if too few")
    window: int = Field(5, ge=1, description="words to each side that count as context")
    minn: int = Field(2, ge=0, description="shortest character n-gram; 0 with maxn = 0: none")
    maxn: int = Field(5, ge=0, le=20, description="longest character n-gram")
    bucket: int = Field(0, ge=0, le=100_000_000, description="n-gram rows; 0: by vocabulary")
    sample_items: int = Field(1_000_000, ge=1, description="items to train on, at most")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the choice of items")
    threads: int = Field(1, ge=1, description="more than 1 is faster, and not repeatable")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kind == "onnx" and not self.path:
            raise ValueError('kind = "onnx" needs path, the directory of the encoder')
        if self.minn > self.maxn:
            raise ValueError(f"minn is {self.minn}, above maxn, which is {self.maxn}")
        return self


class EmbedSection(Section):
    """How tokens become vectors."""

    method: Literal["mean", "weighted", "blend"] = Field(
        "blend",
        description="mean: of the tokens' vectors, as fastText's; weighted: rare ones count more; "
        "blend: that and the words' letters",
    )
    dim: int = Field(
        448,
        ge=64,
        le=4096,
        description="length of a blend's vector, of which the model's is the first part",
    )
    lexical_weight: float = Field(
        0.55, ge=0, le=1, description="share of a blend's cosine that is the letters'"
    )
    title_weight: float = Field(
        1.0, ge=0, le=100, description="of a title's tokens; weighted and blend only"
    )
    description_weight: float = Field(
        0.8, ge=0, le=100, description="of a description's tokens; weighted and blend only"
    )

    drop_phrases: bool = Field(
        True, description="leave promotional phrases, learned from all titles, out of each"
    )

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if self.title_weight == self.description_weight == 0:
            raise ValueError("title_weight and description_weight are both 0")
        return self


class IndexSection(Section):
    """How the catalogue is cut into lists."""

    exact_below: int = Field(
        50_000, ge=0, description="catalogues with fewer vectors are searched exactly"
    )
    nlist: int = Field(0, ge=0, description="number of lists; 0: by the number of items")
    sample_items: int = Field(
        1_200_000, ge=1, description="vectors to train the lists on, at most; 16 a list at least"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the choice of vectors and centroids")


class NeighborsSection(Section):
    """The search for neighbours."""

    k: int = Field(10, ge=1, le=1000, description="neighbours an item")
    reserve: int = Field(
        2, ge=0, le=1000, description="neighbours kept beyond k, for nights when some leave"
    )
    target_recall: float = Field(0.97, gt=0, le=1, description="share of true neighbours wanted")
    nprobe: int = Field(0, ge=0, description="lists searched for an item; 0: by target_recall")
    max_probes: int = Field(
        0, ge=0, description="lists searched at most for an item short of k; 0: 16 times the others"
    )
    recall_sample: int = Field(
        1000, ge=1, le=10_000, description="items that recall is measured on"
    )
    mode: Literal["all", "new"] = Field(
        "all", description="new: only for items that the last published catalogue lacks"
    )
    where: str = Field(
        "", description="only for items that match, in SQL; with mode new: instead of new items"
    )
    worker_mb: int = Field(1500, ge=500, description="memory that a Python worker may use, in MB")
    partitions: int = Field(0, ge=0, description="Spark tasks of the join; 0: one a group of lists")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the choice of those items")


# Columns of an item that rules compare.
ItemColumn = Literal[
    "title", "category", "group_id", "brand", "locale", "image_url", "price", "stock"
]


class RulesSection(Section):
    """What an item's list may hold; rules act before the best are chosen."""

    eligible: str = Field(
        "", description="only items that match, in SQL, are shown: stock > 0 for instance"
    )
    query: str = Field("", description="only items that match, in SQL, get a list")
    same: list[ItemColumn] = Field(
        default_factory=list, description="columns that an item and its neighbours share"
    )
    collapse: Literal["", "group_id", "brand", "category", "title"] = Field(
        "", description="column of variants: one of a group in a list, none of the item's own"
    )
    max_per: dict[ItemColumn, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="column = how many of one value a list may hold"
    )
    price_ratio: list[float] = Field(
        default_factory=list,
        description="least and greatest price of a neighbour, in prices of the item: [0.5, 2.0]",
    )
    min_score: float = Field(-1.0, ge=-1, le=1, description="least score of a neighbour")
    max_score: float = Field(
        1.0, ge=-1, le=1, description="greatest score: what is nearer is left out"
    )
    deny: str = Field(
        "",
        description="file with item_id, and similar_id for pairs: what is never shown",
    )

    @field_validator("price_ratio")
    @classmethod
    def _two(cls, value: list[float]) -> list[float]:
        if value and (len(value) != 2 or not 0 <= value[0] <= value[1]):
            raise ValueError("must be two numbers, the least and the greatest: [0.5, 2.0]")
        return value

    @model_validator(mode="after")
    def _scores(self) -> Self:
        if self.min_score > self.max_score:
            raise ValueError(f"min_score is {self.min_score}, above max_score, {self.max_score}")
        return self

    def columns(self) -> dict[str, list[str]]:
        """The columns that each rule compares."""
        return {
            "same": list(self.same),
            "collapse": [self.collapse] if self.collapse else [],
            "max_per": list(self.max_per),
            "price_ratio": ["price"] if self.price_ratio else [],
        }


class PublishSection(Section):
    """Whether runs publish, and the gate before it."""

    publish: bool = Field(True, description="false: runs publish only when told to with --publish")
    min_recall: float = Field(
        -1.0, ge=-1, le=1, description="held back below it; -1: neighbors.target_recall"
    )
    max_without: float = Field(
        0.5, ge=0, le=1, description="held back if a larger share of items has no neighbour"
    )
    min_rows: float = Field(
        0.9,
        ge=0,
        le=1,
        description="held back with fewer rows than this share of the published table's",
    )
    min_coverage: float = Field(
        0.9, ge=0, le=1, description="the same of the items that have neighbours"
    )
    max_churn: float = Field(
        0.5,
        ge=0,
        le=1,
        description="held back if a larger share of neighbours was replaced; 1: never",
    )


class ReportSection(Section):
    """The page of a run."""

    map_items: int = Field(
        1500, ge=0, le=2000, description="items on the map of a run's page, at most; 0: no map"
    )


class Config(Section):
    """The whole config; only [store] and [catalogue] must be given."""

    store: StoreSection
    catalogue: CatalogueSection
    s3: S3Section = S3Section()
    text: TextSection = TextSection()
    model: ModelSection = ModelSection()
    embed: EmbedSection = EmbedSection()
    index: IndexSection = IndexSection()
    neighbors: NeighborsSection = NeighborsSection()
    rules: RulesSection = RulesSection()
    publish: PublishSection = PublishSection()
    report: ReportSection = ReportSection()
    spark: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _library_gives_means(self) -> Self:
        library = self.model.kind == "fasttext" and self.model.engine == "library"
        if library and self.embed.method != "mean":
            raise ValueError(
                f'embed.method is {self.embed.method}, and model.engine = "library" gives means '
                'only; set embed.method = "mean", or leave the engine'
            )
        return self
