"""What is in a store, from its commits: slides, their states, spaces, and each thing that can be read."""

from slidelake.store.bag import Bag, Grid, Overview, Pooled
from slidelake.store.commits import Commit, latest_commit, read_state
from slidelake.store.ids import require_slug, split_space
from slidelake.store.layout import SlideState, Subject, states_of
from slidelake.store.listing import list_commits
from slidelake.store.names import SlideNames, match_space, no_slide
from slidelake.store.objects import Objects

__all__ = ["StoreReader"]


class StoreReader:
    """The reading half of a FeatureStore. Slides are known by their commits; nothing is kept in memory that another
    writer could change, but for the spelling of slide ids."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.url = objects.url
        self._names = SlideNames(objects)

    @property
    def place(self) -> str:
        """What is read from, for messages."""
        return self.url

    # What is there

    def states(self) -> dict[str, SlideState]:
        """The state of every slide that ever had a commit, by one listing of the keys."""
        return states_of(list_commits(self.objects))

    def slide_ids(self) -> list[str]:
        """The slides that have a live commit, sorted."""
        return [slide_id for slide_id, state in self.states().items() if state.keys]

    def state(self, slide_id: str) -> SlideState:
        """What one slide's keys say; an id that differs from a committed one only in case is that one."""
        require_slug(slide_id, "slide_id")
        state = read_state(self.objects, slide_id)
        if state.keys or state.epoch > 1:
            return state
        known = self._names.spelling(slide_id)
        return state if known in (None, slide_id) else read_state(self.objects, known or slide_id)

    def commit(
        self, slide_id: str, kind: str, grid_id: str = "", encoder_id: str = "", aggregator_id: str = ""
    ) -> Commit | None:
        """The latest live commit of one kind; None where there is none."""
        subject = Subject(kind, grid_id, encoder_id, aggregator_id)
        for each in subject.ids:
            require_slug(each, "part of a commit's key")
        return latest_commit(self.objects, self.state(slide_id), subject)

    def spaces(self) -> dict[str, int]:
        """Each space that has bags, `grid_id/encoder_id`, and on how many slides; sorted."""
        counts: dict[str, int] = {}
        for state in self.states().values():
            for space in _spaces_of(state):
                counts[space] = counts.get(space, 0) + 1
        return dict(sorted(counts.items()))

    def resolve_space(self, name: str | None = None) -> str:
        """A space's full name for what people type: full, `grid/encoder`, the encoder's name alone, or None
        where there is only one. Raises UnknownSpaceError, which lists those that fit."""
        return match_space(name, list(self.spaces()))

    # Reading

    def overview(self, slide_id: str) -> Overview:
        """The slide's thumbnail, tissue mask and facts; raises UnknownSlideError."""
        return Overview(self.objects, self._need(slide_id, Subject("overview")))

    def grid(self, slide_id: str, grid_id: str) -> Grid:
        """Where the slide's patches lie under one grid; raises UnknownSlideError."""
        return Grid(self.objects, self._need(slide_id, Subject("grid", grid_id)))

    def bag(self, slide_id: str, space: str | None = None) -> Bag:
        """The slide's features in one space; raises UnknownSlideError, UnknownSpaceError."""
        state = self.state(slide_id)
        if not state.keys:
            raise no_slide(self.place, slide_id, "", self.slide_ids())
        grid_id, encoder_id = split_space(match_space(space, _spaces_of(state), slide_id))
        return Bag(self.objects, self._need(slide_id, Subject("bag", grid_id, encoder_id), state))

    def pooled(self, slide_id: str, space: str | None, aggregator: str) -> Pooled:
        """What one aggregator (its id, or its name alone) made of a bag; raises as `bag`."""
        state = self.state(slide_id)
        if not state.keys:
            raise no_slide(self.place, slide_id, "", self.slide_ids())
        grid_id, encoder_id = split_space(match_space(space, _spaces_of(state), slide_id))
        there = [s.aggregator_id for s in state.keys if s[:3] == ("pooled", grid_id, encoder_id)]
        fitting = [each for each in there if aggregator in (each, each.rpartition(".")[0])]
        wanted = fitting[0] if len(fitting) == 1 else aggregator
        return Pooled(
            self.objects, self._need(slide_id, Subject("pooled", grid_id, encoder_id, wanted), state)
        )

    def _need(self, slide_id: str, subject: Subject, state: SlideState | None = None) -> Commit:
        state = state or self.state(slide_id)
        commit = latest_commit(self.objects, state, subject)
        if commit is None:
            what = " ".join([subject.kind, "/".join(subject.ids)]).strip()
            raise no_slide(self.place, slide_id, what, [] if state.keys else self.slide_ids())
        return commit


def _spaces_of(state: SlideState) -> list[str]:
    return sorted(f"{s.grid_id}/{s.encoder_id}" for s in state.keys if s.kind == "bag")
