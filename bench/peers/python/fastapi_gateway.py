"""The question's own approach: a FastAPI handler that gathers two gRPC calls, and answers with JSON."""

import asyncio
import os
from contextlib import asynccontextmanager

import grpc
import uvicorn
from fanout.country.v1 import country_pb2, country_pb2_grpc
from fanout.user.v1 import user_pb2, user_pb2_grpc
from fastapi import FastAPI, Request, Response
from google.protobuf.json_format import MessageToJson
from fanout.gateway.v1 import gateway_pb2


@asynccontextmanager
async def channels(app: FastAPI):
    app.state.users = user_pb2_grpc.UserServiceStub(grpc.aio.insecure_channel(os.environ["USER_SERVICE"]))
    app.state.countries = country_pb2_grpc.CountryServiceStub(
        grpc.aio.insecure_channel(os.environ["COUNTRY_SERVICE"])
    )
    yield


app = FastAPI(lifespan=channels)


@app.get("/profile/{user_id}")
async def profile(user_id: str, request: Request):
    backends = request.app.state
    user, countries = await asyncio.gather(
        backends.users.GetUser(user_pb2.GetUserRequest(user_id=user_id)),
        backends.countries.ListCountries(country_pb2.ListCountriesRequest()),
    )
    reply = gateway_pb2.GetProfileResponse(user=user, country_list=countries)
    return Response(MessageToJson(reply, indent=None), media_type="application/json")


host, port = os.environ["LISTEN"].rsplit(":", 1)
uvicorn.run(app, host=host, port=int(port), access_log=False, log_level="error")
