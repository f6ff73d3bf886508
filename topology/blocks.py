"""Generated blocks inside a written document, between two comments that name them."""

from __future__ import annotations


def replace_block(document: str, name: str, body: str) -> str:
    """`document` with the text between the block's comments replaced by `body`.

    Raises `ValueError` unless the document has the block exactly once.
    """
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->\n"
    if document.count(begin) != 1 or document.count(end) != 1 or document.index(begin) > document.index(end):
        raise ValueError(f"the document needs one block between {begin.strip()} and {end.strip()}")
    head, _, rest = document.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}{body}{end}{tail}"
