from pipeline.models.assets import Asset, AssetLink, CostEvent, Export, QualityReport, Review
from pipeline.models.attempts import Attempt
from pipeline.models.copilot import AgentInstruction, AgentInstructionEvent, ChatMessage, ChatSession
from pipeline.models.health import AccountHealth
from pipeline.models.lab import LabWork
from pipeline.models.runs import Candidate, Run, RunJob

__all__ = [
    "AccountHealth",
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
    "LabWork",
    "QualityReport",
    "Review",
    "Run",
    "RunJob",
]
