import csv
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from dpsynth.errors import InputError, UnsupportedEvent
from dpsynth.privacy import accounting, gdp
from dpsynth.privacy.accounting import ACCOUNTANTS
from dpsynth.privacy.composition import fold
from dpsynth.privacy.events import (
    Event,
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
    event_from_json,
)

FIXED = settings(derandomize=True, deadline=None, max_examples=40)
REFERENCE = Path(__file__).parents[1] / "reference" / "epsilon.csv"
ROWS = list(csv.DictReader(REFERENCE.read_text().splitlines()))

noises = st.floats(0.3, 100.0)
gaussians = st.builds(GaussianEvent, noises, st.integers(1, 500))
thresholds = st.builds(ThresholdedGaussianEvent, noises, st.floats(1e-12, 1e-7))
deltas = st.floats(-6.0, -1.0).map(lambda power: 10.0**power)
SAMPLED = (SampledGaussianEvent(2.0, 0.02, 300), SampledGaussianEvent(5.0, 0.1, 50))


# --- reference values ---------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['accountant']}-{row['epsilon']}")
def test_reference_table(row: dict[str, str]) -> None:
    events = [event_from_json(event) for event in json.loads(row["events"])]
    found = accounting.epsilon(events, delta=float(row["delta"]), accountant=row["accountant"])
    assert found == pytest.approx(float(row["epsilon"]), rel=float(row["tolerance"]))


def test_reference_table_is_large_and_has_sources() -> None:
    assert len({row["events"] + row["delta"] for row in ROWS}) >= 30
    assert {row["accountant"] for row in ROWS} == set(ACCOUNTANTS)
    assert all(row["source"] for row in ROWS)


