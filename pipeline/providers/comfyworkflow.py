"""A ComfyUI workflow with named places: what may stand in an account, and how a call fills it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PROMPT, SEED, SCENE = "{prompt}", "{seed}", "{scene}"
REFERENCE = re.compile(r"\{reference_([1-9][0-9]?)\}")
PLACE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
NEEDED = (SCENE, SEED)
EXAMPLE = '"image": "{scene}"'


def workflow_faults(workflow: object) -> list[str]:
    """What stands against a workflow, a sentence each; nothing for one that can be used."""
    if not isinstance(workflow, dict) or not workflow:
        return ["'workflow' must be the JSON object that ComfyUI exports with “Export (API)”"]
    if isinstance(workflow.get("nodes"), list):
        return ["'workflow' is in the format of ComfyUI's pages: export it with “Export (API)” instead"]
    odd = [
        key
        for key, node in workflow.items()
        if not isinstance(node, dict)
        or not isinstance(node.get("class_type"), str)
        or not isinstance(node.get("inputs"), dict)
    ]
    if odd:
        return [f"'workflow.{odd[0]}' is no node: one has a 'class_type' and 'inputs'"]
    found = set(places_of(workflow))
    known = {PROMPT, *NEEDED}
    faults = [
        f"'workflow' has the place {place}, which there is not: use {{prompt}}, {{seed}}, {{scene}}, "
        "{reference_1} and so on"
        for place in sorted(found - known)
        if not REFERENCE.fullmatch(place)
    ]
    faults += [
        f"'workflow' has no place {place}: put it where it belongs, as in {EXAMPLE}"
        for place in NEEDED
        if place not in found
    ]
    return faults


def places_of(workflow: Mapping[str, Any]) -> Iterator[str]:
    """The inputs that are nothing but the name of a place, such as `{scene}`."""
    for node in workflow.values():
        for value in node["inputs"].values():
            if isinstance(value, str) and PLACE.fullmatch(value.strip()):
                yield value.strip()


def n_references(workflow: Mapping[str, Any]) -> int:
    """How many references the workflow has places for."""
    numbers = (REFERENCE.fullmatch(place) for place in places_of(workflow))
    return max((int(number[1]) for number in numbers if number), default=0)


def filled(
    workflow: Mapping[str, Any], *, prompt: str, seed: int, scene: str, references: Sequence[str]
) -> dict[str, Any]:
    """The workflow of one call. A place without a reference of its own gets the last one, else the scene."""

    def value_of(value: object) -> object:
        if not isinstance(value, str):
            return value
        place = value.strip()
        if number := REFERENCE.fullmatch(place):
            at = min(int(number[1]), len(references)) - 1
            return references[at] if references else scene
        return {PROMPT: prompt, SEED: seed, SCENE: scene}.get(place, value)

    return {
        key: {**node, "inputs": {name: value_of(value) for name, value in node["inputs"].items()}}
        for key, node in workflow.items()
    }
