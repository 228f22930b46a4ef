from projects.models.accounts import ApiToken, Budget, ProviderAccount, Secret
from projects.models.audit import AuditEvent, AuditHead
from projects.models.continuity import (
    Character,
    InProjectQuerySet,
    PromptTemplate,
    ReferenceItem,
    ReferenceSet,
    StyleGuide,
)
from projects.models.people import SigninLink, User
from projects.models.project import ROLE_CHOICES, Membership, Project, ProjectStorage

__all__ = [
    "ROLE_CHOICES",
    "ApiToken",
    "AuditEvent",
    "AuditHead",
    "Budget",
    "Character",
    "InProjectQuerySet",
    "Membership",
    "Project",
    "ProjectStorage",
    "PromptTemplate",
    "ProviderAccount",
    "ReferenceItem",
    "ReferenceSet",
    "Secret",
    "SigninLink",
    "StyleGuide",
    "User",
]
