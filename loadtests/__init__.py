"""Load tests: headless as a process (`python -m loadtests`), or by hand with Locust and its web page.

`user` and `locustfile` import Locust, which patches the standard library for gevent: only in a process of its own. The
headless driver is asyncio and knows nothing of Locust.
"""
