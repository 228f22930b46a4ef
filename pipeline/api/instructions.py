"""Routes: instructions, which somebody confirms and an agent, or Kroma itself, carries out."""

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.security.http import HttpAuthBase
from pydantic import Field, JsonValue, StrictBool, StrictStr

from pipeline.models import AgentInstruction, AgentInstructionEvent
from pipeline.services import instructions
from projects.access import Action
from projects.api.base import ADDITIVE, Answer, ApiRequest, Bearer, answers, moment, project_of, row_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import Invalid
from projects.services.tokens import bearer_of
from projects.texts import optional_text, required_text

router = Router(tags=["instructions"])

INSTRUCTIONS = "/api/projects/{slug}/agent/instructions"
ONE = f"{INSTRUCTIONS}/{{instruction_id}}"
NOT_FOUND = "Agent instruction not found"
TYPES = AgentInstruction.Type.values
EXECUTORS = AgentInstruction.Executor.values


class InstructionIn(Schema):
    """Something that is to be done."""

    instruction_text: StrictStr = Field("", examples=["Check the harbour scenes for stray colours."])
    instruction_type: StrictStr | None = Field(
        None, description=f"One of: {', '.join(TYPES)}; any other counts as `custom`.", examples=["custom"]
    )
    payload_json: JsonValue = Field(
        None,
        description="Goes to the agent as it is. For `pipeline_run` the body of a trigger, whose own "
        "`confirm_spend` counts for nothing.",
        examples=[{"mode": "dry", "scene_refs": ["scenes/quay.png"]}],
    )
    constraints: dict[str, JsonValue] | None = None
    inputs: dict[str, JsonValue] | None = None
    execution: dict[str, JsonValue] | None = Field(
        None,
        description="`by`: who carries out a `pipeline_run`: `agent`, or `kroma` itself. Without it the "
        "agent, where the workspace or the project knows the address of one.",
        examples=[{"by": "kroma"}],
    )

    def checked(self) -> dict[str, Any]:
        """The fields to write. Raises `Invalid`, and what a trigger says of a run that Kroma is to start."""
        given = optional_text("instruction_type", self.instruction_type, longest=100)
        text = self.instruction_text
        if "instruction_text" not in self.model_fields_set and given:
            text = instructions.text_of(given, self.payload_json)
        fields = {
            "instruction_text": required_text("instruction_text", text),
            "instruction_type": given.lower() if given.lower() in TYPES else AgentInstruction.Type.CUSTOM,
            "payload": self.payload_json,
            "constraints": self.constraints,
            "inputs": self.inputs,
            "execution": self.execution,
        }
        self._check_execution(str(fields["instruction_type"]))
        return fields

    def _check_execution(self, instruction_type: str) -> None:
        by = (self.execution or {}).get("by")
        if by is None:
            return
        if by not in EXECUTORS:
            raise Invalid(f"Field 'execution.by' must be one of: {', '.join(EXECUTORS)}")
        if by == AgentInstruction.Executor.KROMA:
            if instruction_type != AgentInstruction.Type.PIPELINE_RUN:
                raise Invalid(
                    "Field 'execution.by' can be 'kroma' for the instruction type 'pipeline_run' only"
                )
            instructions.run_asked(self.payload_json, confirm_spend=True)


class ConfirmIn(Schema):
    """A confirmation."""

    message: StrictStr | None = Field(None, description="Why; blank or absent: a general text.")
    confirm_spend: StrictBool | None = Field(
        None, description="Needed where Kroma itself is to start a run that makes images."
    )

    def checked(self) -> dict[str, Any]:
        """The arguments of the service. Raises `Invalid`."""
        return {
            "message": optional_text("message", self.message),
            "confirm_spend": self.confirm_spend is True,
        }


class CancelIn(Schema):
    """A withdrawal."""

    message: StrictStr | None = Field(None, description="Why; blank or absent: a general text.")
    force: StrictBool | None = Field(
        None, description="Also one that is confirmed, such as one that waits for its next attempt."
    )

    def checked(self) -> dict[str, Any]:
        """The arguments of the service. Raises `Invalid`."""
        return {"message": optional_text("message", self.message), "force": self.force is True}


