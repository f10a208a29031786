"""The classical estimators, `ncc` and `am`, and what only they use."""
