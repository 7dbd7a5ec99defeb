"""What may be said of a study's claims on the evidence of results; reports and the studies' page both show it."""
