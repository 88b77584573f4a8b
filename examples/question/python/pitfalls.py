"""What `gather`, `create_task` and `TaskGroup` do when something goes wrong. Each function shows one thing, and checks it."""

import asyncio
import gc
import inspect
import sys
import time
import weakref

SECOND = 0.1  # a tenth of one, so that it does not take long

done: list[str] = []


async def get_user():
    await asyncio.sleep(3 * SECOND)
    done.append("user")
    return "ada"


async def get_countries():
    await asyncio.sleep(3 * SECOND)
    done.append("countries")
    return 249


async def fail():
    await asyncio.sleep(1 * SECOND)
    raise LookupError("no such user")


async def coroutines_that_were_only_called_have_not_started():
    user = get_user()
    countries = get_countries()
    assert await took(await_both(user, countries)) >= 6


async def tasks_start_at_once():
    user = asyncio.create_task(get_user())
    countries = asyncio.create_task(get_countries())
    assert 3 <= await took(await_both(user, countries)) < 6


async def a_task_that_is_awaited_at_once_gains_nothing():
    async def handler():
        user = await asyncio.create_task(get_user())
        countries = await asyncio.create_task(get_countries())
        return user, countries

    assert await took(handler()) >= 6


async def gather_raises_the_first_exception_and_leaves_the_others_running():
    try:
        await asyncio.gather(fail(), get_countries())
    except LookupError:
        assert done == []
    await asyncio.sleep(3 * SECOND)
    assert done == ["countries"]


async def gather_can_return_exceptions_as_results():
    user, countries = await asyncio.gather(fail(), get_countries(), return_exceptions=True)
    assert isinstance(user, LookupError) and countries == 249


async def a_task_group_cancels_the_others_and_waits_for_them():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(get_countries())
    except* LookupError:
        pass
    await asyncio.sleep(3 * SECOND)
    assert done == []


async def cancelling_a_gather_cancels_its_calls():
    both = asyncio.gather(get_user(), get_countries())
    await cancel_after(1 * SECOND, both)
    await asyncio.sleep(3 * SECOND)
    assert done == []


async def cancelling_a_handler_leaves_the_tasks_running_that_it_does_not_await_yet():
    async def handler():
        user = asyncio.create_task(get_user())
        countries = asyncio.create_task(get_countries())
        return await user, await countries

    await cancel_after(1 * SECOND, asyncio.create_task(handler()))
    await asyncio.sleep(3 * SECOND)
    assert done == ["countries"]


async def cancelling_a_handler_with_a_task_group_cancels_all():
    async def handler():
        async with asyncio.TaskGroup() as group:
            group.create_task(get_user())
            group.create_task(get_countries())

    await cancel_after(1 * SECOND, asyncio.create_task(handler()))
    await asyncio.sleep(3 * SECOND)
    assert done == []


async def a_task_that_fails_while_nobody_awaits_it_is_reported_when_it_is_collected():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    task = asyncio.create_task(fail())
    await asyncio.sleep(2 * SECOND)
    assert reported == []
    del task
    gc.collect()
    assert reported == ["Task exception was never retrieved"]


async def blocking_code_stops_all_tasks():
    async def block():
        time.sleep(3 * SECOND)

    assert await took(asyncio.gather(block(), block())) >= 6
    in_threads = (asyncio.to_thread(time.sleep, 3 * SECOND) for _ in range(2))
    assert await took(asyncio.gather(*in_threads)) < 6


async def a_task_that_nothing_refers_to_can_disappear():
    async def wait_for_a_reply():
        await asyncio.get_running_loop().create_future()

    task = weakref.ref(asyncio.create_task(wait_for_a_reply()))
    await asyncio.sleep(0)
    gc.collect()
    assert task() is None


# === What the functions above use ===


async def await_both(user, countries):
    return await user, await countries


async def took(awaitable) -> float:
    """Awaits it. Returns how many seconds it took."""
    begun = time.perf_counter()
    await awaitable
    return (time.perf_counter() - begun) / SECOND


async def cancel_after(delay: float, future: asyncio.Future):
    await asyncio.sleep(delay)
    future.cancel()
    try:
        await future
    except asyncio.CancelledError:
        pass


def main():
    helpers = {await_both, took, cancel_after, get_user, get_countries, fail}
    functions = inspect.getmembers(sys.modules[__name__], inspect.iscoroutinefunction)
    for name, function in sorted(functions, key=lambda named: named[1].__code__.co_firstlineno):
        if function not in helpers:
            done.clear()
            asyncio.run(function())
            print("holds:", name.replace("_", " "))


if __name__ == "__main__":
    main()
