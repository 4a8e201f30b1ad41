"""The stage publish: neighbors -> similar_items, the gate, and the pointer."""
