"""Nesting: the depth found without decoding is the depth there is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidRecord
from schemas.nesting import check_json_depth, check_msgpack_depth

texts = st.text(alphabet='{}[]"\\x\u00e9', max_size=6)
leaves = st.one_of(
    st.none(), st.booleans(), texts, st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(texts, inner, max_size=17),
    max_leaves=40,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values, st.integers(-2, 2))
def test_json_is_too_deep_exactly_above_the_limit(value: Any, slack: int) -> None:
    limit = depth(value) + slack
    encoded = msgspec.json.encode(value)
    if slack >= 0:
        check_json_depth(encoded, limit)
    elif limit >= 0:
        with pytest.raises(InvalidRecord, match="too_deep"):
            check_json_depth(encoded, limit)


@given(values, st.binary(max_size=300), st.integers(-2, 2))
def test_msgpack_is_too_deep_exactly_above_the_limit(value: Any, blob: bytes, slack: int) -> None:
    nested = [blob, value, msgspec.msgpack.Ext(1, blob)]
    limit = depth(nested) + slack
    encoded = msgspec.msgpack.encode(nested)
    if slack >= 0:
        check_msgpack_depth(encoded, limit)
    elif limit >= 0:
        with pytest.raises(InvalidRecord, match="too_deep"):
            check_msgpack_depth(encoded, limit)
