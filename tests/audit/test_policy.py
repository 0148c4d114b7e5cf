import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.audit.policy import AT_LEAST, Limits, Policy, kept, read_policy
from masquerade.errors import InputError, OptionError


def test_a_policy_is_read_and_the_rest_is_default(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text('by = "interval"\nfar = 1e-4\n[limits]\nid = 0.02\npose = 4\n')
    policy = read_policy(path)
    assert (policy.by, policy.far, policy.limits.id, policy.limits.pose) == ("interval", 1e-4, 0.02, 4)
    assert (policy.limits.neg_id, policy.limits.uncovered, policy.judged) == (0.01, 0, 1)
    path.write_text("# nothing is said\n")
    assert read_policy(path) == Policy()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\nidd = 1", "limits.idd"),
        ("[limits]\nid = 2", "limits.id"),
        ("far = 0", "far"),
        ("[limits]\nuncovered = -1", "limits.uncovered"),
        ('by = "hope"', "by"),
        ("[limits]\npose = nan", "limits.pose"),
    ],
)
def test_what_a_policy_cannot_mean_is_refused(tmp_path, text, said):
    path = tmp_path / "policy.toml"
    path.write_text(text + "\n")
    with pytest.raises(OptionError, match=said):
        read_policy(path)


def test_files_that_are_no_policy(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text("limits = [")
    with pytest.raises(InputError, match="no TOML"):
        read_policy(path)
    with pytest.raises(InputError, match="no such file"):
        read_policy(tmp_path / "none.toml")


@given(st.sampled_from(sorted(Limits.model_fields)), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_interval_is_never_more_lenient_than_the_value(name, limit, value, a, b):
    low, high = sorted((a, b))
    if kept(name, limit, value, low, high, "interval"):
        assert kept(name, limit, value, low, high, "value")
    assert kept(name, limit, value, None, None, "value") == (value >= limit if name in AT_LEAST else value <= limit)
    assert not kept(name, limit, value, None, None, "interval"), "without an interval nothing is sure"
