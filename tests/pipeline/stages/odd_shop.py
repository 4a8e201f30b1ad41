"""Settings of the sections that decide what a shop shows, and odd items: for showcase.py."""

from datetime import date

from tests.pipeline.stages.definitions.edits import Condition
from tests.pipeline.stages.definitions.table import Settings
from tests.pipeline.stages.test_edits import EDITS, FUTURE, IN_FORCE, edit
from tests.pipeline.stages.test_rank import with_further_columns
from tests.pipeline.stages.test_rules import Rows, random_catalogue

DAY = "2026-05-01"
CONDITIONS: dict[str, Condition] = {
    "stock > 0": lambda row: row["stock"] is not None and row["stock"] > 0,
    "not used and released >= '2026-01-20'": lambda row: (
        row["used"] is False
        and row["released"] is not None
        and row["released"] >= date(2026, 1, 20)
    ),
    "price is null or brand <> 'bird'": lambda row: (
        row["price"] is None or row["brand_as_written"] not in (None, "bird")
    ),
    "sold < 0": lambda row: row["sold"] is not None and row["sold"] < 0,
    "brand = 'bird'": lambda row: row["brand"] == "bird",
    "brand = 'Cloud'": lambda row: row["brand"] == "Cloud",
    "brand = 'アオキ'": lambda row: row["brand"] == "アオキ",
    "category = '靴'": lambda row: row["category"] == "靴",
    "category = '時計'": lambda row: row["category"] == "時計",
    "category = '傘'": lambda row: row["category"] == "傘",
    "stock = 2 and false or brand = 'none'": lambda _: False,
}
DENIED = [["i003", "i010"], ["i005", ""], ["i020", "i021"], ["gone", "i001"]]
FRESH = {"column": "released", "weight": 0.15, "half_days": 40, "date": DAY}
ODD_EDITS = [
    *(edit("pin", rank, item_id="i001", similar_id="i040") for rank in (4, 2)),
    *(edit("pin", 3, item_id="i002", similar_id=other) for other in ("i051", "i050", "i050")),
    edit("pin", 5, similar_id="i060"),
    edit("pin", 4, similar_id="i007"),
    edit("pin", 1, item_where="sold < 0", similar_id="i061"),
    edit("pin", 2, item_id="i033", similar_id="i034"),
    edit("pin", 2, item_id="i034", similar_id="i033"),
    edit("pin", 1, item_id="gone", similar_id="i001"),
    edit("pin", 1, item_id="i003", similar_id="gone"),
    edit("boost", 0.3, item_id="gone", similar_id="away"),
    edit("deny", similar_id="gone"),
    *(edit("bury", 0.9, similar_id="i008", note=str(n)) for n in range(2)),
    edit("bury", 0.8, similar_id="i008"),
    edit("boost", 0.7, item_where="sold < 0", similar_where="brand = 'bird'"),
    edit("boost", 0.7, item_where="brand = 'bird'", similar_where="stock > 0"),
    edit("deny", item_id="i009", similar_where="stock > 0"),
    edit("deny", similar_id="i012", **{"from": DAY, "until": DAY}),
    edit("deny", similar_id="i013", **{"from": "2026-05-02"}),
    edit("deny", similar_id="i014", until="2026-04-30"),
]
# Two kinds of each section.
SECTIONS: dict[str, tuple[Settings, Settings]] = {
    "columns": (
        {
            "rules": {
                "same": ["used"],
                "differ": ["seller"],
                "max_per": {"stock": 2, "released": 1},
                "eligible": "stock > 0",
            }
        },
        {
            "rules": {
                "collapse": "group_id",
                "max_per": {"seller": 2, "brand": 3},
                "price_ratio": [0.5, 2.0],
                "eligible": "not used and released >= '2026-01-20'",
                "query": "price is null or brand <> 'bird'",
                "min_score": 0.2,
                "max_score": 0.98,
                "deny": DENIED,
            }
        },
    ),
    "rank": (
        {
            "rank": {
                "same": {"category": 0.05, "seller": 0.3},
                "price": {"weight": 0.2, "half": 1.5},
                "value": {"sold": 0.1, "stock": -0.05},
                "fresh": FRESH,
            }
        },
        {
            "rank": {
                "same": {"used": -0.2, "released": 0.4, "price": 0.1},
                "price": {"weight": -0.3},
                "value": {"price": 1.0},
                "fresh": FRESH | {"weight": -1.0, "date": "2026-02-01"},
            }
        },
    ),
    "diversity": (
        {"rank": {"diversity": 0.4, "depth": 12}},
        {"rank": {"diversity": 0.7}},
    ),
    "rerank": ({"rank": {"rerank": True}}, {"rank": {"rerank": True, "depth": 8}}),
    "exposure": ({"rank": {"exposure": 0.25}}, {"rank": {"exposure": 1.0}}),
    "edits": (
        {"edits": {"date": DAY, "rows": [*EDITS, *FUTURE, *IN_FORCE]}},
        {"edits": {"date": DAY, "rows": ODD_EDITS}},
    ),
    "fallback": (
        {"fallback": {"order": ["same category by sold", "by sold"]}},
        {"fallback": {"order": ["same seller by stock", "same used by price"]}},
    ),
    "variants": (
        {
            "variant": {
                "neighbors": {"k": 3},
                "rules": {"min_score": 0.4, "max_per": {"category": 2}},
            }
        },
        {
            "variant": {
                "neighbors": {"k": 8},
                "rank": {"diversity": 0.2, "same": {"brand": 0.2}, "exposure": 0.1},
            }
        },
    ),
}


