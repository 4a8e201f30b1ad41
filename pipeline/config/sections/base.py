"""The base of all sections."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the config: immutable, strictly typed, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)
