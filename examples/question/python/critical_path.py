"""Two tasks side by side. The first makes a call, pauses, and makes another; the second makes one call, which ends as the pause does.

It is the case of https://github.com/jaegertracing/jaeger-ui/issues/2371. The last call waits for its own task alone, but the trace
of one run looks as if it had waited for the call of the other task.
"""

import asyncio
import os
import random

from opentelemetry import trace

RUNS = int(os.environ.get("RUNS", "1"))
DELAY = float(os.environ.get("DELAY", "0.1"))

TASK_SPANS = "TASK_SPANS" in os.environ

tracer = trace.get_tracer("critical-path")


async def call(name: str, duration: float):
    with tracer.start_as_current_span(name):
        await asyncio.sleep(duration)


async def first(vary):
    await call("get one", vary(DELAY))
    await asyncio.sleep(DELAY)
    await call("get three", vary(3 * DELAY))


async def second(vary):
    await call("get two", vary(2 * DELAY))


async def task(name: str, coroutine):
    """Runs a task, in a span of its own if TASK_SPANS is set: then the trace of one run says which task a call belongs to."""
    if not TASK_SPANS:
        return await coroutine
    with tracer.start_as_current_span(name):
        return await coroutine


async def main(vary):
    with tracer.start_as_current_span("main"):
        await asyncio.gather(task("first", first(vary)), task("second", second(vary)))


async def run_all():
    # The first run takes exactly the times of the issue; in the others calls vary, as they do over a network.
    await main(lambda duration: duration)
    network = random.Random(2371)
    for _ in range(RUNS - 1):
        await main(lambda duration: duration * network.uniform(0.8, 1.2))


asyncio.run(run_all())
