"""Variants of the similar-item table among the stages of a run: STAGE@b is a stage of variant b."""

from collections.abc import Mapping

# The stages that are run once for each variant.
VARIED = ("neighbors", "publish")
# The version of the similar-item table, and name and version of each of its variants.
ShopTables = tuple[str, tuple[tuple[str, str], ...]]


def variant_names(stages: Mapping[str, str]) -> list[str]:
    """The names of the variants that stages were run for.

    Args:
        stages: the fingerprint of each stage; those of a variant b are under STAGE@b.
    """
    return sorted({variant for stage in stages if (variant := stage.partition("@")[2])})


def stages_of(stages: Mapping[str, str], variant: str = "") -> dict[str, str]:
    """The fingerprint of each stage that a table was made by.

    Args:
        stages: those of the tables of a run.
        variant: the variant of the table; empty for the table itself.
    """
    shared = {stage: version for stage, version in stages.items() if "@" not in stage}
    if not variant:
        return shared
    own = {
        stage.partition("@")[0]: version
        for stage, version in stages.items()
        if stage.partition("@")[2] == variant
    }
    return {stage: v for stage, v in shared.items() if stage not in VARIED} | own


def variant_tables(stages: Mapping[str, str]) -> dict[str, str]:
    """The version of each variant of the similar-item table, by its name."""
    return {name: stages_of(stages, name)["publish"] for name in variant_names(stages)}


def shop_tables(version: str, variants: Mapping[str, str]) -> ShopTables:
    """What identifies a publication: two may have the table in common, and other variants."""
    return version, tuple(sorted(variants.items()))
