"""Human-guided attention refinement with an Attention Branch Network."""
