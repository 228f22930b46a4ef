from pipeline.models.assets import Asset, AssetLink, CostEvent, Export, QualityReport, Review
from pipeline.models.copilot import AgentInstruction, AgentInstructionEvent, ChatMessage, ChatSession
from pipeline.models.runs import Attempt, Candidate, Run, RunJob

__all__ = [
    "AgentInstruction",
    "AgentInstructionEvent",
    "Asset",
    "AssetLink",
    "Attempt",
    "Candidate",
    "ChatMessage",
    "ChatSession",
    "CostEvent",
    "Export",
    "QualityReport",
    "Review",
    "Run",
    "RunJob",
]
