"""Areas and middles from label maps."""

import numpy as np
import pytest

from oryx.data.builders.correspondence.sights import Sight, Sightings, measure, measure_mask


def test_area_and_centroid_in_pixels_from_the_corner() -> None:
    ids = np.zeros((10, 20), dtype=np.uint8)
    ids[2:5, 6:12] = 7
    ids[9, 19] = 300 % 256
    assert measure(ids) == {7: Sight(3.5, 9.0, 18.0), 44: Sight(9.5, 19.5, 1.0)}


def test_a_centroid_beside_its_object_moves_to_the_nearest_pixel_of_it() -> None:
    ring = np.zeros((21, 21), dtype=int)
    ring[3:18, 3:18] = 5
    ring[5:16, 5:18] = 0  # open to the right
    sight = measure(ring)[5]
    assert ring[int(sight.y), int(sight.x)] == 5
    rows, columns = np.nonzero(ring)
    centroid = np.array((rows.mean(), columns.mean())) + 0.5
    nearest = np.hypot(rows + 0.5 - centroid[0], columns + 0.5 - centroid[1]).min()
    assert np.hypot(sight.y - centroid[0], sight.x - centroid[1]) == pytest.approx(nearest)


def test_a_mask_of_nothing_is_no_sight() -> None:
    assert measure_mask(np.zeros((4, 4), dtype=bool)) is None
    assert measure_mask(np.ones((4, 6), dtype=bool)) == Sight(2.0, 3.0, 24.0)
    assert measure(np.zeros((4, 4), dtype=int)) == {}


def test_ids_may_be_large_and_the_background_another() -> None:
    ids = np.full((3, 3), 70_000)
    ids[1, 1] = -1
    assert set(measure(ids, background=-1)) == {70_000}


def test_a_sight_in_a_larger_picture() -> None:
    assert Sight(2.0, 3.0, 10.0).scaled(2, 4) == Sight(4.0, 12.0, 80.0)


def test_objects_are_left_out_by_name_and_views_renumbered() -> None:
    found = Sightings(
        {1: {0: Sight(1, 1, 50), 2: Sight(1, 1, 5)}, 2: {0: Sight(1, 1, 500)}, 3: {1: Sight(1, 1, 90)}},
        {2: " Wall", 3: "lamp"},
    )
    assert found.areas() == {1: {0: 50, 2: 5}, 2: {0: 500}, 3: {1: 90}}
    assert set(found.without(["wall"]).sights) == {1, 3}
    kept = found.without(["wall"]).restricted([0, 2], {0: 10, 1: 10, 2: 4})
    assert {name: sorted(views) for name, views in kept.sights.items()} == {1: [0, 1]}
    assert kept.labels == found.labels
    assert found.restricted([0, 2], {0: 10, 1: 10, 2: 10}).sights[1].keys() == {0}
