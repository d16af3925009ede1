"""Names of the findings, groups and figures that an audit can make with what is installed."""

#: Findings that stand beside those of the attacks and checks.
JOINT = ("claim", "vulnerable_records")
GROUPS = ("membership", "membership_reference", "membership_black_box")

#: Figures of every attack of a kind.
MEMBERSHIP = (
    "advantage",
    "auroc",
    "auroc_vulnerable",
    "control_auroc",
    "detectable_copied_share",
    "epsilon_ceiling",
    "epsilon_lower_bound",
    "tpr_at_fpr_0.001",
    "tpr_at_fpr_0.01",
)
DISCLOSURE = (
    "attack_rate",
    "baseline_rate",
    "control_planted_rate",
    "control_rate",
    "detectable_copied_share",
    "residual_risk",
)
#: Figures of findings that the gate is likely to be asked about; those of a check that is not
#: listed here are not known beforehand.
FIGURES = {
    "claim": ("claimed_epsilon", "epsilon_ceiling", "epsilon_lower_bound"),
    "vulnerable_records": (
        "detectable_copied_share",
        "flagged_share",
        "flagged_share_baseline",
        "worst_group_auroc",
    ),
    "copies": (
        "detectable_copied_share",
        "exact_share",
        "exact_share_holdout",
        "excess",
        "train_rows_in_holdout",
    ),
    "nearest_neighbours": (
        "dcr_median_baseline",
        "dcr_median_holdout",
        "dcr_median_train",
        "detectable_copied_share",
        "nndr_median_baseline",
        "nndr_median_holdout",
        "nndr_median_train",
        "share_closer_to_train",
        "share_closer_to_train_baseline",
        "tie_share",
    ),
}


def installed_names() -> frozenset[str]:
    """Findings and groups by name, figures as "finding.figure", with the attacks now installed.

    A finding whose figures are not known beforehand (they depend on the table) has none here.

    Raises:
        AttackError: an installed attack breaks its contract.
    """
    # Imported here: only whoever runs audits needs them, and reading a policy must stay quick.
    from audits import registry, suite

    figures = dict(FIGURES)
    for name, attack in registry.attacks().items():
        figures[name] = MEMBERSHIP if registry.is_membership(attack) else DISCLOSURE
    return frozenset(
        {
            *figures,
            *(f"{finding}.{figure}" for finding, kinds in figures.items() for figure in kinds),
            *suite.CHECKS,
            *JOINT,
            *GROUPS,
        }
    )
