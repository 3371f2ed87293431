# SPDX-License-Identifier: GPL-3.0-or-later
"""The table by which a vendor's reader says where its values belong in HyperSpy's metadata."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any

_logger = logging.getLogger(__name__)

Table = Mapping[str, tuple[str, Callable[[Any], Any] | None]]


def mapped_metadata(
    metadata: Mapping[str, Any], original: Mapping[str, Any], table: Table
) -> dict[str, Any]:
    """HyperSpy's metadata tree, with the vendor values that the table names put in.

    Parameters
    ----------
    metadata : mapping
        The tree as the reader returns it; not changed.
    original : mapping
        The vendor's tree.
    table : mapping
        Path of a vendor value, parts joined by dots, to its path in the tree and a function of
        the value, or None. A function that raises leaves its value out, and no other.
    """
    tree: dict[str, Any] = copy.deepcopy(_plain(metadata))
    for source, (target, function) in table.items():
        found = tag(original, source)
        if found is None:
            continue
        try:
            value = found if function is None else function(found)
        except Exception as error:
            # The functions are the vendor reader's, for values of whatever form the file has.
            _logger.debug("%s is left out: %s: %s", source, type(error).__name__, error)
            continue
        if value is None or isinstance(value, Mapping):
            continue
        node = tree
        *parents, name = target.split(".")
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                break
            node = child
        else:
            node[name] = value
    return tree


def tag(tree: Any, path: str) -> Any:
    """The value at a path of names joined by dots; None where there is none, or an empty one.

    Blanks and underscores count as equal, as readers differ in them.
    """
    node = tree
    for part in path.split("."):
        if not isinstance(node, Mapping):
            return None
        names = {str(name).replace(" ", "_"): name for name in node}
        name = names.get(part.replace(" ", "_"))
        if name is None:
            return None
        node = node[name]
    is_empty = isinstance(node, str | list | tuple | Mapping) and len(node) == 0
    return None if is_empty else node


def _plain(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {str(key): _plain(value) for key, value in tree.items()}
    return tree
