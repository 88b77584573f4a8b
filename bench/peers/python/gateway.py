"""An aggregator with grpc.aio, as gRPC's documentation shows one: a channel for each backend, and `gather`."""

import asyncio
import os

import grpc
from fanout.country.v1 import country_pb2, country_pb2_grpc
from fanout.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from fanout.user.v1 import user_pb2, user_pb2_grpc


class Gateway(gateway_pb2_grpc.GatewayServiceServicer):
    def __init__(self, users, countries):
        self.users = user_pb2_grpc.UserServiceStub(users)
        self.countries = country_pb2_grpc.CountryServiceStub(countries)

    async def GetProfile(self, request, context):
        user, countries = await asyncio.gather(
            self.users.GetUser(user_pb2.GetUserRequest(user_id=request.user_id)),
            self.countries.ListCountries(country_pb2.ListCountriesRequest()),
        )
        return gateway_pb2.GetProfileResponse(user=user, country_list=countries)


async def main():
    users = grpc.aio.insecure_channel(os.environ["USER_SERVICE"])
    countries = grpc.aio.insecure_channel(os.environ["COUNTRY_SERVICE"])
    server = grpc.aio.server()
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(Gateway(users, countries), server)
    server.add_insecure_port(os.environ["LISTEN"])
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
