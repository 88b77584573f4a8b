"""The user service and the country service, which the handler calls. Each reply takes DELAY seconds, 3 if it is not set."""

import asyncio
import os

from fastapi import FastAPI

DELAY = float(os.environ.get("DELAY", "3"))
COUNTRIES = {"GB": "United Kingdom", "NO": "Norway", "US": "United States"}

app = FastAPI()


@app.get("/users/{user_id}")
async def get_user(user_id: str):
    await asyncio.sleep(DELAY)
    return {"id": user_id, "name": "Ada Lovelace", "country": "GB"}


@app.get("/countries")
async def get_countries():
    await asyncio.sleep(DELAY)
    return COUNTRIES


@app.get("/countries/{code}")
async def get_country(code: str):
    await asyncio.sleep(DELAY)
    return {"code": code, "name": COUNTRIES[code]}
