// An aggregator with @grpc/grpc-js, as gRPC's documentation shows one: a client for each backend, and `Promise.all`.
"use strict";

const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const root = process.env.PROTO;
const files = ["gateway", "user", "country"].map((name) => `fanout/${name}/v1/${name}.proto`);
const options = { includeDirs: [root], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const { fanout } = grpc.loadPackageDefinition(loader.loadSync(files, options));

const insecure = grpc.credentials.createInsecure();
const users = new fanout.user.v1.UserService(process.env.USER_SERVICE, insecure);
const countries = new fanout.country.v1.CountryService(process.env.COUNTRY_SERVICE, insecure);
const getUser = promisify(users.GetUser).bind(users);
const listCountries = promisify(countries.ListCountries).bind(countries);

function getProfile(call, reply) {
  Promise.all([getUser({ user_id: call.request.user_id }), listCountries({})]).then(
    ([user, country_list]) => reply(null, { user, country_list }),
    (error) => reply(error),
  );
}

const server = new grpc.Server();
server.addService(fanout.gateway.v1.GatewayService.service, { GetProfile: getProfile });
server.bindAsync(process.env.LISTEN, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
