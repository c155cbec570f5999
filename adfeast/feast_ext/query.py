"""What a batch view's query says of each column, so that a column that is added leaves the others what they are.

A feature's `made` is a digest of the query cut down to what that one column needs: other columns of the outermost
SELECT and of every CTE are pruned, and layout and comments do not count. Where the query cannot be cut down (a
`SELECT *`, say) the whole query stands for each column, which is safe: a change is then a change of all.

The pruning is sqlglot's optimizer (its rules `qualify`, `pushdown_projections`, `eliminate_ctes`). Another version of
it may write the same query in another way, which would look like a change: uv.lock pins it.
"""

from __future__ import annotations

import hashlib

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.eliminate_ctes import eliminate_ctes
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify

from adfeast.errors import DefinitionError

DIALECT = "spark"


class Query:
    """A batch view's Spark SQL.

    Raises:
        DefinitionError: it is not a SELECT that can be read; the message names the view and the place.
    """

    def __init__(self, view: str, text: str) -> None:
        self._view = view
        try:
            found = sqlglot.parse_one(text, read=DIALECT)
        except SqlglotError as error:
            raise DefinitionError(f"query of view {view!r} cannot be read: {str(error).splitlines()[0]}") from error
        if not isinstance(found, exp.Select):
            raise DefinitionError(f"query of view {view!r} must be one SELECT (with CTEs, if need be)")
        self._tree = found

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tables and topics it reads, sorted."""
        own = {cte.alias for cte in self._tree.find_all(exp.CTE)}
        return tuple(sorted({table.name for table in self._tree.find_all(exp.Table)} - own))

    def made(self, key: str, feature: str) -> str:
        """How a column is made, as `query <digest>`.

        Raises:
            DefinitionError: the query has no such column.
        """
        names = [e.alias_or_name for e in self._tree.expressions]
        if "*" not in names:
            for column in (key, feature):
                if column not in names:
                    raise DefinitionError(
                        f"query of view {self._view!r} returns no column {column!r}; it returns {', '.join(names)}"
                    )
        return f"query {hashlib.sha256(self._only(key, feature).encode()).hexdigest()[:16]}"

    def _only(self, key: str, feature: str) -> str:
        whole = self._tree.sql(dialect=DIALECT, comments=False)
        try:
            tree = qualify(self._tree.copy(), dialect=DIALECT, validate_qualify_columns=False, quote_identifiers=False)
            kept = [e for e in tree.expressions if e.alias_or_name in (key, feature)]
            if len(kept) != 2:
                return whole
            tree.set("expressions", kept)
            return eliminate_ctes(pushdown_projections(tree)).sql(dialect=DIALECT, comments=False)
        except SqlglotError:
            return whole