@pytest.mark.parametrize(
    ("noise_multiplier", "epochs", "published"),
    [(1.12, 60, 2.92), (0.6, 30, 9.74), (1.2, 10, 1.20)],
)
def test_below_published_bounds(noise_multiplier: float, epochs: int, published: float) -> None:
    """TensorFlow Privacy's MNIST table (tutorials/README.md): Renyi with an older conversion."""
    event = SampledGaussianEvent(noise_multiplier, 256 / 60000, epochs * 60000 // 256)
    tight = accounting.epsilon([event], delta=1e-5)
    renyi = accounting.epsilon([event], delta=1e-5, accountant="rdp")
    assert 0.6 * published < tight < renyi < published


def hockey_stick(epsilon: float, upper: stats.rv_continuous, lower: stats.rv_continuous) -> float:
    """Twin: delta of one release by integrating over its outcomes."""

    def excess(x: float) -> float:
        return max(0.0, upper.pdf(x) - math.exp(epsilon) * lower.pdf(x))

    parts = [integrate.quad(excess, a, a + 1.0, limit=200)[0] for a in range(-60, 60)]
    return math.fsum(parts)


class Mixture:
    """(1 - q) N(0, z) + q N(1, z)."""

    def __init__(self, q: float, z: float) -> None:
        self.q, self.z = q, z

    def pdf(self, x: float) -> float:
        here, there = stats.norm.pdf(x, 0, self.z), stats.norm.pdf(x, 1, self.z)
        return float((1 - self.q) * here + self.q * there)


@pytest.mark.parametrize(("epsilon", "z"), [(0.0, 1.0), (0.5, 2.0), (1.0, 0.7), (4.0, 1.0)])
def test_gdp_delta_is_the_integral(epsilon: float, z: float) -> None:
    slow = hockey_stick(epsilon, stats.norm(1, z), stats.norm(0, z))
    assert accounting.delta([GaussianEvent(z)], epsilon=epsilon) == pytest.approx(slow, rel=1e-6)


@pytest.mark.parametrize(("epsilon", "z", "q"), [(0.0, 1.0, 0.3), (0.2, 2.0, 0.5), (1.0, 0.7, 0.1)])
def test_pld_delta_of_one_sampled_step_is_the_worse_integral(
    epsilon: float, z: float, q: float
) -> None:
    without, mixed = Mixture(0.0, z), Mixture(q, z)
    slow = max(hockey_stick(epsilon, mixed, without), hockey_stick(epsilon, without, mixed))
    found = accounting.delta([SampledGaussianEvent(z, q, 1)], epsilon=epsilon)
    assert slow <= found <= slow * 1.002


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("z", [1.0, 3.0])
def test_a_threshold_adds_its_delta_in_both_directions(epsilon: float, z: float) -> None:
    """Exact profile of (Gaussian, passed or not) against (Gaussian, never) is below the claim."""
    p = 1e-3
    claimed = accounting.delta([ThresholdedGaussianEvent(z, p)], epsilon=epsilon)
    grid = np.linspace(-40, 40, 400_001)
    one, zero = stats.norm.pdf(grid, 1, z), stats.norm.pdf(grid, 0, z)
    step, factor = grid[1] - grid[0], math.exp(epsilon)
    more = np.maximum(0.0, (1 - p) * one - factor * zero).sum() * step + p
    fewer = np.maximum(0.0, zero - factor * (1 - p) * one).sum() * step
    assert max(more, fewer) <= claimed * (1.0 + 1e-6)


# --- contract of every accountant ---------------------------------------------------------------


@pytest.fixture(params=["auto", *ACCOUNTANTS])
def accountant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_no_events_cost_nothing(accountant: str) -> None:
    assert accounting.epsilon([], delta=1e-5, accountant=accountant) == 0.0
    assert accounting.delta([], epsilon=1.0, accountant=accountant) == 0.0


def test_non_private_costs_everything(accountant: str) -> None:
    events = [GaussianEvent(10.0), NonPrivateEvent()]
    assert accounting.epsilon(events, delta=1e-5, accountant=accountant) == math.inf
    assert accounting.delta(events, epsilon=1.0, accountant=accountant) == 1.0


def test_unknown_event_is_refused_by_name(accountant: str) -> None:
    with pytest.raises(UnsupportedEvent, match="Laplace"):
        accounting.epsilon([GaussianEvent(1.0), "Laplace"], delta=1e-5, accountant=accountant)


def test_used_up_delta_costs_everything(accountant: str) -> None:
    events = [ThresholdedGaussianEvent(10.0, 5e-6), ThresholdedGaussianEvent(10.0, 5e-6)]
    assert accounting.epsilon(events, delta=1e-5, accountant=accountant) == math.inf
    assert accounting.epsilon(events, delta=1.1e-5, accountant=accountant) < 5.0


def test_never_below_the_closed_form(accountant: str) -> None:
    events = [GaussianEvent(3.0, 4), GaussianEvent(1.5)]
    exact = accounting.epsilon(events, delta=1e-5, accountant="gdp")
    found = accounting.epsilon(events, delta=1e-5, accountant=accountant)
    assert exact * (1.0 - 1e-9) <= found <= exact * 1.1


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
def test_delta_outside_its_range_is_refused(accountant: str, delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        accounting.epsilon([GaussianEvent(1.0)], delta=delta, accountant=accountant)


@pytest.mark.parametrize("epsilon", [-1e-9, math.nan, math.inf])
def test_epsilon_outside_its_range_is_refused(accountant: str, epsilon: float) -> None:
    with pytest.raises(InputError, match="epsilon"):
        accounting.delta([GaussianEvent(1.0)], epsilon=epsilon, accountant=accountant)


def test_unknown_accountant_is_refused() -> None:
    with pytest.raises(InputError, match="moments"):
        accounting.epsilon([GaussianEvent(1.0)], delta=1e-5, accountant="moments")


def test_closed_form_refuses_sampled_events() -> None:
    with pytest.raises(UnsupportedEvent, match="at sample_rate"):
        accounting.epsilon(SAMPLED, delta=1e-5, accountant="gdp")
    with pytest.raises(UnsupportedEvent, match="at sample_rate"):
        accounting.delta(SAMPLED, epsilon=1.0, accountant="gdp")


def test_accountants_agree_as_their_bounds_say_under_sampling() -> None:
    events = [*SAMPLED, GaussianEvent(8.0)]
    pld = accounting.epsilon(events, delta=1e-5, accountant="pld")
    rdp = accounting.epsilon(events, delta=1e-5, accountant="rdp")
    prv = accounting.epsilon(events, delta=1e-5, accountant="prv")
    assert pld < rdp < 1.12 * pld
    assert 0.0 < prv - pld < 0.011
    assert accounting.epsilon(events, delta=1e-5) == pld


@pytest.mark.parametrize("name", ["pld", "rdp", "prv"])
def test_delta_inverts_epsilon(name: str) -> None:
    events = [*SAMPLED, ThresholdedGaussianEvent(8.0, 1e-7)]
    epsilon = accounting.epsilon(events, delta=1e-4, accountant=name)
    assert accounting.delta(events, epsilon=epsilon, accountant=name) == pytest.approx(
        1e-4, rel=2e-2
    )


# --- properties ---------------------------------------------------------------------------------


@given(event=gaussians, factor=st.floats(1.05, 4.0), delta=deltas)
@FIXED
def test_more_noise_costs_less(event: GaussianEvent, factor: float, delta: float) -> None:
    quieter = GaussianEvent(event.noise_multiplier * factor, event.steps)
    more, less = (accounting.epsilon([one], delta=delta) for one in (event, quieter))
    assert less < more or less == more == 0.0


@given(event=gaussians, extra=st.integers(1, 100), delta=deltas)
@FIXED
def test_more_steps_cost_more(event: GaussianEvent, extra: int, delta: float) -> None:
    longer = GaussianEvent(event.noise_multiplier, event.steps + extra)
    less, more = (accounting.epsilon([one], delta=delta) for one in (event, longer))
    assert less < more or less == more == 0.0


@pytest.mark.parametrize("name", ["pld", "rdp"])
def test_sampling_costs_rise_in_rate_and_steps_and_fall_in_noise(name: str) -> None:
    def cost(z: float, q: float, steps: int) -> float:
        event = SampledGaussianEvent(z, q, steps)
        return accounting.epsilon([event], delta=1e-5, accountant=name)

    middle = cost(1.5, 0.05, 100)
    assert cost(1.6, 0.05, 100) < middle < cost(1.5, 0.06, 100)
    assert middle < cost(1.5, 0.05, 110) < cost(1.5, 1.0, 110)


@given(events=st.lists(gaussians | thresholds, max_size=8), data=st.data())
@FIXED
def test_order_does_not_matter(events: list[Event], data: st.DataObject) -> None:
    mixed = [*events, *SAMPLED, SAMPLED[0]]
    assert fold(data.draw(st.permutations(mixed))) == fold(mixed)


@given(events=st.lists(gaussians | thresholds, min_size=1, max_size=5), delta=deltas)
@FIXED
def test_gdp_round_trip(events: list[Event], delta: float) -> None:
    epsilon = accounting.epsilon(events, delta=delta)
    back = accounting.delta(events, epsilon=epsilon)
    assert back <= delta * (1.0 + 1e-9)
    if epsilon > 0.0:
        assert back == pytest.approx(delta, rel=1e-6)


@given(mu=st.floats(-6.0, 3.0), power=st.floats(-299.0, -0.3))
@FIXED
def test_closed_form_is_stable_over_the_whole_range(mu: float, power: float) -> None:
    size, target = 10.0**mu, 10.0**power
    epsilon = gdp.epsilon_for(size, target)
    assert 0.0 <= epsilon < size * (size + 80.0)
    if epsilon > 0.0:
        assert gdp.log_delta(epsilon, size) <= math.log(target)
        assert gdp.log_delta(epsilon * (1.0 - 1e-9), size) > math.log(target) - 1e-12


def test_closed_form_beyond_its_range_is_on_the_safe_side() -> None:
    assert gdp.epsilon_for(1e101, 1e-5) == math.inf
    assert gdp.delta_for(1e101, 1.0) == 1.0
    assert gdp.delta_for(1e-3, 1e20) == 0.0
    assert gdp.delta_for(100.0, 0.0) == 1.0
    assert gdp.delta_for(1e-17, 0.0) == pytest.approx(1e-17 / math.sqrt(2.0 * math.pi), rel=1e-9)
    assert accounting.epsilon([GaussianEvent(1e-300)], delta=1e-5) == math.inf
    assert accounting.epsilon([GaussianEvent(1e-300)], delta=1e-5, accountant="rdp") == math.inf
    assert accounting.delta([GaussianEvent(1e-300)], epsilon=1.0, accountant="rdp") == 1.0


def test_pld_beyond_its_range_is_on_the_safe_side() -> None:
    loud = [SampledGaussianEvent(1e-4, 0.5, 10)]
    assert accounting.epsilon(loud, delta=1e-5) == math.inf
    assert accounting.delta(loud, epsilon=1.0) == 1.0
    assert accounting.epsilon([SampledGaussianEvent(1e-7, 0.5, 1)], delta=1e-5) == math.inf


@pytest.mark.parametrize("delta", [1e-7, 1e-9, 1e-11, 1e-12, 1e-14])
def test_pld_is_an_upper_bound_where_fourier_rounding_matters(delta: float) -> None:
    # A rate just below 1 goes the numerical way, and the closed form is its limit from above.
    steps, z = 100_000, 400.0
    found = accounting.epsilon([SampledGaussianEvent(z, 1.0 - 1e-12, steps)], delta=delta)
    exact = gdp.epsilon_for(math.sqrt(steps) / z, delta)
    assert exact * (1.0 - 1e-6) <= found <= exact * 1.15


def test_pld_of_very_many_steps_stays_small_and_safe() -> None:
    many = [SampledGaussianEvent(1000.0, 1.0 - 1e-12, 10**8)]
    exact = gdp.epsilon_for(10.0, 1e-4)
    assert exact <= accounting.epsilon(many, delta=1e-4) <= exact * 1.01


def test_prv_says_where_it_has_no_answer() -> None:
    with pytest.raises(InputError, match="'prv' has no answer"):
        accounting.epsilon(SAMPLED, delta=1e-16, accountant="prv")
    loud = [SampledGaussianEvent(0.3, 0.9, 3)]
    assert accounting.delta(loud, epsilon=0.1, accountant="prv") == 1.0


def test_renyi_stays_an_upper_bound_where_divergences_round_to_nothing() -> None:
    tiny = [SampledGaussianEvent(1000.0, 1e-9, 1)]
    assert accounting.epsilon(tiny, delta=1e-15, accountant="rdp") >= 0.0
    assert accounting.delta(tiny, epsilon=0.0, accountant="rdp") > 0.0


def test_mu_of_events() -> None:
    assert accounting.gaussian_mu([GaussianEvent(2.0, 4)]) == pytest.approx(1.0)
    assert accounting.gaussian_mu([SampledGaussianEvent(2.0, 1.0, 4)]) == pytest.approx(1.0)
    assert accounting.gaussian_mu([]) == 0.0
    assert accounting.gaussian_mu(SAMPLED) is None
    assert accounting.gaussian_mu([NonPrivateEvent()]) is None


def line_bound(events: Sequence[Event], fpr: float) -> float:
    """Twin: the largest false-negative bound over many (epsilon, delta) claims."""
    bounds = [0.0]
    for epsilon in np.linspace(0.0, 12.0, 4001):
        delta = accounting.delta(events, epsilon=float(epsilon))
        factor = math.exp(epsilon)
        bounds += [1.0 - delta - factor * fpr, (1.0 - delta - fpr) / factor]
    return max(bounds)


@pytest.mark.parametrize("lost", [None, 1e-3, 0.1])
@pytest.mark.parametrize("fpr", [0.0, 0.001, 0.05, 0.25, 0.3, 0.5, 0.9])
def test_closed_trade_off_is_the_envelope_of_its_claims(lost: float | None, fpr: float) -> None:
    event = GaussianEvent(1.0) if lost is None else ThresholdedGaussianEvent(1.0, lost)
    slow = line_bound([event], fpr)
    missed = 1.0 - accounting.tpr_at_fpr([event], fpr)
    assert missed == pytest.approx(slow, abs=2e-5 if fpr else 1e-2)


def test_trade_off_under_sampling_lies_between_no_release_and_full_batches() -> None:
    sampled = accounting.tradeoff_curve([SampledGaussianEvent(1.0, 0.3, 5)])
    full = accounting.tradeoff_curve([GaussianEvent(1.0, 5)])
    assert np.all(sampled[:, 1] <= 1.0 - sampled[:, 0] + 1e-12)
    assert np.all(sampled[1:-1, 1] >= full[1:-1, 1])
    assert np.all(np.diff(sampled[:, 1]) <= 0.0)


def test_a_lost_delta_lowers_the_numerical_trade_off() -> None:
    kept = [*SAMPLED, GaussianEvent(50.0)]
    lost = [*SAMPLED, ThresholdedGaussianEvent(50.0, 0.05)]
    gain = accounting.tpr_at_fpr(lost, 0.01) - accounting.tpr_at_fpr(kept, 0.01)
    assert gain == pytest.approx(0.05, abs=1e-3)


def test_numerical_trade_off_agrees_with_the_closed_form() -> None:
    rates = [0.001, 0.01, 0.1, 0.5]
    near = [SampledGaussianEvent(20.0, 1.0 - 1e-12, 400)]
    for rate in rates:
        exact = accounting.tpr_at_fpr([GaussianEvent(20.0, 400)], rate)
        assert exact <= accounting.tpr_at_fpr(near, rate) <= exact * 1.01


def test_trade_off_at_its_ends() -> None:
    nothing = accounting.tradeoff_curve([])
    assert np.allclose(nothing[:, 1], 1.0 - nothing[:, 0])
    assert np.all(accounting.tradeoff_curve([NonPrivateEvent()])[:, 1] == 0.0)
    curve = accounting.tradeoff_curve([GaussianEvent(1.0)], points=10)
    assert curve.shape == (10, 2)
    assert curve[0, 0] == 0.0
    assert curve[-1].tolist() == [1.0, 0.0]
    assert np.all(np.diff(curve[:, 0]) > 0.0)


def test_advantage() -> None:
    # 2 Phi(mu / 2) - 1 with mu = 1.
    assert accounting.max_advantage([GaussianEvent(1.0)]) == pytest.approx(0.3829249, abs=1e-7)
    assert accounting.max_advantage([NonPrivateEvent()]) == 1.0
    curve = accounting.tradeoff_curve(SAMPLED, points=400)
    best = float((1.0 - curve.sum(axis=1)).max())
    assert accounting.max_advantage(SAMPLED) == pytest.approx(best, abs=1e-3)


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(InputError, match="points"):
        accounting.tradeoff_curve([], points=3)
    for fpr in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="fpr"):
            accounting.tpr_at_fpr([], fpr)


def test_shares() -> None:
    # 4 / 2^2 = 1, 1 / 1^2 = 1, 0.5^2 * 8 / 1^2 = 2.
    events = [GaussianEvent(2.0, 4), ThresholdedGaussianEvent(1.0, 1e-6)]
    sampled = SampledGaussianEvent(1.0, 0.5, 8)
    assert accounting.shares([*events, sampled]) == pytest.approx((0.25, 0.25, 0.5))
    assert accounting.shares([]) == ()
    assert accounting.shares([NonPrivateEvent(), *events, NonPrivateEvent()]) == (0.5, 0, 0, 0.5)
    assert accounting.shares([GaussianEvent(1e-310), GaussianEvent(1e-310)]) == (0.5, 0.5)
    with pytest.raises(UnsupportedEvent):
        accounting.shares(["Laplace"])


def test_torch_stays_outside() -> None:
    code = (
        "import sys, dpsynth.privacy.accounting, dpsynth.privacy.calibration, "
        "dpsynth.privacy.ledger, dpsynth.privacy.statement; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'opacus')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