class CallbackIn(Schema):
    """What an agent reports."""

    status: StrictStr = Field(
        "", description=f"One of: {', '.join(instructions.REPORTED)}.", examples=["done"]
    )
    message: StrictStr | None = None
    result: JsonValue = Field(None, description="Kept with the instruction, not shown.")
    error: StrictStr | None = Field(None, description="What went wrong, in a sentence.")

    def checked(self) -> dict[str, Any]:
        """The arguments of the service. Raises `Invalid`."""
        status = required_text("status", self.status).lower()
        if status not in instructions.REPORTED:
            raise Invalid(f"Field 'status' must be one of: {', '.join(instructions.REPORTED)}")
        longest = instructions.LONGEST_MESSAGE
        return {
            "status": status,
            "message": optional_text("message", self.message, longest=longest),
            "error": optional_text("error", self.error, longest=longest),
            "result": self.result,
        }


class InstructionOut(Schema):
    """One instruction."""

    id: str
    project_id: str
    instruction_text: str
    instruction_type: str = Field(description=f"One of: {', '.join(TYPES)}.", examples=["custom"])
    status: str = Field(
        description=f"One of: {', '.join(AgentInstruction.Status.values)}.", examples=["pending"]
    )
    run_id: str = Field(description="The run that Kroma started for it; '' for none.")
    created_at: str = Field(examples=["2026-05-04T10:00:00Z"])
    updated_at: str
    confirmed_at: str = Field(description="'' until it is confirmed.")
    canceled_at: str = Field(description="'' until it is canceled.")


class InstructionEventOut(Schema):
    """One thing that happened to an instruction."""

    id: str
    project_id: str
    instruction_id: str
    event_type: str = Field(
        description="One of: created, confirmed, canceled, started, result, retry_scheduled, error.",
        examples=["created"],
    )
    message: str
    created_at: str = Field(examples=["2026-05-04T10:00:00Z"])


class InstructionAnswer(Answer):
    """One instruction."""

    instruction: InstructionOut


class ChangedInstruction(InstructionAnswer):
    """One instruction, and the event of the audit trail that says what was done to it."""

    audit_id: str


class InstructionsAnswer(ListAnswer):
    """Instructions, the one that changed last first."""

    instructions: list[InstructionOut]


class InstructionEventsAnswer(ListAnswer):
    """The story of an instruction, the oldest event first."""

    instruction_id: str = Field(description="As it was sent.")
    events: list[InstructionEventOut]


class CallbackAnswer(Answer):
    """The report is taken."""

    instruction_id: str
    status: str = Field(description="The instruction's.", examples=["done"])


class CallbackSecret(HttpAuthBase):
    """The secret that an agent got with its instruction, as a bearer token; good for nothing else."""

    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> AgentInstruction:
        """The instruction. Raises `Unauthorized`, with the same text whatever is wrong."""
        assert request.resolver_match is not None  # noqa: S101 - ninja has found the route by it
        named = request.resolver_match.kwargs
        secret = bearer_of(request.META.get("HTTP_AUTHORIZATION", ""))
        return instructions.reporting(named["slug"], named["instruction_id"], secret=secret)


class CallbackRequest(ApiRequest):
    """A request whose secret names its instruction."""

    auth: AgentInstruction


