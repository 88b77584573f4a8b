"""A handler that needs two replies, each of which takes a while. Does its caller wait for the sum, or for the slower one?"""

import asyncio
import os

import httpx
from fastapi import FastAPI

USER_SERVICE = os.environ.get("USER_SERVICE", "http://localhost:8001")
COUNTRY_SERVICE = os.environ.get("COUNTRY_SERVICE", "http://localhost:8002")

app = FastAPI()
http = httpx.AsyncClient(timeout=30)


async def get(url: str):
    response = await http.get(url)
    return response.raise_for_status().json()


async def get_user():
    return await get(f"{USER_SERVICE}/users/ada")


async def get_countries():
    return await get(f"{COUNTRY_SERVICE}/countries")


async def get_country(code: str):
    return await get(f"{COUNTRY_SERVICE}/countries/{code}")


@app.get("/in-turn")
async def in_turn():
    user = await get_user()
    countries = await get_countries()
    return {"user": user, "countries": countries}


@app.get("/together")
async def together():
    user, countries = await asyncio.gather(get_user(), get_countries())
    return {"user": user, "countries": countries}


@app.get("/tasks")
async def tasks():
    user = asyncio.create_task(get_user())
    countries = asyncio.create_task(get_countries())
    return {"user": await user, "countries": await countries}


@app.get("/task-group")
async def task_group():
    async with asyncio.TaskGroup() as group:
        user = group.create_task(get_user())
        countries = group.create_task(get_countries())
    return {"user": user.result(), "countries": countries.result()}


@app.get("/chain")
async def chain():
    user = await get_user()
    country = await get_country(user["country"])
    return {"user": user, "country": country}
