"""A LangChain retriever over a lake's reports (langchain-core 1)."""

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from slidelake.services.adapters.passages import facts_of

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["LakeRetriever"]


class LakeRetriever(BaseRetriever):
    """Passages of a lake's reports as Documents, best first; `metadata` as `facts_of`, `id` the chunk's.

    LakeRetriever(lake=slidelake.open("lake"), k=5).invoke("positive margins")
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    lake: Any = Field(repr=False)
    k: int = Field(default=5, ge=1, le=1000)
    #: Patients whose reports are left out.
    exclude_patients: tuple[str, ...] = ()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        lake: Lake = self.lake
        hits = lake.search_reports(query, k=self.k, exclude_patients=self.exclude_patients)
        return [Document(page_content=hit.text, metadata=facts_of(hit), id=hit.chunk_id) for hit in hits]