def odd_catalogue(n: int) -> Rows:
    """A catalogue with equal items, items without words, model numbers, and odd numbers."""
    rows = with_further_columns(random_catalogue(n), 1)
    for number, row in enumerate(rows):
        # Few titles have a model number; some descriptions are longer than twice the title.
        row["title"] += f" XZ-{number // 6}0B" if number % 2 == 0 else ""
        row["description"] = ["", "軽い 革の かばん", "雨の日に 使える 丈夫な 品 " * 4][number % 3]
    for number in (4, 17, 33):
        rows[number] |= {"title": "、。", "description": ""}
    rows[35]["title"] = "、。"
    for number in range(40, n, 9):
        rows[number]["sold"] = str(-number)
        rows[number]["stock"] = "-1"
    for number in range(41, n, 13):
        rows[number]["price"] = "-5"
    for number in range(44, n, 10):
        rows[number] |= {"brand": "\u3000", "stock": "-0"}
    for number in range(42, n, 11):
        # All of it the same, but for the id.
        rows[number] |= {k: v for k, v in rows[42].items() if k != "item_id"}
    for number in range(43, n, 17):
        rows[number] |= dict.fromkeys(
            ("category", "group_id", "brand", "price", "stock", "shop", "sold", "released", "used"),
            "",
        )
    return rows


# What else people may write.
ODD_CASES: dict[str, Settings] = {
    "k_above_the_catalogue": {
        "neighbors": {"k": 150},
        "rank": {"diversity": 0.3},
        "rules": {"same": ["brand"], "max_per": {"stock": 9}},
        "edits": {"date": DAY, "rows": [*ODD_EDITS, edit("pin", 150, similar_id="i070")]},
        "fallback": {"order": ["same brand by price"]},
    },
    "no_edits": {"edits": {"date": DAY, "rows": []}},
    "pins_only": {"edits": {"date": DAY, "rows": [one for one in EDITS if one["action"] == "pin"]}},
    "denials_only": {
        "edits": {"date": DAY, "rows": [one for one in EDITS if one["action"] == "deny"]},
        "rules": {"deny": DENIED},
    },
    "nothing_is_near_enough": {
        "rules": {"min_score": 1.0, "max_score": 1.0, "collapse": "group_id"},
        "edits": {"date": DAY, "rows": ODD_EDITS},
        "fallback": {"order": ["by price"]},
    },
    "nothing_is_eligible": {
        "rules": {"eligible": "stock = 2 and false or brand = 'none'"},
        "edits": {"date": DAY, "rows": EDITS},
        "fallback": {"order": ["by sold"]},
        "rank": {"exposure": 0.5, "diversity": 0.5},
    },
    "nobody_asks": {
        "rules": {"query": "stock = 2 and false or brand = 'none'"},
        "edits": {"date": DAY, "rows": ODD_EDITS},
        "fallback": {"order": ["by sold"]},
    },
    "a_small_depth_and_caps_on_one_column": {
        "rules": {"collapse": "group_id", "max_per": {"group_id": 2, "brand": 1, "price": 1}},
        "rank": {"diversity": 0.9, "depth": 2},
    },
    "ranked_again_under_caps_with_all_that_lowers_ranks": {
        "rules": {"collapse": "group_id", "max_per": {"brand": 2, "price": 2}},
        "rank": {"rerank": True, "diversity": 0.3, "exposure": 0.6, "depth": 2},
    },
    "one_of_two_candidates_that_are_ranked_again": {
        "neighbors": {"k": 1},
        "rules": {"max_per": {"brand": 1}},
        "rank": {"rerank": True, "exposure": 0.5, "depth": 2},
    },
    "blank_texts_and_minus_0_are_no_values_of_their_own": {
        "rules": {"same": ["brand", "stock"], "price_ratio": [1.0, 1.0]},
        "rank": {"same": {"brand": 0.1, "stock": 0.2}},
        "fallback": {"order": ["same stock by stock", "same brand by stock"]},
    },
    "numbers_that_differ": {"rules": {"differ": ["stock", "price", "used"]}},
    "a_variant_as_the_table_itself": {
        "variant": {"neighbors": {"k": 7}},
        "rules": {"min_score": 0.5},
        "edits": {"date": DAY, "rows": [*EDITS, edit("pin", 7, similar_id="i031")]},
        "fallback": {"order": ["same category by sold"]},
    },
}