@router.get(
    INSTRUCTIONS, auth=Bearer(Action.READ), response=answers(InstructionsAnswer), summary="List instructions"
)
def list_agent_instructions(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """All instructions of a project, the one that changed last first."""
    rows = AgentInstruction.objects.filter(project=project_of(request))
    return page_of(rows, query, order=["-updated_at", "-id"]).answer("instructions", shown)


@router.post(
    INSTRUCTIONS,
    auth=Bearer(Action.INSTRUCT),
    response=answers(ChangedInstruction, body=True),
    summary="Write an instruction",
)
def create_agent_instruction(request: ApiRequest, slug: str, payload: InstructionIn) -> dict[str, object]:
    """Write down what is to be done. Nothing happens before it is confirmed.

    Without a text, one is made of `instruction_type` and `payload_json`. Each request makes another one.
    """
    fields = payload.checked()
    made, event = instructions.create_instruction(project_of(request), **fields, by=request.principal)
    return {"instruction": shown(made), "audit_id": str(event.pk)}


@router.get(ONE, auth=Bearer(Action.READ), response=answers(InstructionAnswer), summary="Show an instruction")
def get_agent_instruction(request: ApiRequest, slug: str, instruction_id: str) -> dict[str, object]:
    """One instruction and its state."""
    return {"instruction": shown(_instruction(request, instruction_id))}


@router.get(
    f"{ONE}/events",
    auth=Bearer(Action.READ),
    response=answers(InstructionEventsAnswer),
    summary="List what happened to an instruction",
)
def list_agent_instruction_events(
    request: ApiRequest, slug: str, instruction_id: str, query: Query[ListQuery]
) -> dict[str, object]:
    """The story of an instruction, the oldest event first."""
    events = _instruction(request, instruction_id).events.all()
    answer = page_of(events, query, order=["position"]).answer("events", shown_event)
    return {**answer, "instruction_id": instruction_id}


@router.post(
    f"{ONE}/confirm",
    auth=Bearer(Action.INSTRUCT),
    response=answers(ChangedInstruction, body=True),
    summary="Confirm an instruction",
)
def confirm_agent_instruction(
    request: ApiRequest, slug: str, instruction_id: str, payload: ConfirmIn
) -> dict[str, object]:
    """Let an instruction be carried out, also once more after it has failed.

    One that is confirmed already stays as it is. A run that Kroma itself starts for it is started in the name
    of who confirms, with their role at that time and within the budget.
    """
    fields = payload.checked()
    found = _instruction(request, instruction_id)
    confirmed, event = instructions.confirm_instruction(found, **fields, by=request.principal)
    return {"instruction": shown(confirmed), "audit_id": str(event.pk)}


@router.post(
    f"{ONE}/cancel",
    auth=Bearer(Action.INSTRUCT),
    response=answers(ChangedInstruction, body=True),
    summary="Cancel an instruction",
)
def cancel_agent_instruction(
    request: ApiRequest, slug: str, instruction_id: str, payload: CancelIn
) -> dict[str, object]:
    """Withdraw an instruction that is not confirmed yet, or is being carried out.

    A run that it has started goes on. One that is canceled already stays as it is.
    """
    fields = payload.checked()
    found = _instruction(request, instruction_id)
    canceled, event = instructions.cancel_instruction(found, **fields, by=request.principal)
    return {"instruction": shown(canceled), "audit_id": str(event.pk)}


@router.post(
    f"{ONE}/callback",
    auth=CallbackSecret(),
    response=answers(CallbackAnswer, body=True),
    summary="Report on an instruction",
    openapi_extra=ADDITIVE,
)
def report_on_agent_instruction(
    request: CallbackRequest, slug: str, instruction_id: str, payload: CallbackIn
) -> dict[str, object]:
    """For agents: say how a running instruction goes. The secret came with it, as `callback.token`.

    `running` gives more time; the same end may be told again.
    """
    fields = payload.checked()
    told = instructions.report(request.auth, **fields, by=request.principal)
    return {"instruction_id": instruction_id, "status": told.status}


def _instruction(request: ApiRequest, instruction_id: str) -> AgentInstruction:
    project = project_of(request, missing=NOT_FOUND)
    rows = AgentInstruction.objects.filter(project=project).select_related("project")
    return row_of(rows, instruction_id, missing=NOT_FOUND)


def shown(instruction: AgentInstruction) -> dict[str, object]:
    """An instruction as the API shows it; attempts, lock and answers stay inside."""
    return {
        "id": str(instruction.pk),
        "project_id": str(instruction.project_id),
        "instruction_text": instruction.instruction_text,
        "instruction_type": instruction.instruction_type,
        "status": instruction.status,
        "run_id": str(instruction.run_id or ""),
        "created_at": moment(instruction.created_at),
        "updated_at": moment(instruction.updated_at),
        "confirmed_at": moment(instruction.confirmed_at),
        "canceled_at": moment(instruction.canceled_at),
    }


def shown_event(event: AgentInstructionEvent) -> dict[str, object]:
    """What happened to an instruction, as the API shows it."""
    return {
        "id": str(event.pk),
        "project_id": str(event.project_id),
        "instruction_id": str(event.instruction_id),
        "event_type": event.event_type,
        "message": event.message,
        "created_at": moment(event.created_at),
    }
