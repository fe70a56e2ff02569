"""A LlamaIndex retriever over a lake's reports (llama-index-core 0.14)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from slidelake.errors import UsageError
from slidelake.services.adapters.passages import facts_of

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["LakeRetriever"]


class LakeRetriever(BaseRetriever):
    """Passages of a lake's reports as scored nodes, best first; higher scores are better.

    LakeRetriever(slidelake.open("lake"), k=5).retrieve("positive margins")
    """

    def __init__(self, lake: "Lake", *, k: int = 5, exclude_patients: Sequence[str] = ()) -> None:
        if not 1 <= k <= 1000:
            raise UsageError(f"k is {k}", remedy="Ask for 1 to 1000 passages.")
        super().__init__()
        self._lake, self._k, self._excluded = lake, k, tuple(exclude_patients)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._lake.search_reports(query_bundle.query_str, k=self._k, exclude_patients=self._excluded)
        return [
            NodeWithScore(
                node=TextNode(id_=hit.chunk_id, text=hit.text, metadata=facts_of(hit)), score=hit.score
            )
            for hit in hits
        ]
