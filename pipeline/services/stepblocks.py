"""What a run log says of the steps after generation, from the rows of their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from pipeline.engine.names import candidate_names
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.postprocess_config import PostprocessConfig
from pipeline.models import Asset, Candidate, Run, RunJob
from pipeline.services.chain import files_of
from pipeline.services.planning import display_name, display_path
from pipeline.services.toolchain import COLOUR, CUT, REFINE, UPSCALE, config_of, plan_of
from pipeline.store import AssetStore

# What each block says beside the keys of the contract.
ADDED = ("version", "parameters", "seconds", "source_sha256")

Block = Mapping[str, object] | None


@dataclass(frozen=True)
class StepBlocks:
    """The blocks `bg_remove`, `upscale` and `color` of the candidates of one run."""

    plan: PostprocessPlan
    config: PostprocessConfig
    n_candidates: int
    store: AssetStore

    @classmethod
    def of(cls, run: Run, store: AssetStore) -> "StepBlocks":
        """Those of a run as it was planned."""
        return cls(plan_of(run), config_of(run), run.n_candidates, store)

    def blocks(self, candidate: Candidate, job: RunJob) -> dict[str, Block]:
        """Each block by its name, None for a step that did not run. `candidate.assets` is best prefetched.

        Paths are those of the plan, also when a file has been moved since.
        """
        files = files_of(candidate.output_asset, candidate.assets.all()) if self.plan.has_steps else []
        rows = {str(row.metadata["step"]): row for row in files[1:]}
        names = candidate_names(
            job.job_key, index=candidate.candidate_index, total=self.n_candidates, postprocess=self.plan
        )
        after_cut = names.background_removed or names.generated
        cut, upscale, colour = rows.get(CUT), rows.get(UPSCALE), rows.get(COLOUR)
        return {
            "bg_remove": self._cut(cut, rows.get(REFINE), names.generated, after_cut) if cut else None,
            "upscale": self._upscale(upscale, after_cut, names.upscaled or "") if upscale else None,
            "color": (
                self._colour(colour, names.upscaled or after_cut, names.colour_corrected or "")
                if colour
                else None
            ),
        }

    def _cut(self, row: Asset, refined: Asset | None, source: str, name: str) -> dict[str, object]:
        block: dict[str, object] = {
            "input": self._shown(source),
            "output": self._shown(name),
            "backend": row.metadata.get("tool"),
            "backends_tried": list(self.plan.bg_remove_backends),
            "refine_openai": refined is not None,
            "refine_error": None if refined else row.metadata.get("refine_error"),
            "backend_failures": row.metadata.get("backend_failures", []),
            **_added(row),
        }
        if refined is not None:
            block["sha256"] = refined.sha256
            block["refine"] = {"tool": refined.metadata.get("tool"), **_added(refined)}
        return block

    def _upscale(self, row: Asset, source: str, name: str) -> dict[str, object]:
        backend = self.plan.upscale_backend or ""
        return {
            "backend": backend,
            "input": self._shown(source),
            "output": self._shown(name),
            "scale": self.plan.upscale_scale,
            # The tool knows better where it stands in for the model that was asked for.
            "model": row.metadata["parameters"].get("model") or self.config.upscale_model(backend),
            **_added(row),
        }

    def _colour(self, row: Asset, source: str, name: str) -> dict[str, object]:
        file = self.config.color.settings_file
        return {
            "input": self._shown(source),
            "output": self._shown(name),
            "profile": self.plan.color_profile,
            "settings": display_path(Path(settings.APP_ROOT) / file) if file else "builtin",
            **_added(row),
        }

    def _shown(self, name: str) -> str:
        return display_name(self.store, name)


def _added(row: Asset) -> dict[str, Any]:
    return {"sha256": row.sha256, **{key: row.metadata.get(key) for key in ADDED}}
