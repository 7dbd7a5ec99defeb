"""Load tests with Locust: runnable by hand with its web page, or headless as a process (`python -m loadtests`).

`user`, `driver`, `headless`, `locustfile` and `__main__` import Locust, which patches the standard library for gevent:
only in a process of its own. The other modules are plain.
"""
