"""Pages over everything there is: reports of all runs, and a live page that asks the real servers."""
