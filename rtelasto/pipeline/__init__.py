"""From frames to pairs to strain: the stages and their composition."""
