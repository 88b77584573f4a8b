// What promises do when they are not awaited at once, or fail. Each function shows one thing, and checks it.
const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');

const second = 100; // milliseconds: a tenth of one, so that it does not take long
let done = [];

async function getUser() {
  await sleep(3 * second);
  done.push('user');
  return 'ada';
}

async function getCountries() {
  await sleep(3 * second);
  done.push('countries');
  return 249;
}

async function fail() {
  await sleep(1 * second);
  throw new Error('no such user');
}

async function callsStartAtOnceAwaitedOrNot() {
  const begun = performance.now();
  const user = getUser();
  const countries = getCountries();
  await user;
  await countries;
  assert.ok(performance.now() - begun < 6 * second);
}

async function aCallThatFailsBeforeItIsAwaitedIsAnUnhandledRejection() {
  const unhandled = [];
  const listener = (error) => unhandled.push(error.message);
  process.on('unhandledRejection', listener); // without a listener the process would end
  const user = getUser();
  const countries = fail();
  await user;
  await assert.rejects(countries);
  assert.deepEqual(unhandled, ['no such user']);
  process.off('unhandledRejection', listener);
}

async function promiseAllRejectsWithTheFirstErrorAndLeavesTheOthersRunning() {
  await assert.rejects(Promise.all([fail(), getCountries()]));
  assert.deepEqual(done, []);
  await sleep(3 * second);
  assert.deepEqual(done, ['countries']);
}

async function allSettledWaitsForAll() {
  const [user, countries] = await Promise.allSettled([fail(), getCountries()]);
  assert.equal(user.status, 'rejected');
  assert.equal(countries.value, 249);
}

async function main() {
  const functions = [
    callsStartAtOnceAwaitedOrNot,
    aCallThatFailsBeforeItIsAwaitedIsAnUnhandledRejection,
    promiseAllRejectsWithTheFirstErrorAndLeavesTheOthersRunning,
    allSettledWaitsForAll,
  ];
  for (const check of functions) {
    done = [];
    await check();
    console.log('holds:', check.name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
  }
}

main();
