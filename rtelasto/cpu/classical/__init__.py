"""The classical estimators `ncc` and `am`, and the modules that only they use."""
