"""The files of models on this machine as a document: which it holds, and which it serves to other peers."""

from dataclasses import dataclass
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count


@dataclass(frozen=True, kw_only=True)
class BlobDocument:
    """A file. `bytes` is its size on disk, and `path` its name in the release that names it, if one does.

    A file that is not `whole` is being fetched, or its download was interrupted. A `pinned` file is never deleted to
    make room. An `own` file is outside of the store, and served from its place. `served` says whether other peers get
    it.
    """

    sha256: str
    path: str | None
    bytes: Count
    whole: bool
    pinned: bool
    own: bool
    served: bool


@dataclass(frozen=True, kw_only=True)
class BlobsDocument(ApiDocument):
    """The files that this node holds for itself and for other peers, by SHA-256; and how much room they may take."""

    schema: Literal["p2pverify/blobs/1"]
    serves: bool
    bytes: Count
    quota_bytes: Count
    blobs: tuple[BlobDocument, ...]
