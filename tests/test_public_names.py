"""The public list is true: every name exists, and loads."""

import orchmagic


def test_every_public_name_loads():
    for name in orchmagic.__all__:
        assert getattr(orchmagic, name) is not None


def test_there_are_at_most_eighteen_beside_the_two_hooks_and_no_more_than_listed():
    # `label` is the eighteenth: the text of an evaluation tells persons to call orchmagic.label(result, "helpful")
    hooks = {"load_ipython_extension", "unload_ipython_extension"}
    assert len(orchmagic.__all__) == len(set(orchmagic.__all__))
    assert len(set(orchmagic.__all__) - hooks) <= 18
    assert set(orchmagic.__all__) <= set(dir(orchmagic))
