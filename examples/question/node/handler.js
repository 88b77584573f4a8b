// A handler that needs two replies, each of which takes a while. Does its caller wait for the sum, or for the slower one?
const express = require('express');

const userService = process.env.USER_SERVICE ?? 'http://localhost:8001';
const countryService = process.env.COUNTRY_SERVICE ?? 'http://localhost:8002';

async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.json();
}

const getUser = () => get(`${userService}/users/ada`);
const getCountries = () => get(`${countryService}/countries`);
const getCountry = (code) => get(`${countryService}/countries/${code}`);

const app = express();

app.get('/in-turn', async (request, response) => {
  const user = await getUser();
  const countries = await getCountries();
  response.json({ user, countries });
});

app.get('/together', async (request, response) => {
  const [user, countries] = await Promise.all([getUser(), getCountries()]);
  response.json({ user, countries });
});

app.get('/chain', async (request, response) => {
  const user = await getUser();
  const country = await getCountry(user.country);
  response.json({ user, country });
});

const server = app.listen(process.env.PORT ?? 8000, '127.0.0.1');
process.on('SIGINT', () => server.close());
