"""The plan: every side is measured by some arm, and arms come after those that they go on from."""

import pytest

from oryx.errors import ConfigError
from oryx.evaluation.claims.plan import ARMS
from oryx.evaluation.claims.statements import CLAIMS, arms_of, choose_claims


@pytest.mark.parametrize("letter", list(CLAIMS))
def test_every_side_is_measured(letter):
    for arm, measure in CLAIMS[letter].sides:
        assert measure in [one.name for one in ARMS[arm].measures], (arm, measure)


def test_measures_of_an_arm_have_names_of_their_own():
    for arm in ARMS.values():
        assert len({measure.name for measure in arm.measures}) == len(arm.measures)
        assert all(measure.questions >= 300 for measure in arm.measures)


def test_arms_come_after_what_they_go_on_from():
    for claim in CLAIMS.values():
        names = arms_of([claim])
        assert set(claim.arms) <= set(names)
        for place, name in enumerate(names):
            assert set(ARMS[name].needs) <= set(names[:place])
    assert arms_of([CLAIMS["f"]]) == ["base", "films", "needles", "no_needles"]
    assert arms_of(list(CLAIMS.values())) == list(ARMS)


def test_choosing_claims():
    assert [claim.letter for claim in choose_claims(["d", "a"])] == ["a", "d"]
    assert len(choose_claims(None)) == 7
    with pytest.raises(ConfigError, match="there is no claim 'h'; allowed: a, b, c, d, e, f, g"):
        choose_claims(["a", "h"])


def test_compared_arms_differ_in_what_the_claim_is_about_alone():
    """Same steps, same rows, same start: only the named setting may differ."""
    free = {"name", "about", "measures"}
    for names, setting in (
        (("native", "square", "aspect", "tiled"), "views"),
        (("needles", "no_needles"), "material"),
        (("rooms_marked", "rooms_plain"), "material"),
        (tuple(name for name in ARMS if name.startswith("connector_")), "connector"),
        (("lm_native", "classifier_native"), "tower_of"),
        (("lm_native", "lm_tiled"), "views"),
    ):
        kept = [
            {k: v for k, v in ARMS[name].settings().items() if k not in free | {setting}} for name in names
        ]
        assert all(one == kept[0] for one in kept), names
