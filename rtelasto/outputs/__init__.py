"""What a live run feeds besides the strain stream: viewer, recorder, OpenIGTLink."""
