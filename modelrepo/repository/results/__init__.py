"""What the operations return: frozen values, the same for Python and for `--json`."""

from __future__ import annotations

from modelrepo.repository.results.asking import (
    Channel,
    DiffResult,
    HistoryAt,
    HistoryEntry,
    Inspection,
    PathResult,
    Prediction,
    ServingConfig,
    Status,
    VersionDetails,
    VersionSummary,
)
from modelrepo.repository.results.releasing import AnnotateResult, ChannelRemoval, MoveResult, PinResult
from modelrepo.repository.results.storing import (
    CleanupResult,
    ExportResult,
    InitResult,
    Kept,
    Problem,
    PushResult,
    RemoveResult,
    VerifyResult,
)

__all__ = [
    "AnnotateResult",
    "Channel",
    "ChannelRemoval",
    "CleanupResult",
    "DiffResult",
    "ExportResult",
    "HistoryAt",
    "HistoryEntry",
    "InitResult",
    "Inspection",
    "Kept",
    "MoveResult",
    "PathResult",
    "PinResult",
    "Prediction",
    "Problem",
    "PushResult",
    "RemoveResult",
    "ServingConfig",
    "Status",
    "VerifyResult",
    "VersionDetails",
    "VersionSummary",
]
