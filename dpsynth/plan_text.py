"""Plans in words and as JSON, for the command line."""

from typing import Any

from dpsynth.plan import Plan
from dpsynth.privacy.accounting import epsilon, shares
from dpsynth.privacy.events import GaussianEvent, event_to_json


def plan_json(plan: Plan, max_rows_per_unit: int) -> dict[str, Any]:
    """A plan as JSON values."""
    events = [charge.event for charge in plan.charges]
    parts = shares(events)
    return {
        "epsilon": plan.epsilon,
        "delta": plan.delta,
        "epsilon_spent": epsilon(events, delta=plan.delta),
        "mu": plan.mu,
        "smallest_rows": plan.smallest_rows(max_rows_per_unit=max_rows_per_unit),
        "charges": [
            {"label": charge.label, "share": share, "event": event_to_json(charge.event)}
            for charge, share in zip(plan.charges, parts, strict=True)
        ],
        "training": {
            "steps": plan.training.steps,
            "sampling": plan.training.sampling,
            "learning_rate": plan.training.learning_rate,
            "noise_floor": plan.training.noise_floor,
            "gradient_share": plan.training.gradient_share,
            "clip_quantile": plan.training.clip_quantile,
            "hidden": plan.training.hidden,
            "hidden_scale": plan.training.hidden_scale,
        },
    }


def plan_text(plan: Plan, max_rows_per_unit: int) -> str:
    """A plan as a table of lines, one a charge."""
    facts = plan_json(plan, max_rows_per_unit)
    lines = [
        f"budget: epsilon {plan.epsilon:g} at delta {plan.delta:g} (mu {plan.mu:.4f}); "
        f"planned: epsilon {facts['epsilon_spent']:.6f}",
        f"rows needed, or the noise drowns them: about {facts['smallest_rows']:.0f}",
        f"training: {plan.training.steps} steps, {plan.training.sampling}",
        "",
        f"{'share':>7}  {'noise multiplier':>16}  question",
    ]
    for charge, entry in zip(plan.charges, facts["charges"], strict=True):
        multiplier = (
            charge.event.noise_multiplier if hasattr(charge.event, "noise_multiplier") else 0
        )
        steps = (
            f" x {charge.event.steps}"
            if isinstance(charge.event, GaussianEvent) and (charge.event.steps > 1)
            else ""
        )
        lines.append(f"{entry['share']:7.2%}  {multiplier:16.3f}  {charge.label}{steps}")
    return "\n".join(lines)
