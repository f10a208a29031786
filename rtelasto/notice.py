"""What a user must know wherever a strain image is shown."""

NOT_A_MEDICAL_DEVICE = "Not a medical device. For research only."
