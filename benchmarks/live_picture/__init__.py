"""What a subscriber of a live run sees of a hand-held palpation, against truth."""
