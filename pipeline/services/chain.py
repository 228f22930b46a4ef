"""The files of a candidate, from the generated one to the last: what is done already is not done again."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from pipeline.engine.names import CandidateNames, candidate_names
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.models import Asset, Candidate
from pipeline.services import assets, calls, steps, toolchain
from pipeline.services.outcomes import CandidateFailed
from pipeline.services.steps import Made, Picture, Stage, StepFailed
from pipeline.services.toolchain import COLOUR, CUT, REFINE, UPSCALE, Toolchain
from pipeline.store import AssetStore
from pipeline.tools.base import PaidTool

KINDS = {
    CUT: "background_removed",
    REFINE: "background_removed",
    UPSCALE: "upscaled",
    COLOUR: "color_corrected",
}


@dataclass(frozen=True)
class Link:
    """One file of the chain with its row."""

    asset: Asset
    picture: Picture


def names_of(candidate: Candidate, plan: PostprocessPlan) -> CandidateNames:
    """What the files of a candidate are called."""
    return candidate_names(
        candidate.job.job_key,
        index=candidate.candidate_index,
        total=candidate.run.n_candidates,
        postprocess=plan,
    )


def files_of(generated: Asset | None, files: Iterable[Asset]) -> list[Asset]:
    """The rows of a chain in its order, the generated file first; `files` are all of the candidate.

    A row counts when it was made from the one before it: what came of an earlier original does not.
    """
    if generated is None:
        return []
    found = [generated]
    rows = sorted(files, key=lambda asset: asset.created_at)
    for step in toolchain.STEPS:
        source = {"step": step, "source_sha256": found[-1].sha256}
        made = [row for row in rows if source.items() <= row.metadata.items()]
        found += made[-1:]
    return found


def carry_out(candidate: Candidate, store: AssetStore, token: UUID, first: Link) -> Link:
    """The last file of the chain, after every step of the plan. Free to repeat.

    Raises `CandidateFailed`, `StorageFailed`, `LeaseLost`.
    """
    chain = toolchain.of_run(candidate.run)
    if not chain.plan.has_steps:
        return first
    return _Work(candidate, store, token, chain).carried_out(first)


class _Work:
    """The steps of one candidate."""

    def __init__(self, candidate: Candidate, store: AssetStore, token: UUID, chain: Toolchain) -> None:
        self.candidate = candidate
        self.store = store
        self.token = token
        self.chain = chain
        self.names = names_of(candidate, chain.plan)
        self.rows = list(Asset.objects.filter(candidate=candidate))

    def carried_out(self, link: Link) -> Link:
        for stage in steps.stages(self.chain, self.names):
            link = self._refined(stage, link) if stage.step == REFINE else self._step(stage, link)
        return link

    def _step(self, stage: Stage, source: Link) -> Link:
        if done := self._done(stage.step, source):
            return done
        try:
            made = stage.made_from(source.picture, call=self._call)
        except StepFailed as error:
            raise CandidateFailed(
                stage.step, error.kind, error.code, str(error), error.http_status
            ) from error
        return self._published(stage, source, made)

    def _refined(self, stage: Stage, cut: Link) -> Link:
        """The refined cut-out under the same name, or the cut-out itself where the pass failed and may."""
        if done := self._done(REFINE, cut):
            return done
        required = self.chain.plan.bg_refine_openai_required
        if "refine_error" in cut.asset.metadata and not required:
            return cut  # tried before, and the record says why it came to nothing
        try:
            made = stage.made_from(cut.picture, call=self._call)
        except StepFailed as error:
            assets.note(cut.asset, refine_error=str(error))
            if required:
                raise CandidateFailed(
                    REFINE, error.kind, error.code, str(error), error.http_status
                ) from error
            return cut
        return self._published(stage, cut, made)

    def _call(self, tool: PaidTool, step: str, png: bytes) -> calls.KeptAnswer:
        return calls.paid_step(self.candidate, tool, step=step, png=png, store=self.store, token=self.token)

    def _done(self, step: str, source: Link) -> Link | None:
        """The file of a step that was done before from this very source, if it is still what it was."""
        wanted = {"step": step, "source_sha256": source.asset.sha256}
        for row in sorted(self.rows, key=lambda row: row.created_at, reverse=True):
            if wanted.items() <= row.metadata.items() and assets.is_whole(row, self.store):
                return Link(row, picture_of(row, self.store))
        return None

    def _published(self, stage: Stage, source: Link, made: Made) -> Link:
        new = assets.NewFile(
            stage.name,
            KINDS[stage.step],
            made.data,
            made.mime_type,
            made.size,
            {
                **made.record,
                "step": stage.step,
                "source_sha256": source.asset.sha256,
                "original_sha256": self.candidate.original_sha256,
            },
            source=source.asset,
        )
        row = assets.publish(self.candidate, self.store, new, token=self.token)
        return Link(row, Picture(stage.name, made.mime_type, load=lambda: made.data, pixels=made.pixels))


def picture_of(asset: Asset, store: AssetStore) -> Picture:
    """The picture in the file of a row, read when it is needed."""

    def load() -> bytes:
        try:
            return store.read(asset.rel_path)
        except OSError as error:
            reason = f"{asset.rel_path} can't be read ({error.strerror}): make the candidate again"
            raise CandidateFailed("publish", "infra", "file_unreadable", reason) from error

    return Picture(asset.rel_path, asset.mime_type, load=load)
