"""The search for neighbours: quantiser, routing, join, merge, rules and recall.

Everything here works on NumPy arrays and Arrow record batches, without Spark and without the store;
the stages index and neighbors run these functions inside Spark's tasks.

Words that are used throughout:
    list    a cell of the quantiser (an inverted list); each item is in the list of its nearest
            centroid
    probe   a list that a query is searched in: one of the `nprobe` lists nearest to it
    unit    a list, or one part of a list that was split because it is long
    group   neighbouring units that one task loads at a time
    part    the share of the queries whose candidates one task of the merge holds
    trait   a value that rules read of an item: its price, its variant, ...

The table of neighbours is defined without reference to groups, parts or block sizes: it holds the
exact top k by score among the eligible items of the probed lists, ties by item id.
"""
