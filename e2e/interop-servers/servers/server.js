// gRPC's test service on @grpc/grpc-js.
//
// Prints "listening PORT", then "begun ID" and "cancelled ID" for streams that carry the metadata
// x-call-id. Ends when its standard input closes, so that it cannot outlive its parent.
'use strict';

const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const definition = loader.loadSync('grpc/testing/test.proto', {
  includeDirs: [path.join(__dirname, '..', 'proto')],
  keepCase: true,
});
const { testing } = grpc.loadPackageDefinition(definition).grpc;

const INITIAL = 'x-grpc-test-echo-initial';
const TRAILING = 'x-grpc-test-echo-trailing-bin';

const payload = (size) => ({ body: Buffer.alloc(size) });

function echoInitial(call) {
  const metadata = new grpc.Metadata();
  for (const value of call.metadata.get(INITIAL)) metadata.add(INITIAL, value);
  call.sendMetadata(metadata);
}

function trailers(call) {
  const metadata = new grpc.Metadata();
  for (const value of call.metadata.get(TRAILING)) metadata.add(TRAILING, value);
  return metadata;
}

function report(call) {
  for (const id of call.metadata.get('x-call-id')) {
    console.log(`begun ${id}`);
    call.on('cancelled', () => console.log(`cancelled ${id}`));
  }
}

function unaryCall(call, callback) {
  const { response_status: status, response_size: size } = call.request;
  if (status) {
    callback({ code: status.code, details: status.message });
    return;
  }
  echoInitial(call);
  callback(null, { payload: payload(size) }, trailers(call));
}

function streamingInputCall(call, callback) {
  report(call);
  let total = 0;
  call.on('data', (request) => { total += request.payload.body.length; });
  call.on('end', () => callback(null, { aggregated_payload_size: total }));
}

// Returns false if the request asked for a status, which ends the call.
async function reply(call, request) {
  const { response_status: status } = request;
  if (status) {
    call.emit('error', { code: status.code, details: status.message });
    return false;
  }
  for (const parameters of request.response_parameters ?? []) {
    if (parameters.interval_us) await sleep(parameters.interval_us / 1000);
    call.write({ payload: payload(parameters.size ?? 0) });
  }
  return true;
}

async function streamingOutputCall(call) {
  echoInitial(call);
  if (await reply(call, call.request)) call.end(trailers(call));
}

// Iterating over the call would destroy it at the end of the requests, before the last replies.
function fullDuplexCall(call) {
  report(call);
  echoInitial(call);
  let open = Promise.resolve(true);
  call.on('data', (request) => {
    open = open.then((isOpen) => isOpen && reply(call, request));
  });
  call.on('end', async () => {
    if (await open) call.end(trailers(call));
  });
}

const server = new grpc.Server();
server.addService(testing.TestService.service, {
  emptyCall: (call, callback) => callback(null, {}),
  unaryCall,
  streamingInputCall,
  streamingOutputCall,
  fullDuplexCall,
});
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`listening ${port}`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
