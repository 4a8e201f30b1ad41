"""Reasons: why an item has fewer neighbours than were asked for."""

# What a reason means, for a person.
MEANING = {
    "no_tokens": "the text holds no word",
    "no_vector": "the model knows none of its words",
    "not_asked": "rules.query gives such an item no list",
    "few_items": "the catalogue has no more",
    "few_eligible": "no more are eligible and the same",
    "rules": "the others that were looked at break a rule",
    "few_in_lists": "the lists that were searched hold no more",
}
