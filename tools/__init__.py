"""Programs for people who work on Bakeoff."""
