"""What every facet of OpenLineage has: who made it, and its schema."""

from typing import Any

from pipeline import __version__

PRODUCER = f"urn:nitamono:{__version__}"
SPEC = "https://openlineage.io/spec"


def facet(name: str, version: str, /, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A facet of OpenLineage.

    Args:
        name: of its schema.
        version: of its schema.
        fields: its own fields; those that are None are left out.
    """
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{SPEC}/facets/{version}/{name}.json#/$defs/{name}",
        **{key: value for key, value in fields.items() if value is not None},
    }
