"""Training sets and training of the networks; needs the extra ``train``."""
