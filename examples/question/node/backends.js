// The user service and the country service, which the handler calls. Each reply takes DELAY seconds, 3 if it is not set.
const { setTimeout: sleep } = require('node:timers/promises');
const express = require('express');

const delay = Number(process.env.DELAY ?? 3) * 1000;
const countries = { GB: 'United Kingdom', NO: 'Norway', US: 'United States' };

const app = express();

app.get('/users/:id', async (request, response) => {
  await sleep(delay);
  response.json({ id: request.params.id, name: 'Ada Lovelace', country: 'GB' });
});

app.get('/countries', async (request, response) => {
  await sleep(delay);
  response.json(countries);
});

app.get('/countries/:code', async (request, response) => {
  await sleep(delay);
  response.json({ code: request.params.code, name: countries[request.params.code] });
});

const server = app.listen(process.env.PORT, '127.0.0.1');
process.on('SIGINT', () => server.close());
